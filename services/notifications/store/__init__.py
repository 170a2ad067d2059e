"""Every query of notifications, one module for each part of its tables."""
