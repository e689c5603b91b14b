"""What the compose file needs: passwords, RabbitMQ's definitions, PostgreSQL's databases."""
