"""Runs task-sets on boards in one process: boards, runs, campaigns, and the handlers' thread."""
