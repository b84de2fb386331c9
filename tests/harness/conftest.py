"""What some of these tests need of the process they run in."""

import signal

import pytest


@pytest.fixture
def ctrl_c_interrupts():
    """Let Ctrl-C raise here, and in processes started here, though a background job ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
