"""The parser of a command line: what is wrong is said in one line, with the nearest that is right.

argparse alone takes the value of an unknown option for an argument, and blames the argument after
it.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from ..locks.errors import unknown_name
from ..locks.one_line import printable
from .output import complain, say


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage in front of it."""

    commands: Any = None    # the action of a parser that has some

    def error(self, message: str) -> NoReturn:
        complain(f"{self.prog}: {printable(message)}")
        self.exit(2)

    def _print_message(self, message: str, file: Any = None) -> None:
        if file is sys.stdout:
            say(message, end="")
        else:    # argparse's own way ends without a word where nothing can be printed
            complain(message.removesuffix("\n"))

    def add_subparsers(self, **how: Any) -> Any:
        self.commands = super().add_subparsers(**how)
        return self.commands

    def parse_args(self, args: Sequence[str] | None = None,    # type: ignore[override]
                   namespace: argparse.Namespace | None = None) -> argparse.Namespace:
        words = list(sys.argv[1:] if args is None else args)
        if self.commands is not None:
            if not words:
                self._list_commands()
            at = next((i for i, word in enumerate(words) if not word.startswith("-")), len(words))
            self._refuse_unknown(words[:at], {})
            command = self.commands.choices.get(words[at]) if words[at:] else None
            if command is not None:
                command._refuse_unknown(words[at + 1:], self.commands.choices)
        return super().parse_args(words, namespace)

    def _refuse_unknown(self, words: Iterable[str], commands: Mapping[str, Any]) -> None:
        """Refuse the first option that there is not, but perhaps of another one of *commands*."""
        for word in words:
            if word == "--":
                return
            option = word.partition("=")[0]
            if not option.startswith("-") or option == "-" or \
                    option in self._option_string_actions or \
                    self._negative_number_matcher.match(word):
                continue
            others = [name for name, other in commands.items()
                      if option in other._option_string_actions]
            near = difflib.get_close_matches(option, self._option_string_actions, 1)
            self.error(f"unknown option {option}: " + (
                f"it is of {', '.join(others)}" if others else
                f"did you mean {near[0]}?" if near else "--help lists those that there are"))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        what = "unknown command" if action is self.commands else "there is no"
        refusal = str(unknown_name(what, value, list(map(str, action.choices))))
        if action is self.commands:
            self.error(refusal)
        raise argparse.ArgumentError(action, refusal)

    def _list_commands(self) -> NoReturn:
        """Say which commands there are: that none is given is no way to use it."""
        helps = {action.dest: action.help or "" for action in self.commands._choices_actions}
        width = max(map(len, helps))
        lines = [f"{self.prog}: a command is needed, one of", "",
                 *(f"  {name:<{width}}  {text}" for name, text in helps.items()), "",
                 f"{self.prog} COMMAND --help: its options; {self.prog} help: pages about the rest"]
        complain("\n".join(lines))
        self.exit(2)
