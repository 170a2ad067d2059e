"""What lies outside of the service: the typesetter."""
