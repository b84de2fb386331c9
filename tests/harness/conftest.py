"""What some of these tests need of the process they run in, and what several look at."""

import signal
from pathlib import Path

import pytest
import small_worlds

from harness import stress


@pytest.fixture
def ctrl_c_interrupts():
    """Let Ctrl-C raise here, and in processes started here, though a background job ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def stressed():
    """What stress finds in the worlds of the claim, by name. At least one run in ten finds it: 200
    misses in a row do not happen.
    """
    return {name: stress(getattr(small_worlds, name), runs=200, seed=seed)
            for seed, name in enumerate(("abba", "philosophers", "nested_read", "handoff"), 1)}


@pytest.fixture
def beside_the_worlds(monkeypatch):
    """Go where small_worlds.py is: a token may name what is in the current directory."""
    monkeypatch.chdir(Path(small_worlds.__file__).parent)
