"""Pure domain logic: no socket, no clock, no environment, no randomness; those come in as arguments."""
