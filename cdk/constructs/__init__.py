"""The parts of the stack, each built from the manifest; what excuses a part from a rule stands beside it."""
