"""The service that stores events in CSV files."""
