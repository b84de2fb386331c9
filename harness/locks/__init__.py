"""Locks that know who has them and who waits, and threads as the harness knows them.

Nothing here knows of detection. Do not add features here: write an Observer.
"""
