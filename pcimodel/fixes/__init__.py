"""The proposals, one a file: a fix is a class that overrides one to three functions of a tree.

`apply` puts fixes in front of a tree, so that the result is a kernel with those patches applied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import cast

from ..kernel import Kernel
from .collect_then_lock import CollectThenLock
from .defer_vf_add import DeferVfAdd
from .defer_vf_add_notify import DeferVfAddNotify
from .fitting import functions_of, misfit

__all__ = ["FIXES", "apply", "functions_of"]

FIXES: dict[str, type] = {
    fix.name: fix for fix in (CollectThenLock, DeferVfAdd, DeferVfAddNotify)}


def apply(tree: type[Kernel], fixes: Sequence[str] | Mapping[str, type]) -> type[Kernel]:
    """Return *tree* with *fixes* applied; *tree* itself if there are none.

    Args:
        fixes: names of fixes that there are; or others, by the name that they were given.

    Raises:
        ValueError: a name is unknown, a fix does not fit the tree (fitting.py says why), or two of
            the fixes change the same function.
    """
    named: dict[str, type] = {}
    for name in fixes:
        if name not in FIXES and not isinstance(fixes, Mapping):
            raise ValueError(f"unknown fix {name!r}; known are: {', '.join(FIXES)}")
        cls = fixes[name] if isinstance(fixes, Mapping) else FIXES[name]
        why = misfit(cls, tree)
        if why:
            raise ValueError(f"fix {name!r} is refused: {why}")
        _refuse_conflicts(named, name, cls)
        named[name] = cls
    if not named:
        return tree
    return _with(tree, tuple(named.items()))    # type: ignore[arg-type]    # python/mypy#11469


@lru_cache(maxsize=32)    # a class takes 35 KB: those of fixes that are edited come and go
def _with(tree: type[Kernel], fixes: tuple[tuple[str, type], ...]) -> type[Kernel]:
    """Return the class of a tree and fixes that fit; the same for the same."""
    named = dict(fixes)
    name = "+".join([tree.name, *named])
    try:
        return cast("type[Kernel]", type(name, (*named.values(), tree), {"name": tree.name}))
    except TypeError as exc:    # of the order of bases
        text = str(exc).partition("\n")[0]
        raise ValueError(f"{' and '.join(named)} cannot be put before {tree.name}: {text}") \
            from None


def _refuse_conflicts(before: dict[str, type], name: str, fix: type) -> None:
    """Raise ValueError if *fix* changes a function that one of those *before* changes too."""
    for other, cls in before.items():
        both = functions_of(cls) & functions_of(fix)
        if both:
            raise ValueError(f"fixes {other!r} and {name!r} cannot be combined: both change "
                             f"{min(both)}()")
