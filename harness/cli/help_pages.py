"""help: the pages for which neither --help nor the README has room.

A page is a file ``TOPIC.md`` in the folder `pages` of a package; its first line is ``# TOPIC: what
it is about``. It is printed as it stands. The command lines of `harness` and `pcimodel` share this
module, each with the pages of its own package.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from ..locks.errors import unknown_name


def add_help_command(commands: Any) -> None:
    """Add the command to a parser."""
    command = commands.add_parser("help", help="list the pages, or print one", allow_abbrev=False)
    command.add_argument("topic", nargs="?", metavar="TOPIC")


def pages_of(package: str) -> dict[str, str]:
    """Return the text of each page of *package*, by topic."""
    folder = files(package) / "pages"
    return {page.name.removesuffix(".md"): page.read_text(encoding="utf-8")
            for page in sorted(folder.iterdir(), key=lambda page: page.name)
            if page.name.endswith(".md")}


def show_help(package: str, topic: str | None, more: str = "") -> int:
    """Print the page of *package* on *topic*, or the list of its pages; return the exit status.

    Args:
        more: a line for the end of the list.

    Raises:
        ScenarioError: there is no such page.
    """
    pages = pages_of(package)
    if topic is None:
        print(f"Pages, printed by `python -m {package} help TOPIC`:\n")
        width = max(map(len, pages))
        for name, text in pages.items():
            title = text.partition("\n")[0].partition(": ")[2]
            print(f"  {name.ljust(width)}  {title}")
        if more:
            print(f"\n{more}")
    elif topic in pages:
        print(pages[topic], end="")
    else:
        raise unknown_name("there is no page", topic, list(pages))
    return 0
