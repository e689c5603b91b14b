"""The real RabbitMQ and PostgreSQL that the tests run on; `tests/conftest.py` makes fixtures of them."""
