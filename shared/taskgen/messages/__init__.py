"""The messages between the services, independent of their transport."""
