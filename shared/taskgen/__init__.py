"""Run task-sets on boards and keep every event."""
