"""The primitives of `threading` as locks that the harness sees: what `harness.threading` has."""
