"""What people and events do in matching: one function a verb, each within the caller's transaction."""
