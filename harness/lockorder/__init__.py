"""The order in which locks are taken, its cycles, and what they are worth."""
