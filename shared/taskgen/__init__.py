"""Run real-time task-sets on boards and keep every event."""
