"""What a process that follows runs has to remember beyond its own life, in SQLite or PostgreSQL."""
