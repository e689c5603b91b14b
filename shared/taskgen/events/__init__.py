"""Handlers that store events."""
