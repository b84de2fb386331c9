"""Building the world of a run: calling the factory of a scenario, and reading what it returns."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any

from ..locks.calls import call_role
from ..locks.callsite import pass_signal, raised, shown
from ..locks.errors import ScenarioError
from ..locks.task import Maker
from ..locks.user_code import call
from .scenario import Scenario, check, takes_rng
from .solo_run import SoloRun, Unfinished, is_of_call
from .watcher import alone
from .world_names import NamesOfWorld

THE_WORLD = "the world"    # what is called so while it is built
_built: set[str] = set()    # modules of factories that have built a world in this process


def build(factory: Callable[..., Any], name: str, rng: random.Random | None = None) -> Scenario:
    """Call *factory* and return the scenario it describes.

    Args:
        rng: given to a factory with a parameter of that name, which then builds a random world.

    Raises:
        Unfinished: it broke a rule of locks, or waits for ever.
        ScenarioError: what it returned is no scenario.
    """
    if not callable(factory):
        raise ScenarioError(f"scenario {name} is {shown(factory)}, not a callable that returns "
                            f"roles")
    _built.add(_module_of(factory))
    lock_names = NamesOfWorld(factory)
    solo = SoloRun(THE_WORLD, Maker("", lock_names))
    scenario: Scenario
    make = partial(factory, rng=rng) if rng is not None and takes_rng(factory) else factory
    try:
        scenario = alone(THE_WORLD, partial(_made, make, name), solo)
    except Unfinished as exc:
        exc.outcome.names = getattr(factory, "function_name", None)
        raise
    except ScenarioError:
        raise
    except BaseException as exc:
        pass_signal(exc)
        if type(exc) is TypeError and is_of_call(exc):
            raise ScenarioError(f"scenario {name} must be callable without arguments: "
                                f"{exc}") from None
        raise ScenarioError(f"scenario {name} could not build its world: it "
                            f"{raised(exc)}") from exc
    scenario.family, scenario.lock_names = solo.members, lock_names
    lock_names.of(scenario)
    return scenario


def _made(make: Callable[[], Any], name: str) -> Scenario:
    world = call_role(make)
    scenario = world if isinstance(world, Scenario) else Scenario(world)
    call(f"scenario {name}: reading what it returned", check, scenario, name)
    return scenario


def _module_of(factory: Any) -> str:
    return getattr(getattr(factory, "func", factory), "__module__", None) or ""


def has_built(factory: Any) -> bool:
    """Say whether a world was built in this process by a factory of the module of *factory*.

    What that module keeps from world to world may no longer be as it is in a fresh process.
    """
    return _module_of(factory) in _built
