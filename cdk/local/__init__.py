"""The synthesized template served on this machine, in real processes."""
