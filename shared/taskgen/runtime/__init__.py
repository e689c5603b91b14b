"""Common to all services: settings, health, metrics, logs, startup and shutdown."""
