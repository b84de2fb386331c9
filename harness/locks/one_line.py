"""How things of ours show themselves in a failing assertion or a debugger: in one short line."""

from __future__ import annotations

LONGEST = 120    # characters
LONGEST_TEXT = 1000


def one_line(thing: object, text: str) -> str:
    """Return the `repr` of *thing*: its kind, and *text* on what it is, cut short."""
    words = " ".join(f"{type(thing).__name__} {text}".split())
    return f"<{words}>" if len(words) <= LONGEST - 2 else f"<{words[:LONGEST - 5]}...>"


def printable(text: str) -> str:
    """Return *text* as one line of a message: what is no character is escaped, and of a text that
    is too long the middle is left out.
    """
    if not text.isprintable():    # which a blank is
        text = "".join(character if character.isprintable() else ascii(character)[1:-1]
                       for character in text[:2 * LONGEST_TEXT])
    if len(text) > LONGEST_TEXT:
        text = f"{text[:LONGEST_TEXT // 2]} ... {text[-LONGEST_TEXT // 3:]}"
    return text
