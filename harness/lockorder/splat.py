"""Predictions in the layout of lockdep, the kernel's lock validator, whose reports are splats.

What lockdep prints stands where it prints it: what is asked for, what is held, the chain that leads
from one to the other in reverse order, each link with the calls that made it, and the scenario. Two
things are different: the scenario has a column for each role of the real cycle, not for two, and
nothing is called a deadlock that was not made to happen.

What a finding is, and whether it can happen, is decided in methods/judging.py; here it is put into
words. The file is long because it is one page of text, from the first line to the last.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from ..locks.calls import Chain
from ..locks.callsite import function_name, place_of, split
from ..locks.node import label
from ..locks.rwsem import RWSemaphore
from ..locks.task import EXCLUSIVE, SHARED, WAIT
from ..meetings.meet import writer_of
from ..report.diagram import THREAD_RUN, diagram, first_fitting, is_open, spread
from ..report.result import Result, banner, wrapped
from ..runtime.recorder import Event, verb
from ..runtime.verdict import Outcome, Verdict
from .finding import FORCED, GUARDED, KNOWN, NEEDS_WRITER, ONE_ROLE, Prediction
from .graph import Leg
from .held_stacks import Place
from .record import Cycle

_LOCK = {EXCLUSIVE: "lock", SHARED: "rlock", WAIT: "wait"}
_FIRST_TEXT, _FIRST_HEAD, _COLUMN, _LEAST = 2, 7, 24, 11   # the columns of lockdep's scenario
_Rows = list[tuple[str, Place]]      # of the scenario: who takes which lock
KERNEL = "What the kernel's validator would have said of the same run:"
MOST_FULL, MOST_SHORT = 3, 20    # findings shown as a splat, and as a paragraph


def paragraphs(result: Result) -> list[str]:
    """Return the findings, gravest first, and at the end what the kernel would have said.

    The diagram of the first deadlock that happened stands beneath its finding.
    """
    splat, parts, predictions = _Splat(result), [], result.predictions
    first: Any = next((prediction for prediction in predictions if prediction.outcome), None)
    full = [prediction for prediction in predictions
            if prediction.verdict is not Verdict.CLEAN][:MOST_FULL]
    short = [prediction for prediction in predictions if prediction not in full]
    for prediction in full:
        parts += splat.in_full(prediction)
        if prediction is first:
            parts.append(_as_it_happened(result, prediction.outcome))
    parts += map(splat.in_short, short[:MOST_SHORT])
    if len(short) > MOST_SHORT:
        parts.append(f"And {len(short) - MOST_SHORT:,} findings more: --json has all of them.")
    if result.lockdep:
        parts.append(wrapped("\n".join([KERNEL, *(f"  {line}" for line in result.lockdep)])))
    return parts


def _as_it_happened(result: Result, outcome: Outcome) -> str:
    """Return the diagram of the deadlock that *outcome* ended in, if it was not shown before."""
    def knot(of: Outcome) -> set[tuple[str, str, str]]:
        cycle = of.gravest.cycle if of.gravest is not None else ()
        return {(state.role, state.wants, state.mode) for state in cycle}

    if outcome is not result.outcome and knot(outcome) == knot(result.outcome):
        return ""
    drawn = diagram(outcome, result.names, result.titles, result.full)
    return f"As it happened on real threads:\n\n{drawn}" if drawn else ""


class _Splat:
    """What the findings of one result have in common."""

    def __init__(self, result: Result) -> None:
        self.names = result.names or function_name
        self.titles = result.titles or {}
        outcomes = [result.outcome, *(prediction.outcome for prediction in result.predictions)]
        self.semaphores = {str(event.lock) for outcome in outcomes if outcome is not None
                           for event in outcome.events if isinstance(event.lock, RWSemaphore)}
        self.semaphores |= {place.name for prediction in result.predictions
                            for place in _places(prediction.legs) if place.mode == SHARED}
        serials = {event.task.name: event.task.serial for event in reversed(result.outcome.events)}
        self.roles = sorted(serials, key=serials.__getitem__)   # as the scenario has them

    def in_short(self, prediction: Prediction) -> str:
        """Return one paragraph: for a finding that cannot happen, is known, or is one of many."""
        gates = {gate for leg in prediction.legs for gate, _ in leg.gates}
        by = "guarded by " if gates.issuperset(prediction.reason.split(" and ")) else ""
        cannot = "cannot happen" if prediction.proved else "cannot happen as it was seen"
        what = {KNOWN: "is known", GUARDED: cannot, ONE_ROLE: cannot}.get(
            prediction.status, "can happen" if prediction.outcome is not None else "may happen")
        legs = "; ".join(map(self.leg, prediction.legs))
        kernel = f" lockdep: {prediction.lockdep}" if prediction.lockdep else ""
        return wrapped(f"{prediction.status.capitalize()}: {_cycle(prediction)} {what}: {by}"
                       f"{prediction.reason}. {legs}.{kernel}")

    def leg(self, leg: Leg) -> str:
        """Say who asks for what with what in hand."""
        at = self.at(leg.wanted.chain)
        if leg.brings:
            return f"{_bringer(leg, leg.held.name, leg.wanted.name)}, at {at}"
        asks = "waits" if leg.wanted.mode == WAIT else "asks"
        return f"{leg.role} holds {leg.held.name} and {asks} for {leg.wanted.name} at {at}"

    def in_full(self, prediction: Prediction) -> list[str]:
        """Return the paragraphs of the splat of a finding that can happen."""
        legs = _closing_last(prediction.legs, prediction.outcome)
        parts = [f"{banner(prediction.headline)}\n{self.request(legs[-1])}"]
        if len(legs) > 1:
            parts += ["which lock already depends on the new lock.",
                      "the existing dependency chain (in reverse order) is:", *self.chain(legs)]
        parts.append("other info that might help us debug this:")
        if len(legs) > 2:
            names = _distinct([leg.wanted for leg in legs])
            links = [names[leg.wanted.name] for leg in (legs[-1], *legs[:-1])]
            parts.append(f"Chain exists of:\n  {' --> '.join(links)}")
        parts += [" Possible unsafe locking scenario:", self.scenario(prediction, legs),
                  f" *** {_stars(prediction)} ***"]
        two_of_a_class = len(legs) == 1 and legs[0].held.name != legs[0].wanted.name
        if two_of_a_class and prediction.outcome is None:
            parts.append(" May be due to missing lock nesting notation")
        parts.append(f"Cycle: {_cycle(prediction)}\n"
                     f"Status: {prediction.status}: {prediction.reason}")
        if prediction.lockdep:
            parts.append(f"lockdep: {prediction.lockdep}")
        return list(map(wrapped, parts))

    def request(self, leg: Leg) -> str:
        """Say what the last role of the cycle asks for, and what keeps the others waiting."""
        title = f" ({self.titles[leg.role]})" if leg.role in self.titles else ""
        asks = "wait for" if leg.wanted.mode == WAIT else "acquire lock"
        held = "the one to end the wait for" if leg.brings else "already holding lock"
        return (f"{leg.role}{title} is trying to {asks}:\n{self.lock_line(leg.wanted)}\n\n"
                f"but task is {held}:\n{self.lock_line(leg.held)}")

    def lock_line(self, place: Place) -> str:
        """Return instance, class and place of a lock; where kernels print an address, its name."""
        at = self.at(place.chain)
        line = f"{_instance(place)} ({place.lock_class}){self.usage(place)}"
        return f"{line}, at: {at}" if at else line

    def usage(self, place: Place) -> str:
        """Return what lockdep shows of a lock that tasks take and interrupts do not."""
        return "{++++}" if place.name in self.semaphores else "{+.+.}"

    def chain(self, legs: Cycle) -> list[str]:
        """Return the links, the one that the last role holds first, down to the one it asks for."""
        names, links = _distinct(_places(legs)), []
        for number, leg in enumerate([legs[-1], *legs[:-1]]):
            wanted = leg.wanted
            instance = f"{_instance(wanted)} " if names[wanted.name] != wanted.lock_class else ""
            who = _bringer(leg, names[leg.held.name], names[wanted.name]) if leg.brings \
                else leg.role
            head = f"-> #{number} {instance}({wanted.lock_class}){self.usage(wanted)}: {who}"
            asked = Event(None, "lock_acquire", None, wanted.mode, wanted.chain)   # type: ignore
            links.append("\n       ".join([head, verb(asked), *self.calls(wanted.chain)]))
        return links[::-1]

    def calls(self, chain: Chain) -> list[str]:
        """Return the functions that led to a request, innermost first, each with its place."""
        _, calls = split(chain)
        places = [(self.names(code), place_of(code, lasti)) for code, lasti in calls
                  if code is not THREAD_RUN]
        named = [f"{name} {at}" for name, at in places if name not in ("", "<lambda>")]
        return named or [at for _, at in places[:1]]

    def at(self, chain: Chain) -> str:
        """Return function and place of a request."""
        return "".join(self.calls(chain)[:1])

    def scenario(self, prediction: Prediction, legs: Cycle) -> str:
        """Return a column for each role of the cycle."""
        rows = _happened(prediction.outcome) if prediction.outcome is not None else []
        rows = rows or _imagined(legs, prediction.writers)
        roles = dict.fromkeys(role for role, _ in rows)
        order = dict.fromkeys([*(role for role in self.roles if role in roles), *roles])
        names = _distinct([place for _, place in rows])
        return _table(list(order), [(role, f"{_LOCK[place.mode]}({names[place.name]});")
                                    for role, place in rows])


def _bringer(leg: Leg, held: str, wanted: str) -> str:
    """Say why others wait for the role of *leg*, which does not hold what they want."""
    if leg.held.mode != WAIT:
        return f"{leg.role}, queued for {held} before"
    if leg.held.name in (leg.role, f"thread ({leg.role})"):
        return f"{leg.role}, whose end is waited for, needs {wanted} before"
    return f"{leg.role}, which is to end {held}, needs {wanted} before"


def _cycle(prediction: Prediction) -> str:
    count = f" ({prediction.count} cycles by instance)" if prediction.count > 1 else ""
    return f"{prediction.key}{count}"


def _stars(prediction: Prediction) -> str:
    """Return what stands where lockdep has its DEADLOCK."""
    only = f"DEADLOCK ONLY WITH A WRITER QUEUED FOR {' AND '.join(prediction.writers)}"
    return {FORCED: "DEADLOCK", NEEDS_WRITER: only}.get(prediction.status, "NOT REACHED")


def _closing_last(legs: Cycle, outcome: Outcome | None) -> Cycle:
    """Turn the cycle to end with the request that closed it, else with a holder's."""
    closing = [i for i, leg in enumerate(legs) if not leg.brings] or [len(legs) - 1]
    last = closing[-1]
    if outcome is not None and outcome.gravest is not None:
        events = enumerate(outcome.events[:outcome.gravest.events])
        ranks = {event.task.name: i for i, event in events if event.event == "lock_contended"}
        last = max(closing, key=lambda i: ranks.get(legs[i].role, -1))
    return (*legs[last + 1:], *legs[:last + 1])


