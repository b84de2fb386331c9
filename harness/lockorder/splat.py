"""Predictions in the layout of lockdep, the kernel's lock validator, whose reports are called
splats.

What lockdep prints stands where it prints it: what is asked for, what is held, the chain that leads
from one to the other in reverse order, each link with the calls that made it, and the scenario. Two
things are different: the scenario has a column for each role of the real cycle, not for two, and
nothing is called a deadlock that was not made to happen.

What a finding is, and whether it can happen, is decided in predict.py; here it is put into
words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from ..locks.callsite import Chain, function_name, place_of, split
from ..locks.node import label
from ..locks.task import EXCLUSIVE, SHARED, WAIT
from ..locks.rwsem import RWSemaphore
from ..meetings.meet import writer_of
from ..report.diagram import THREAD_RUN, WIDTH, diagram, is_open
from ..report.result import Result, banner, wrapped
from ..runtime.recorder import Event, verb
from ..runtime.verdict import Outcome, Verdict
from .finding import Prediction
from .graph import Leg
from .held_stacks import Place
from .record import Cycle

_LOCK = {EXCLUSIVE: "lock", SHARED: "rlock", WAIT: "wait"}
_ASK = {EXCLUSIVE: "acquire lock", SHARED: "acquire lock", WAIT: "wait for"}
_FIRST_TEXT, _FIRST_HEAD, _COLUMN, _LEAST = 2, 7, 24, 10   # the columns of lockdep's scenario
KERNEL = "What the kernel's validator would have said of the same run:"
MOST_FULL, MOST_SHORT = 3, 20    # findings shown as a splat, and as a paragraph


def headline(result: Result) -> str:
    """Return what the findings come to, where no run gave the verdict."""
    if result.verdict is Verdict.PREDICTED:
        allowed = [prediction for prediction in result.predictions
                   if prediction.verdict is Verdict.PREDICTED]
        happened = any(prediction.outcome is not None for prediction in allowed)
        what = f"{len(allowed)} deadlocks" if len(allowed) > 1 else "a deadlock"
        return f"the lock order {'allows' if happened else 'may allow'} {what} that did not happen"
    if result.verdict is Verdict.INCONCLUSIVE:
        return "stopped before every cycle in the lock order was judged"
    n = len(result.predictions)
    cycles = f"{n} cycles" if n > 1 else "one cycle"
    return f"{cycles} in the lock order, and no deadlock to be feared"


def statuses(result: Result) -> str:
    """Return how many findings have which status, the gravest first; "" if there is but one."""
    if len(result.predictions) < 2:
        return ""
    counts = Counter(each.status for each in result.predictions)
    return f"{len(result.predictions)} findings: " \
           + ", ".join(f"{n} {status}" for status, n in counts.items())


def paragraphs(result: Result) -> list[str]:
    """Return the findings, gravest first, and at the end what the kernel would have said.

    The diagram of the first deadlock that happened stands beneath its finding.
    """
    splat, parts = _Splat(result), []
    first = next((each for each in result.predictions if each.outcome is not None), None)
    full = [each for each in result.predictions if each.verdict is not Verdict.CLEAN][:MOST_FULL]
    short = [each for each in result.predictions if each not in full]
    for each in [*full, *short[:MOST_SHORT]]:
        if each not in full:
            parts.append(splat.in_short(each))
            continue
        parts += splat.in_full(each)
        if each is first and first is not None:
            parts.append(_as_it_happened(result, first.outcome))
    if len(short) > MOST_SHORT:
        parts.append(f"And {len(short) - MOST_SHORT:,} findings more: --json has all of them.")
    if result.lockdep:
        parts.append(wrapped("\n".join([KERNEL, *(f"  {line}" for line in result.lockdep)])))
    return parts


def _as_it_happened(result: Result, outcome: Outcome) -> str:
    """Return the diagram of the deadlock that *outcome* ended in, if it was not shown before."""
    def knot(of: Outcome) -> set[tuple[str, str, str]]:
        return {(state.role, state.wants, state.mode) for state in of.gravest.cycle} \
            if of.gravest is not None else set()

    if outcome is not result.outcome and knot(outcome) == knot(result.outcome):
        return ""
    drawn = diagram(outcome, result.names, result.titles, result.full)
    return f"As it happened on real threads:\n\n{drawn}" if drawn else ""


class _Row(NamedTuple):
    """One line of the scenario."""

    role: str
    mode: str
    lock: str
    lock_class: str


class _Splat:
    """What the findings of one result have in common."""

    def __init__(self, result: Result) -> None:
        self.names = result.names or function_name
        self.titles = result.titles or {}
        outcomes = [each.outcome for each in result.predictions if each.outcome is not None]
        events = [event for outcome in (result.outcome, *outcomes) for event in outcome.events]
        self.semaphores = {str(event.lock) for event in events
                           if isinstance(event.lock, RWSemaphore)}
        self.semaphores |= {place.name for each in result.predictions for leg in each.legs
                            for place in (leg.held, leg.wanted) if place.mode == SHARED}
        serials: dict[str, int] = {}
        for event in result.outcome.events:
            serials.setdefault(event.task.name, event.task.serial)
        self.roles = sorted(serials, key=serials.__getitem__)   # as the scenario has them

    # -- a finding that cannot happen, or is known --------------------------------------------

    def in_short(self, found: Prediction) -> str:
        """Return one paragraph."""
        gates = {gate for leg in found.legs for gate, _ in leg.gates}
        by = "guarded by " if gates.issuperset(found.reason.split(" and ")) else ""
        what = {"known": "is known", "guarded": "cannot happen", "one-role": "cannot happen"}.get(
            found.status, "can happen" if found.outcome is not None else "may happen")
        legs = "; ".join(self.leg(leg) for leg in found.legs)
        told = f" lockdep: {found.lockdep}" if found.lockdep else ""
        return wrapped(f"{found.status.capitalize()}: {found.key}{_count(found)} {what}: {by}"
                       f"{found.reason}. {legs}.{told}")

    def leg(self, leg: Leg) -> str:
        """Say who asks for what with what in hand."""
        at = self.at(leg.wanted.chain)
        if leg.brings:
            return f"{_bringer(leg, leg.held.name, leg.wanted.name)}, at {at}"
        asks = "waits" if leg.wanted.mode == WAIT else "asks"
        return f"{leg.role} holds {leg.held.name} and {asks} for {leg.wanted.name} at {at}"

    # -- one that can -------------------------------------------------------------------------

    def in_full(self, found: Prediction) -> list[str]:
        """Return the paragraphs of the splat."""
        legs = _closing_last(found.legs, found.outcome)
        parts = [banner(found.headline) + "\n" + self.request(legs[-1])]
        if len(legs) > 1:
            parts.append("which lock already depends on the new lock.")
            parts.append("the existing dependency chain (in reverse order) is:")
            parts += self.chain(legs)
        parts.append("other info that might help us debug this:")
        if len(legs) > 2:
            parts.append("Chain exists of:\n  " + self.exists(legs))
        parts.append(" Possible unsafe locking scenario:")
        parts.append(self.scenario(found, legs))
        parts.append(f" *** {_stars(found)} ***")
        if len(legs) == 1 and found.outcome is None and legs[0].held.name != legs[0].wanted.name:
            parts.append(" May be due to missing lock nesting notation")
        parts.append(f"Cycle: {found.key}{_count(found)}\nStatus: {found.status}: {found.reason}")
        if found.lockdep:
            parts.append(f"lockdep: {found.lockdep}")
        return list(map(wrapped, parts))

    def request(self, leg: Leg) -> str:
        """Say what the last role of the cycle asks for, and what keeps the others waiting."""
        title = f" ({self.titles[leg.role]})" if leg.role in self.titles else ""
        held = "but task is the one to end the wait for:" if leg.brings else \
            "but task is already holding lock:"
        return (f"{leg.role}{title} is trying to {_ASK[leg.wanted.mode]}:\n"
                f"{self.lock_line(leg.wanted)}\n\n{held}\n{self.lock_line(leg.held)}")

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
        names = _distinct((place.name, place.lock_class) for leg in legs
                          for place in (leg.held, leg.wanted))
        links = []
        for number, leg in zip(range(len(legs) - 1, -1, -1), (*legs[-2::-1], legs[-1])):
            wanted = leg.wanted
            instance = f"{_instance(wanted)} " if names[wanted.name] != wanted.lock_class else ""
            who = leg.role
            if leg.brings:
                who = _bringer(leg, names[leg.held.name], names[wanted.name])
            head = f"-> #{number} {instance}({wanted.lock_class}){self.usage(wanted)}: {who}"
            links.append("\n".join([head, *(f"       {frame}" for frame in self.frames(wanted))]))
        return links

    def exists(self, legs: Cycle) -> str:
        """Return the chain in one line, from the lock asked for to the lock held."""
        names = _distinct((leg.wanted.name, leg.wanted.lock_class) for leg in legs)
        return " --> ".join(names[leg.wanted.name] for leg in (legs[-1], *legs[:-1]))

    # -- calls --------------------------------------------------------------------------------

    def calls(self, chain: Chain) -> list[str]:
        """Return the functions that led to a request, innermost first, each with its place."""
        _, calls = split(chain)
        told = [(self.names(code), place_of(code, lasti)) for code, lasti in calls
                if code is not THREAD_RUN]
        named = [f"{name} {at}" for name, at in told if name not in ("", "<lambda>")]
        return named or [at for _, at in told[:1]]

    def at(self, chain: Chain) -> str:
        """Return function and place of a request."""
        return "".join(self.calls(chain)[:1])

    def frames(self, place: Place) -> list[str]:
        """Return the verb of a request and the calls that led to it."""
        return [verb(Event(None, "lock_acquire", None, place.mode, place.chain)),   # type: ignore
                *self.calls(place.chain)]

    # -- the scenario -------------------------------------------------------------------------

    def scenario(self, found: Prediction, legs: Cycle) -> str:
        """Return a column for each role of the cycle."""
        rows = _happened(found.outcome) if found.outcome is not None else []
        rows = rows or _imagined(legs, found.writers)
        roles = dict.fromkeys(row.role for row in rows)
        order = [role for role in self.roles if role in roles]
        order += [role for role in roles if role not in order]
        names = _distinct((row.lock, row.lock_class) for row in rows)
        return _table(order, [(row.role, f"{_LOCK[row.mode]}({names[row.lock]});") for row in rows])


def _bringer(leg: Leg, held: str, wanted: str) -> str:
    """Say why others wait for the role of *leg*, which does not hold what they want."""
    if leg.held.mode != WAIT:
        return f"{leg.role}, queued for {held} before"
    if leg.held.name in (leg.role, f"thread ({leg.role})"):
        return f"{leg.role}, whose end is waited for, needs {wanted} before"
    return f"{leg.role}, which is to end {held}, needs {wanted} before"


def _count(found: Prediction) -> str:
    return f" ({found.count} cycles by instance)" if found.count > 1 else ""


def _stars(found: Prediction) -> str:
    """Return what stands where lockdep has its DEADLOCK."""
    if found.status == "forced":
        return "DEADLOCK"
    if found.status == "needs-writer":
        return f"DEADLOCK ONLY WITH A WRITER QUEUED FOR {' AND '.join(found.writers)}"
    return "NOT REACHED"


def _closing_last(legs: Cycle, outcome: Outcome | None) -> Cycle:
    """Turn the cycle so that it ends with the request that closed it; if none did, with one of a
    role that holds a lock.
    """
    closing = [i for i, leg in enumerate(legs) if not leg.brings] or [len(legs) - 1]
    last = closing[-1]
    if outcome is not None and outcome.gravest is not None:
        asked = [event.task.name for event in outcome.events[:outcome.gravest.events]
                 if event.event == "lock_contended"]
        ranks = {role: i for i, role in enumerate(asked)}
        last = max(closing, key=lambda i: ranks.get(legs[i].role, -1))
    return (*legs[last + 1:], *legs[:last + 1])


def _instance(place: Place) -> str:
    """Return the name of a lock, without its class; "" if that is all there is to say."""
    lock_class = re.sub(r"/\d$", "", place.lock_class)
    if place.name == lock_class:
        return ""
    inner = place.name.removeprefix(f"{lock_class} (").removesuffix(")")
    return inner if label(inner, lock_class) == place.name else place.name


def _distinct(locks: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return what to call each of *locks*, (name, class): its class, if that means no other."""
    classes = dict(locks)
    counts = Counter(classes.values())
    return {name: lock_class if counts[lock_class] == 1 else name
            for name, lock_class in classes.items()}


