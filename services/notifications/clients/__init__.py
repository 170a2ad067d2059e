"""Outside systems: the SMTP server, and the endpoints of partners."""
