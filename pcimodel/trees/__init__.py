"""The versions of the kernel that are modelled, by name."""

from __future__ import annotations

from ..kernel import Kernel
from .v4_14 import V4_14

TREES: dict[str, type[Kernel]] = {tree.name: tree for tree in (V4_14,)}
"""Every tree, the default one first."""

DEFAULT = V4_14.name


def tree(name: str) -> type[Kernel]:
    """Return the tree of that name.

    Raises:
        ValueError: there is none; the message names those that there are.
    """
    if name not in TREES:
        raise ValueError(f"unknown kernel tree {name!r} (there are: {', '.join(TREES)})")
    return TREES[name]