def _happened(outcome: Outcome) -> list[_Row]:
    """Return what the roles of a deadlock hold of each other, and what they wait for, in true
    order.
    """
    finding = outcome.gravest
    assert finding is not None
    states = {state.role: state for state in finding.cycle}
    wanted = {state.wants for state in finding.cycle}
    rows = []
    for event in outcome.events[:finding.events]:
        state = states.get(event.task.name)
        if state is not None and str(event.lock) in wanted and is_open(event, state):
            rows.append(_Row(state.role, event.mode, str(event.lock), str(event.lock.lock_class)))
    return rows


def _imagined(legs: Cycle, writers: tuple[str, ...]) -> list[_Row]:
    """Return the order in which the roles would have to act: first they take, writers queue, then
    they ask.
    """
    rows = [_Row(leg.role, leg.held.mode, leg.held.name, leg.held.lock_class)
            for leg in legs if not leg.brings]
    classes = {place.name: place.lock_class for leg in legs for place in (leg.held, leg.wanted)}
    roles = {leg.role for leg in legs}
    rows += [_Row(writer_of(name, roles), EXCLUSIVE, name, classes.get(name, name))
             for name in writers]
    return rows + [_Row(leg.role, leg.wanted.mode, leg.wanted.name, leg.wanted.lock_class)
                   for leg in legs]


