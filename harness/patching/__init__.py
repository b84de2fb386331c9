"""Putting the locks of `harness.threading` and `harness.queue` in place of the interpreter's."""
