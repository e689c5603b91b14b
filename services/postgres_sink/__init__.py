"""The service that stores events in a PostgreSQL database."""