def _table(order: list[str], rows: list[tuple[str, str]]) -> str:
    """Put *rows*, (role, text), into columns, as wide as lockdep's if they fit; else one role below
    the other, rows numbered.

    A row may run on into the columns to its right: what stands there is empty.
    """
    longest = {role: max(len(text) for of, text in rows if of == role) for role in order}
    for least, texts in ((_COLUMN, longest), *((step, {}) for step in range(_COLUMN, _LEAST, -1))):
        offsets, at = {}, _FIRST_HEAD
        for role in order:
            offsets[role] = at
            at += max(least, len(role) + 2, texts.get(role, 0) + 2)
        if all(offsets[role] + max(longest[role], len(role)) <= WIDTH for role in order):
            return _columns(offsets, rows)
    width = max(map(len, order))
    return "\n".join(f"  {role if i == first else '':{width}}  [{i:2}] {text}" for role in order
                     for first in [next(i for i, (of, _) in enumerate(rows, 1) if of == role)]
                     for i, (of, text) in enumerate(rows, 1) if of == role)


def _columns(offsets: dict[str, int], rows: list[tuple[str, str]]) -> str:
    first = next(iter(offsets))
    heads = rules = ""
    for role, at in offsets.items():
        heads, rules = heads.ljust(at) + role, rules.ljust(at) + "-" * len(role)
    texts = [" " * (_FIRST_TEXT if role == first else offsets[role]) + text for role, text in rows]
    return "\n".join([heads, rules, *texts])
