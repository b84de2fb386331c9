"""The command line: `python -m harness`, and what `python -m pcimodel` shares with it."""

from __future__ import annotations

from collections.abc import Sequence

from . import process

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status. The command itself ends with it."""
    return process.perform("harness", argv, _work)


def _work(argv: Sequence[str] | None) -> int:
    from .command_line import main    # once the process is prepared: it takes a while

    return main(argv)
