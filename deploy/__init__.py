"""Requirements of the compose file: passwords, RabbitMQ's definitions, PostgreSQL's databases."""
