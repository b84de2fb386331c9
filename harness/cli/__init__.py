"""The command line: `python -m harness`, and what `python -m pcimodel` shares with it."""

from .command_line import main

__all__ = ["main"]
