"""Functions of the interpreter that are others while a call is under way, wherever a module has
them, also under another name (``from os import _exit as bye``); then they are put back.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from typing import Any


class Replaced:
    """Some functions of the interpreter, and ours.

    Args:
        ours: each function of the interpreter -> what takes its place.
        spared: modules that keep them.
    """

    def __init__(self, ours: dict[Callable[..., Any], Callable[..., Any]],
                 spared: Collection[str]) -> None:
        self._plain, self._ours, self._spared = list(ours), list(ours.values()), spared
        self._modules = 0    # how many there were as ours were put in
        self._seen: dict[str, int] = {}    # modules that were looked at: which, by identity
        self._places: list[tuple[dict[str, Any], str, int]] = []    # where they stand, and which

    def install(self) -> None:
        """Put ours in their places, also in modules that were not there before."""
        self._look(self._plain)
        self._modules = len(sys.modules)
        self._put(self._plain, self._ours)

    def uninstall(self) -> None:
        """Put back what is still ours, also in modules that came meanwhile."""
        if len(sys.modules) != self._modules:
            self._look(self._ours)
        self._put(self._ours, self._plain)

    def _look(self, functions: list[Any]) -> None:
        """Find where *functions* stand in modules that were not looked at before."""
        ids = {id(function): which for which, function in enumerate(functions)}
        for key, module in list(sys.modules.items()):
            if self._seen.get(key) != id(module):
                self._seen[key] = id(module)
                names = getattr(module, "__dict__", None)
                if key not in self._spared and type(names) is dict:
                    self._places.extend((names, name, ids[id(value)])
                                        for name, value in list(names.items()) if id(value) in ids)

    def _put(self, old: list[Any], new: list[Any]) -> None:
        for names, name, which in self._places:
            if names.get(name) is old[which]:
                names[name] = new[which]
