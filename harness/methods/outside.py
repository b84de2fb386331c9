"""What roles use to wait for each other beside the locks of harness.

Such locks are not seen: a verdict is silent about them. So a call in which no operation of ours was
seen says nothing at all, and is `inconclusive`; the report names what was outside. What a traced
run saw is *used*; what the functions of the roles can get at is only *in reach*.
"""

from __future__ import annotations

import functools
import time
import types
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from ..exploration.tracing import Outside, Tracing, is_followed, is_primitive, kind_of
from ..locks.callsite import function_name, short_path
from ..locks.node import Node
from ..meetings.one_by_one import OneByOne
from ..patching.patched import current_patch
from ..runtime.free_run import FreeRun
from ..runtime.reach import attributes, closure, elements, is_of
from ..runtime.scenario import Scenario
from ..runtime.verdict import Finding, Verdict
from ..runtime.workers import Workers

PATIENCE = 1.0      # seconds without a move after which the traced run is given up
MOST_SHOWN = 5
_MOST_THINGS = 2000    # that are looked at for what is in reach


class _TracedRun(Tracing, FreeRun):
    """Roles that run one after the other, where they can, under trace."""


def nothing_seen(outside: Iterable[Outside]) -> Finding:
    """Return the finding that no run saw an operation of ours."""
    used = list(outside)
    which = f": {_listed(used)}" if used else ""
    locks = "lock" if len(used) == 1 else "locks"
    return Finding(Verdict.INCONCLUSIVE, "observed",
                   f"no lock of harness was used ({len(used)} {locks} of `threading` "
                   f"{'was' if len(used) == 1 else 'were'}{which})")


def unseen_of_patch(outside: Iterable[Outside]) -> Finding | None:
    """Return the finding that roles use what was not replaced, while all is to be (`patched`)."""
    used = list(outside)
    if not used or current_patch() is None:
        return None
    return Finding(Verdict.INCONCLUSIVE, "observed",
                   f"nothing found, but what the roles use could not all be replaced: "
                   f"{_listed(used)}")


def used_beside(outside: Iterable[Outside]) -> list[str]:
    """Return what to say of what roles *used* beside our locks, nothing if there is none."""
    used = list(outside)
    return [f"Outside our locks, and not seen: the roles used {_listed(used)}."] if used else []


def in_reach_beside(world: Scenario) -> list[str]:
    """Return the same of what is in reach of the roles, where no run was traced."""
    near = in_reach(world)
    return [f"Outside our locks, and not seen: in reach of the roles there is "
            f"{_listed(near)}."] if near else []


def _listed(outside: list[Outside]) -> str:
    more = f" and {len(outside) - MOST_SHOWN} more" if len(outside) > MOST_SHOWN else ""
    return ", ".join(map(str, outside[:MOST_SHOWN])) + more


def used_in(world: Scenario, workers: Workers) -> list[Outside]:
    """Let the roles of *world* run once more, traced, and return what they use beside our locks, as
    far as that is seen in a moment.
    """
    run = _TracedRun(world, [OneByOne(range(len(world.roles)))], "block", PATIENCE,
                     time.monotonic() + PATIENCE)
    run.play(workers)
    return list(run.tracer.outside.values())


def in_reach(world: Scenario) -> list[Outside]:
    """Return what the functions of the roles can get at: by closures, globals, attributes, items.

    It looks at so many things at most, and into no module and no class.
    """
    found: dict[int, Outside] = {}
    todo: deque[tuple[Any, str, str]] = deque(
        (role, name, "") for name, role in world.roles.items())
    seen: dict[int, Any] = {}
    while todo and len(seen) < _MOST_THINGS:
        thing, name, where = todo.popleft()
        if id(thing) in seen:
            continue
        seen[id(thing)] = thing
        if is_primitive(thing):
            found[id(thing)] = Outside(kind_of(thing), name, where)
        elif not is_of(thing, Node, types.ModuleType, type):
            todo.extend(_parts(thing, name, where))
    return list(found.values())


def _parts(thing: Any, name: str, where: str) -> Iterator[tuple[Any, str, str]]:
    """Yield what *thing* leads to, each with its name and place."""
    if is_of(thing, types.MethodType):
        code = getattr(thing.__func__, "__code__", None)
        if code is not None and is_followed(code):
            yield thing.__self__, "self", _where(code)
        else:    # of the standard library: `name` is how the role gets at it
            yield thing.__self__, name, where
        thing = thing.__func__
    if is_of(thing, functools.partial):
        yield from ((part, name, where) for part in (thing.func, *thing.args,
                                                     *thing.keywords.values()))
    elif is_of(thing, types.FunctionType):
        code = thing.__code__
        if not is_followed(code):
            return
        place = _where(code)
        yield from ((value, free, place) for free, value in closure(thing))
        names = {used for each in _nested(code) for used in each.co_names}
        yield from ((thing.__globals__[used], used, place) for used in sorted(names)
                    if used in thing.__globals__)
        yield from ((value, name, place) for value in thing.__defaults__ or ())
    elif is_of(thing, dict):
        yield from ((value, f"{name}[{key!r}]" if type(key) in (str, int) else f"{name}[...]",
                     where) for key, value in list(dict.items(thing)))
    elif is_of(thing, list, tuple, set, frozenset, deque):
        yield from ((value, f"{name}[...]", where) for value in elements(thing))
    else:
        place = f"{type(thing).__name__}, {where.rpartition(', ')[2]}" if where else ""
        yield from ((value, f"{name}.{key}", place) for key, value in attributes(thing))


def _where(code: types.CodeType) -> str:
    return f"{function_name(code)}, {short_path(code.co_filename)}:{code.co_firstlineno}"


def _nested(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield from _nested(const)
