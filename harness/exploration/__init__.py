"""Schedules: the run that obeys one, the searches that choose them, tokens that keep them."""
