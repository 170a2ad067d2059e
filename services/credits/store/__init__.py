"""Every query of the credits service."""
