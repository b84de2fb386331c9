"""A scenario: what roles do in a fresh world, and what is asked of them."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..locks.callsite import first_line, raised_at
from ..locks.errors import ScenarioError
from ..locks.node import LockClass
from ..locks.one_line import one_line
from ..locks.task import name_locks_afresh, this_thread
from .asking import refuse_lazy

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
        invariants: name -> callable, called after each lock event, which says the same of the world
            at that moment. Must take no lock.
        function_name: what reports call a function of a code object. Default: its qualified name.
        title: role name -> a word on what it is, for the head of its column.
        lock_classes: what prediction is to know of classes of locks, each a `LockClass`.
        program: what the roles do with locks, as a `program.Program`, where that is all they do.
        inner_locks: the roles are a model of something: locks of the standard library that they use
            are part of it, and no report tells of them, nor of roles that take no lock.
        at: returns which of the program's operations a role, given by name, is at.
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

    def __repr__(self) -> str:
        return one_line(self, f"of {', '.join(map(str, self.roles))}"
                        if isinstance(self.roles, Mapping) else "of no roles")


def build(factory: Callable[..., Any], name: str, rng: random.Random | None = None) -> Scenario:
    """Call *factory* and return the scenario it describes.

    Args:
        rng: given to a factory with a parameter of that name, which then builds a random world.

    Raises:
        ScenarioError: what it returned is no scenario.
    """
    if not callable(factory):
        raise ScenarioError(f"scenario {name} is {factory!r}, not a callable that returns roles")
    name_locks_afresh()
    try:
        world = factory(rng=rng) if rng is not None and takes_rng(factory) else factory()
    except ScenarioError:
        raise
    except Exception as exc:
        tb = exc.__traceback__
        if isinstance(exc, TypeError) and tb is not None and tb.tb_next is None:
            raise ScenarioError(f"scenario {name} must be callable without arguments: "
                                f"{exc}") from None
        raise ScenarioError(f"scenario {name} could not build its world: {first_line(exc)}, "
                            f"at {raised_at(exc)}") from exc
    finally:
        this_thread.named = None
    scenario = world if isinstance(world, Scenario) else Scenario(world)
    if not isinstance(scenario.roles, Mapping) or not scenario.roles:
        raise ScenarioError(f"scenario {name} returned no roles: expected a mapping from role "
                            f"names to callables, got {scenario.roles!r}")
    for role, function in scenario.roles.items():
        if not isinstance(role, str) or not callable(function):
            raise ScenarioError(f"scenario {name}: role {role!r} is {function!r}, "
                                f"expected a name and a callable")
        code = getattr(function, "__code__", None)
        if code is not None and code.co_flags & _LAZY:
            raise ScenarioError(f"scenario {name}: role {role!r} is a generator or a coroutine: "
                                f"calling it does nothing")
    _refuse_what_cannot_answer(scenario, name)
    return scenario


def _refuse_what_cannot_answer(scenario: Scenario, name: str) -> None:
    """Refuse a check or an invariant that is none: nobody would hear what it says."""
    if scenario.check is not None:
        refuse_lazy(scenario.check, f"scenario {name}: the check at the end")
    if not isinstance(scenario.invariants, Mapping):
        raise ScenarioError(f"scenario {name}: invariants is {scenario.invariants!r}, expected a "
                            f"mapping from names to callables")
    for invariant, function in scenario.invariants.items():
        refuse_lazy(function, f"scenario {name}: invariant {invariant!r}")


def takes_rng(factory: Callable[..., Any]) -> bool:
    """Say whether *factory* has a parameter ``rng``."""
    try:
        return "rng" in inspect.signature(factory).parameters
    except (TypeError, ValueError):
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
    return f"{module}:{qualname}" if module and qualname else repr(factory)
