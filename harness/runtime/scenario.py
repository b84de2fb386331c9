"""A scenario: what roles do in a fresh world, and what is asked of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..locks.callsite import shown
from ..locks.errors import ScenarioError, unknown_name
from ..locks.node import LockClass
from ..locks.one_line import one_line
from ..locks.outsiders import Member
from ..locks.named_by_user import text_of
from .asking import refuse_lazy
from .world_names import NamesOfWorld

Role = Callable[[], Any]
_LAZY = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


@dataclass
class Scenario:
    """The roles of one run, in a world built for it.

    Args:
        roles: role name -> what it does. The order is the order of the report's columns.
        meet: a `Meet`, or several that follow each other: where the roles must meet.
        check: called with no argument when every role has ended; raises AssertionError or returns
            False if the world is wrong, and returns None or True if it is right.
        invariants: name -> callable, called after each lock event and at each `step`, which says
            the same of the world at that moment. Must take no lock.
        function_name: what reports call a function of a code object. Default: its qualified name.
            What is found while the world is built asks an attribute of that name of the factory.
        title: role name -> a word on what it is, for the head of its column.
        lock_classes: what prediction is to know of classes of locks, each a `LockClass`.
        program: what the roles do with locks, as a `program.Program`, where that is all they do.
        inner_locks: the roles are a model of something: locks of the standard library that they use
            are part of it, and no report tells of them, nor of roles that take no lock.
        at: returns which of the program's operations a role, given by name, is at.
        lock_names: set by `build`: what locks that were given no name are called.
    """

    roles: Mapping[str, Role]
    meet: Any = ()
    check: Role | None = None
    invariants: Mapping[str, Role] = field(default_factory=dict)
    function_name: Callable[[Any], str] | None = None
    title: Mapping[str, str] = field(default_factory=dict)
    lock_classes: Sequence[LockClass] = ()
    program: Any = None
    at: Callable[[str], int] | None = None
    inner_locks: bool = False
    lock_names: NamesOfWorld | None = field(default=None, init=False, repr=False, compare=False)
    # Threads of the world that are no roles: the factory started them, or they each other.
    family: list[Member] = field(default_factory=list, init=False, repr=False, compare=False)

    def __repr__(self) -> str:
        return one_line(self, f"of {', '.join(map(str, self.roles))}"
                        if isinstance(self.roles, Mapping) else "of no roles")


def check(scenario: Scenario, name: str) -> None:
    """Refuse what is no scenario; let its names be strings, and nothing that looks like one."""
    if not _is_mapping(scenario.roles) or not scenario.roles:
        raise ScenarioError(f"scenario {name} returned no roles: expected a mapping from role "
                            f"names to callables, got {shown(scenario.roles)}")
    for role, function in scenario.roles.items():
        if not isinstance(role, str) or not callable(function):
            raise ScenarioError(f"scenario {name}: role {shown(role)} is {shown(function)}, "
                                f"expected a name and a callable")
        code = getattr(function, "__code__", None)
        if code is not None and code.co_flags & _LAZY:
            raise ScenarioError(f"scenario {name}: role {role!r} is a generator or a coroutine: "
                                f"calling it does nothing")
    if not isinstance(scenario.lock_classes, (list, tuple)):
        raise ScenarioError(f"scenario {name}: lock_classes is {shown(scenario.lock_classes)}, "
                            f"expected a list of LockClass")
    for declared in scenario.lock_classes:
        text_of(declared, f"scenario {name}: a lock class, of lock_classes,")
    if not _is_mapping(scenario.invariants):
        raise ScenarioError(f"scenario {name}: invariants is {shown(scenario.invariants)}, "
                            f"expected a mapping from names to callables")
    if not _is_mapping(scenario.title):
        raise ScenarioError(f"scenario {name}: title is {shown(scenario.title)}, expected a "
                            f"mapping from roles")
    scenario.roles = _by_plain_name(scenario.roles)
    scenario.title = scenario.title and _by_plain_name(scenario.title)
    scenario.invariants = scenario.invariants and _by_plain_name(scenario.invariants)
    if scenario.title:
        scenario.title = {role: str.__str__(str(title)) for role, title in scenario.title.items()}
    _refuse_what_cannot_answer(scenario, name)
    _refuse_what_is_of_nothing(scenario, f"scenario {name}")


def _refuse_what_cannot_answer(scenario: Scenario, name: str) -> None:
    """Refuse a check or an invariant that is none: nobody would hear what it says."""
    if scenario.check is not None:
        refuse_lazy(scenario.check, f"scenario {name}: the check at the end")
    for invariant, function in scenario.invariants.items():
        refuse_lazy(function, f"scenario {name}: invariant {invariant!r}")


def _refuse_what_is_of_nothing(scenario: Scenario, what: str) -> None:
    """Refuse what a scenario says besides, where it would be ignored, or fail in a report."""
    for name in ("function_name", "at"):
        value = getattr(scenario, name)
        if value is not None and not callable(value):
            raise ScenarioError(f"{what}: {name} is {shown(value)}, expected a callable")
    meetings = scenario.meet if isinstance(scenario.meet, (list, tuple)) else \
        [] if scenario.meet is None else [scenario.meet]
    for meeting in meetings:
        if not hasattr(meeting, "points"):
            raise ScenarioError(f"{what}: meet is {shown(scenario.meet)}, expected a Meet or "
                                f"several")
    if scenario.program is not None and not hasattr(scenario.program, "threads"):
        raise ScenarioError(f"{what}: program is {shown(scenario.program)}, expected a Program")
    if not isinstance(scenario.inner_locks, bool):
        raise ScenarioError(f"{what}: inner_locks is {shown(scenario.inner_locks)}, expected True "
                            f"or False")
    for role in scenario.title:
        if role not in scenario.roles:
            raise unknown_name(f"{what}: title: there is no role", role, list(scenario.roles))
    for declared in scenario.lock_classes:
        if not isinstance(declared, LockClass):
            raise ScenarioError(f"{what}: lock_classes has {shown(declared)}, expected a LockClass")


def _is_mapping(given: Any) -> bool:
    return type(given) is dict or isinstance(given, Mapping)    # the question costs a microsecond


def _by_plain_name(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return *given* with plain strings for its keys, which may compare as their author likes."""
    if type(given) is dict and {*map(type, given)} <= {str}:
        return given
    return {str.__str__(key) if isinstance(key, str) else shown(key): value
            for key, value in given.items()}


def takes_rng(factory: Callable[..., Any]) -> bool:
    """Say whether *factory* has a parameter ``rng``."""
    try:
        return "rng" in inspect.signature(factory).parameters
    except Exception:    # of a signature of the user's own, too
        return False


def reference_of(factory: Any) -> tuple[str, dict[str, Any]] | None:
    """Return MODULE:NAME and arguments of *factory* for another process; None if that cannot be.

    A factory made by a function says so itself, in its attribute `reference`.
    """
    reference: tuple[str, dict[str, Any]] | None = getattr(factory, "reference", None)
    if reference is not None:
        return reference
    module, qualname = getattr(factory, "__module__", None), getattr(factory, "__qualname__", "<")
    if module in (None, "__main__") or "<" in qualname:
        return None
    return f"{module}:{qualname}", {}


def name_of(factory: Any) -> str:
    """Return what reports call the scenario made by *factory*."""
    name = getattr(factory, "scenario_name", None) or getattr(factory, "reference", ("",))[0]
    if name:
        return str(name)
    module, qualname = getattr(factory, "__module__", ""), getattr(factory, "__qualname__", "")
    return f"{module}:{qualname}" if module and qualname else shown(factory)
