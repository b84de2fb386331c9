"""How things of ours show themselves in a failing assertion or a debugger: in one short line."""

from __future__ import annotations

LONGEST = 120    # characters


def one_line(thing: object, text: str) -> str:
    """Return the `repr` of *thing*: its kind, and *text* on what it is, cut short."""
    words = " ".join(f"{type(thing).__name__} {text}".split())
    return f"<{words}>" if len(words) <= LONGEST - 2 else f"<{words[:LONGEST - 5]}...>"
