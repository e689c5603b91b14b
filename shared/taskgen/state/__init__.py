"""What a process that follows runs remembers across restarts, in SQLite or PostgreSQL."""
