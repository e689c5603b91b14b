"""Runs task-sets from the queue on boards, and publishes what the boards report."""
