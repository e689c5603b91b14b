"""Task-sets, events and decisions over RabbitMQ; the only room that imports pika."""
