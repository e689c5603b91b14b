"""Task-sets, events and decisions over RabbitMQ; the only package that imports pika."""
