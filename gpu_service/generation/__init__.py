"""Text generation: sequences share a decoder's slots, join and leave at every token."""
