"""One run of a scenario on real threads: its roles, its observers, what it came to."""
