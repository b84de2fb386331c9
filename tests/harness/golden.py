"""Reports against files in tests/reports, written anew by REGEN=1 and reviewed as text."""

import os
import re
from pathlib import Path

import small_worlds

HERE = Path(small_worlds.__file__).parent
REPORTS = HERE.parent / "reports"


def portable(text):
    """Return *text* without what differs from machine to machine: folders, the interpreter's own
    frames, ours.
    """
    text = text.replace(f"{HERE}{os.sep}", "")
    return re.sub(r"^  (?:harness/\S+|threading\.py):\d+ in .*\n?", "", text, flags=re.MULTILINE)


def compare(name, result):
    """Compare the report of *result* with the file *name*, to the letter."""
    text, file = portable(str(result)).rstrip() + "\n", REPORTS / f"{name}.txt"
    if os.environ.get("REGEN") == "1":
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")
