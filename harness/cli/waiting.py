"""A line on a terminal for a command that has said nothing for a while."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ..locks import raw
from ..runtime.our_thread import NoThread, begin, our_thread

SILENT = 5.0    # seconds after which a command says that it is at work
_EACH = 1.0     # and again, on the same line


@contextmanager
def told_to_wait(what: str) -> Iterator[None]:
    """Say that *what* is at work, while the block lasts, if standard error is a terminal."""
    began, ended = time.monotonic(), raw.Event()

    def tell() -> None:
        shown = False
        while not ended.wait(_EACH if shown else SILENT):
            _write(f"\r{what}: at work for {time.monotonic() - began:.0f} s ")
            shown = True
        if shown:
            _write("\n")

    thread = None
    if sys.stderr is not None and sys.stderr.isatty():
        with suppress(NoThread):
            line = our_thread(tell, "harness line")
            begin(line)
            thread = line
    try:
        yield
    finally:
        ended.set()
        if thread is not None:
            thread.join(_EACH)    # a terminal that is stopped takes nothing


def _write(text: str) -> None:
    with suppress(OSError, ValueError):
        print(text, end="", file=sys.stderr, flush=True)
