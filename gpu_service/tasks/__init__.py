"""What clients ask for: each module reads one kind of request, has its rows computed and writes the answer."""
