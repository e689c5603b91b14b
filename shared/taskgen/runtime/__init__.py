"""What every service has: settings, health, metrics, logs, start and end."""