def _instance(place: Place) -> str:
    """Return the name of a lock, without its class; "" if that is all there is to say."""
    lock_class = re.sub(r"/\d$", "", place.lock_class)
    if place.name == lock_class:
        return ""
    inner = place.name.removeprefix(f"{lock_class} (").removesuffix(")")
    return inner if label(inner, lock_class) == place.name else place.name


def _places(legs: Cycle) -> list[Place]:
    return [place for leg in legs for place in (leg.held, leg.wanted)]


def _distinct(places: Sequence[Place]) -> dict[str, str]:
    """Return what to call each lock: its class, if that means no other."""
    classes = {place.name: place.lock_class for place in places}
    counts = Counter(classes.values())
    return {name: lock_class if counts[lock_class] == 1 else name
            for name, lock_class in classes.items()}


def _happened(outcome: Outcome) -> _Rows:
    """Return what the roles of a deadlock hold of each other and wait for, in true order."""
    finding = outcome.gravest
    assert finding is not None
    states = {state.role: state for state in finding.cycle}
    wanted = {state.wants for state in finding.cycle}
    return [(event.task.name, Place(str(event.lock), str(
                event.lock.lock_class if event.lock.is_classed else event.lock), event.mode, ()))
            for event in outcome.events[:finding.events]
            if event.task.name in states and str(event.lock) in wanted
            and is_open(event, states[event.task.name])]


