"""The proposals, one a file: a fix is a class that overrides one to three functions of a tree.

`apply` puts fixes in front of a tree, so that the result is a kernel with those patches applied.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from ..kernel import Kernel
from .collect_then_lock import CollectThenLock
from .defer_vf_add import DeferVfAdd
from .defer_vf_add_notify import DeferVfAddNotify

FIXES: dict[str, type] = {
    fix.name: fix for fix in (CollectThenLock, DeferVfAdd, DeferVfAddNotify)}


def functions_of(fix: type) -> set[str]:
    """Return the names of the functions that *fix* overrides or adds, those of fixes below it
    included.
    """
    classes = [cls for cls in fix.__mro__ if not issubclass(Kernel, cls)]
    return {name for cls in classes for name, value in vars(cls).items()
            if callable(value) and not name.startswith("__")}


def apply(tree: type[Kernel], fix_names: Sequence[str]) -> type[Kernel]:
    """Return *tree* with the named fixes applied; *tree* itself if there are none.

    Raises:
        ValueError: a name is unknown, or two of the fixes change the same function.
    """
    for name in fix_names:
        if name not in FIXES:
            raise ValueError(f"unknown fix {name!r}; known are: {', '.join(FIXES)}")
    _refuse_conflicts(fix_names)
    if not fix_names:
        return tree
    fixes = tuple(FIXES[name] for name in fix_names)
    name = "+".join([tree.name, *fix_names])
    return cast("type[Kernel]", type(name, (*fixes, tree), {"name": tree.name}))


def _refuse_conflicts(fix_names: Sequence[str]) -> None:
    """Raise ValueError if two of the fixes change the same function."""
    changed: dict[str, str] = {}
    for name in fix_names:
        for function in sorted(functions_of(FIXES[name])):
            if function in changed:
                pair = f"{changed[function]!r} and {name!r}"
                raise ValueError(f"fixes {pair} cannot be combined: both change {function}()")
            changed[function] = name
