"""The state that a process keeps about runs across restarts, in SQLite or PostgreSQL."""