def _imagined(legs: Cycle, writers: tuple[str, ...]) -> _Rows:
    """Return how the roles would have to act: first they take, writers queue, then they ask."""
    classes = {place.name: place.lock_class for place in _places(legs)}
    roles = {leg.role for leg in legs}
    queued = [(writer_of(name, roles), Place(name, classes.get(name, name), EXCLUSIVE, ()))
              for name in writers]
    return [*((leg.role, leg.held) for leg in legs if not leg.brings), *queued,
            *((leg.role, leg.wanted) for leg in legs)]


def _table(order: list[str], rows: list[tuple[str, str]]) -> str:
    """Put *rows*, (role, text), into columns, as wide as lockdep's if they fit; else one role below
    the other, rows numbered.
    """
    texts = {role: max(len(text) for of, text in rows if of == role) for role in order}
    steps = [[max(_COLUMN, len(role) + 2, texts[role] + 2) for role in order],
             *([max(step, len(role) + 2) for role in order]
               for step in range(_COLUMN, _LEAST - 1, -1))]
    columns = first_fitting(
        (dict(zip(order, accumulate(step, initial=_FIRST_HEAD), strict=False)) for step in steps),
        {role: max(texts[role], len(role)) for role in order})
    if columns is not None:
        return "\n".join([spread((columns[role], role) for role in order),
                          spread((columns[role], "-" * len(role)) for role in order),
                          *(spread([(_FIRST_TEXT if role == order[0] else columns[role], text)])
                            for role, text in rows)])
    width, lines = max(map(len, order)), []
    for role in order:
        first, *others = [f"[{i:2}] {text}" for i, (of, text) in enumerate(rows, 1) if of == role]
        lines += [f"  {role:{width}}  {first}", *(" " * (width + 4) + text for text in others)]
    return "\n".join(lines)
