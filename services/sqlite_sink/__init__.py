"""The service that stores events in a SQLite database."""
