"""Locks that know who has them and who waits, and threads as the harness knows them."""
