"""What people, other services' events and the clock make the credit scheme do: one function a verb."""
