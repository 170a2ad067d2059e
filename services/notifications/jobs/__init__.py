"""What notifications does by the clock: announce, send, deliver, forget."""
