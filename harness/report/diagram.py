"""Who waits for whom, in columns.

The diagram is the one kernel developers draw in mails: a column per role, a row per acquisition
still held or request that waits, in true order, with the calls that led there, each printed once.
What decided on the way has a row where it matters (decisions.py).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from types import CodeType
from typing import NamedTuple

from ..locks.callsite import function_name, split
from ..runtime.recorder import Event, RoleState, place, verb
from ..runtime.verdict import Outcome, counted
from .decisions import telling, whys
from .proof import blocked_by, by_name

WIDTH = 100
MOST = 40    # events of a schedule that ends in no deadlock, unless every one is asked for
Names = Callable[[CodeType], str]    # what a function is called, given its code
THREAD_RUN = threading.Thread.run.__code__


# -- the diagram --------------------------------------------------------------------------------


class _Row(NamedTuple):
    """One line of the diagram: in which column, how deep, what."""

    role: str
    depth: int
    text: str
    mark: str = ""

    def line(self, indent: int) -> str:
        """Return its text with *indent* blanks for each call it is inside of."""
        text = " " * (indent * self.depth) + self.text
        return f"{text}  {self.mark}" if self.mark else text


def diagram(outcome: Outcome, names: Names | None = None, titles: Mapping[str, str] | None = None,
            full: bool = False) -> str:
    """Return the columns of the roles that wait for each other (of all that wait, in a hang).

    Args:
        names: what a function is called, given its code.
        titles: role -> a word on it, for the head of its column.
        full: every event, not only what is still held.
    """
    finding = outcome.gravest
    assert finding is not None
    states = (*finding.cycle, *finding.others) or [
        state for state in finding.roles if state.state.startswith("waits")]
    shown = by_name(states)
    events = outcome.events[:finding.events]
    numbered = list(enumerate(events))
    if not full:
        refusals = telling(numbered, shown)
        numbered = [(i, event) for i, event in numbered if i in refusals
                    or event.task.name in shown and is_open(event, shown[event.task.name])]
    return _layout([state.role for state in finding.roles], titles or {},
                   _rows(numbered, whys(events), shown, by_name(finding.roles), names))


def full_trace(outcome: Outcome, names: Names | None = None,
               titles: Mapping[str, str] | None = None, full: bool = True) -> str:
    """Return every event of a run, in columns; if not *full* the last `MOST`, and how many more."""
    events = outcome.events[:outcome.gravest.events if outcome.gravest else None]
    order = list(dict.fromkeys(event.task.name for event in events))
    numbered = [(i, event) for i, event in enumerate(events) if event.event != "lock_acquire"]
    left_out = 0 if full else max(len(numbered) - MOST, 0)
    drawn = _layout(order, titles or {},
                    _rows(numbered[left_out:], whys(events), {}, {}, names))
    return f"{drawn}\n(after {counted(left_out, 'earlier event')}, which --full shows)" \
        if left_out else drawn


def is_open(event: Event, state: RoleState) -> bool:
    """Say whether *event* is a lock that the role still holds, or the request it waits with."""
    if event.event == "lock_contended":
        return event.chain is state.chain
    return event.event == "lock_acquired" and any(event.chain is hold.chain for hold in state.holds)


def _rows(events: list[tuple[int, Event]], refused: Mapping[int, str],
          shown: dict[str, RoleState], roles: Mapping[str, RoleState],
          names: Names | None) -> list[_Row]:
    rows: list[_Row] = []
    last: dict[str, list[tuple[int, str]]] = {}
    for i, event in events:
        if event.event == "lock_acquire" or not event.mode and not place(event.chain):
            continue   # what came of the request is the row; a step of ours is none
        role = event.task.name
        calls, before = _calls(event, role, names or function_name), last.get(role, [])
        last[role] = calls
        common = 0
        while common < min(len(before), len(calls)) and before[common] == calls[common]:
            common += 1
        rows += [_Row(role, depth, f"{calls[depth][1]}()") for depth in range(common, len(calls))]
        mark = ""
        if event.event == "lock_contended":
            mark = "<-- had to wait"
            state = shown.get(role)
            if state is not None and event.chain is state.chain:
                mark = f"<-- waits, {blocked_by(state, roles) or 'nobody is known to end it'}"
        elif i in refused:
            mark = f"<-- {refused[i]}"
        elif not event.mode:    # it asks for nothing: what it is about to do stands at the place
            mark = f"at {place(event.chain)}"
        rows.append(_Row(role, len(calls), _done(event), mark))
    return _merged(rows)


def _merged(rows: list[_Row]) -> list[_Row]:
    """Return *rows* with one in place of those of a role that is refused again and again."""
    merged: list[_Row] = []
    for row, same in groupby(rows):
        times = len(list(same))
        if times > 1 and row.mark.startswith("<-- refused"):
            merged.append(row._replace(mark=f"{row.mark}, {times:,} times"))
        else:
            merged += [row] * times
    return merged


def _done(event: Event) -> str:
    """Return what was done, as a call of the verb."""
    name = event.lock if isinstance(event.lock, str) else event.lock.name
    what = verb(event)
    tries = event.event == "lock_refused" and what == "acquire"    # other verbs say that they try
    return f"{what}({name}{', blocking=False' if tries else ''})"


def _calls(event: Event, role: str, names: Names) -> list[tuple[int, str]]:
    """Return the calls that led to *event*, outermost first, as (identity, name).

    Without what says nothing: the role's own function, functions without a name, and one that calls
    the one it overrides.
    """
    named = [(id(code), names(code)) for code, _ in reversed(split(event.chain)[1])
             if code is not THREAD_RUN]
    if named and named[0][1] == role:
        del named[0]
    return [call for i, call in enumerate(named)
            if call[1] not in ("", "<lambda>") and (not i or named[i - 1][1] != call[1])]


def _layout(order: list[str], titles: Mapping[str, str], rows: list[_Row]) -> str:
    """Put *rows* into columns if they fit at some indentation, else one role below the other.

    The titles stand in the heads of the columns, or above them where that is too wide. A role of
    which there is no row, since a step of ours is none, has no column.
    """
    if not rows:
        return ""
    present = {row.role for row in rows}    # a role may have done nothing that is a row
    order = [role for role in order if role in present]
    titled = {role: f"{role} {titles[role]}" if role in titles else role for role in order}
    plain = {role: role for role in order}
    above = [f"{role}: {titles[role]}" for role in order if role in titles]
    for indent in (2, 1, 0):
        for heads, lines in ((titled, []), (plain, above)):
            columns = _columns(heads, rows, indent)
            if columns is not None:
                head = spread((at, heads[role]) for role, at in columns.items())
                return "\n".join([*lines, head, "-" * WIDTH, *(
                    spread([(columns[row.role], row.line(indent))]) for row in rows)])
    blocks = {role: [head, "-" * WIDTH] for role, head in titled.items()}
    for i, row in enumerate(rows, 1):
        blocks[row.role].append(f"[{i:3}] {row.line(1)}")
    return "\n\n".join(map("\n".join, blocks.values()))


def _columns(heads: dict[str, str], rows: list[_Row], indent: int) -> dict[str, int] | None:
    """Return where columns begin that are as far apart as rows without marks need, if that fits."""
    *inner, last = heads
    least = max([10, *(len(heads[role]) + 2 for role in inner)])
    rows_need = [indent * row.depth + len(row.text) + 2 for row in rows if row.role != last]
    most = max([least, *rows_need])
    widths = dict.fromkeys(heads, 0)
    for row in rows:
        widths[row.role] = max(widths[row.role], len(row.line(indent)))
    return first_fitting(
        ({role: i * step for i, role in enumerate(heads)} for step in range(most, least - 1, -1)),
        widths)


def first_fitting(choices: Iterable[dict[str, int]],
                  widths: dict[str, int]) -> dict[str, int] | None:
    """Return the first of *choices* of where the columns begin with which no row is too long.

    A row belongs to one role, so it may run on into the columns to its right: what stands there is
    empty.
    """
    return next((columns for columns in choices if all(
        at + widths[role] <= WIDTH for role, at in columns.items())), None)


def spread(words: Iterable[tuple[int, str]]) -> str:
    """Return a line in which each of *words* begins at its column."""
    line = ""
    for at, word in words:
        line = line.ljust(at) + word
    return line
