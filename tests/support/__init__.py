"""What tests of all rooms share: a real PostgreSQL, a real RabbitMQ, clients with a caller's token."""
