"""Who waits for whom, in columns and in sentences.

The diagram is the one kernel developers draw in mails: a column per role, a row per acquisition
still held or request that waits, in true order, with the calls that led there, each printed once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import CodeType

from ..locks.callsite import function_name, split
from ..locks.task import EXCLUSIVE, SHARED, WAIT
from ..runtime.recorder import Event, RoleState, verb
from ..runtime.verdict import Finding, Outcome

WIDTH = 100
MODE = {EXCLUSIVE: "exclusive", SHARED: "shared", WAIT: "wait"}
Names = Callable[[CodeType], str]    # what a function is called, given its code
THREAD_RUN = threading.Thread.run.__code__


def blocked_by(state: RoleState, roles: tuple[RoleState, ...]) -> str:
    """Say who blocks the request of *state*, and whether by holding the lock or by waiting for
    it.
    """
    phrases = []
    for name in state.waits_for:
        other = next((role for role in roles if role.role == name), None)
        mine = "it itself" if name == state.role else name
        modes = [hold.mode for hold in other.holds if hold.lock == state.wants] if other else []
        if state.mode == WAIT:
            phrases.append(f"{mine} is to end the wait")
        elif SHARED in modes and EXCLUSIVE not in modes:
            phrases.append(f"{mine} holds it for read")
        elif modes or other is None:
            phrases.append(f"{mine} holds it")
        else:
            phrases.append(f"{mine} is queued for it before")
    return ", ".join(phrases)


def proof(finding: Finding) -> list[str]:
    """Return who holds and who wants what, where."""
    lines = []
    for state in finding.cycle or finding.roles:
        if state.state.startswith("waits"):
            at = f" at {state.at}" if state.at else ""
            wants = f"{state.role} {state.state} for {state.wants} ({MODE[state.mode]}){at}"
            who = blocked_by(state, finding.roles)
            lines.append(f"{wants}: {who}" if who else wants)
        elif not finding.cycle:
            lines.append(f"{state.role} {state.state}" + (f" at {state.at}" if state.at else ""))
        lines += [f"  and holds {hold.lock} ({MODE[hold.mode]}){f', taken at {hold.at}' * bool(hold.at)}"
                  for hold in state.holds]
    return lines


# -- the diagram --------------------------------------------------------------------------------


@dataclass
class _Row:
    """One line of the diagram: in which column, how deep, what."""

    role: str
    depth: int
    text: str
    mark: str = ""


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
    states = finding.cycle or [state for state in finding.roles if state.state.startswith("waits")]
    shown = {state.role: state for state in states}
    events = outcome.events[:finding.events]
    if not full:
        events = [event for event in events
                  if event.task.name in shown and is_open(event, shown[event.task.name])]
    present = {event.task.name for event in events}
    order = [state.role for state in finding.roles if state.role in present]
    if not order:
        return ""
    rows = _rows(events, shown, finding.roles, names or function_name)
    return _layout(order, titles or {}, rows)


def full_trace(outcome: Outcome, names: Names | None = None,
               titles: Mapping[str, str] | None = None) -> str:
    """Return every event of a run, in columns."""
    finding, events = outcome.gravest, outcome.events
    events = events[:finding.events] if finding else events
    order = list(dict.fromkeys(event.task.name for event in events))
    rows = _rows(events, {}, (), names or function_name)
    return _layout(order, titles or {}, rows)


def is_open(event: Event, state: RoleState) -> bool:
    """Say whether *event* is a lock that the role still holds, or the request it waits with."""
    if event.event == "lock_contended":
        return event.chain is state.chain
    return event.event == "lock_acquired" and any(event.chain is hold.chain for hold in state.holds)


def _rows(events: list[Event], shown: dict[str, RoleState], roles: tuple[RoleState, ...],
          names: Names) -> list[_Row]:
    rows: list[_Row] = []
    last: dict[str, list[tuple[int, str]]] = {}
    for event in events:
        role = event.task.name
        if event.event == "lock_acquire":
            continue   # what came of the request is the row
        calls = _calls(event, role, names)
        before = last.get(role, [])
        common = 0
        while common < min(len(before), len(calls)) and before[common] == calls[common]:
            common += 1
        rows += [_Row(role, depth, f"{calls[depth][1]}()") for depth in range(common, len(calls))]
        last[role] = calls
        state = shown.get(role)
        waiting = event.event == "lock_contended" and state is not None \
            and event.chain is state.chain
        mark = f"<-- waits, {blocked_by(state, roles)}" if waiting and state else ""
        if waiting and mark == "<-- waits, ":
            mark = "<-- waits, nobody is known to end it"
        text = f"{verb(event)}({event.lock.name})"
        if event.event == "lock_contended" and not waiting:
            mark = "<-- had to wait"
        rows.append(_Row(role, len(calls), text, mark))
    return rows


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

    The titles stand in the heads of the columns, or above them where that is too wide.
    """
    titled = {role: f"{role} {titles[role]}" if role in titles else role for role in order}
    plain = {role: role for role in order}
    above = [f"{role}: {titles[role]}" for role in order if role in titles]
    for indent in (2, 1, 0):
        for heads, lines in ((titled, []), (plain, above)):
            columns = _offsets(heads, rows, indent)
            if columns:
                return "\n".join([*lines, *_columns(columns, heads, rows, indent)])
    blocks = []
    for role, head in titled.items():
        mine = [f"[{i:3}] " + _text(row, 1) for i, row in enumerate(rows, 1) if row.role == role]
        blocks.append("\n".join([head, "-" * WIDTH, *mine]))
    return "\n\n".join(blocks)


def _columns(columns: dict[str, int], heads: dict[str, str], rows: list[_Row],
             indent: int) -> list[str]:
    head = ""
    for role, offset in columns.items():
        head = head.ljust(offset) + heads[role]
    return [head, "-" * WIDTH,
            *(" " * columns[row.role] + _text(row, indent) for row in rows)]


def _text(row: _Row, indent: int) -> str:
    text = " " * (indent * row.depth) + row.text
    return f"{text}  {row.mark}" if row.mark else text


def _offsets(heads: dict[str, str], rows: list[_Row], indent: int) -> dict[str, int] | None:
    """Return where each column begins, or None if they do not fit.

    A row belongs to one role, so it may run on into the columns to its right: what stands there is
    empty.
    """
    order = list(heads)
    longest = {role: max(len(_text(row, indent)) for row in rows if row.role == role)
               for role in order}
    plain = [max([len(heads[role]), *(indent * row.depth + len(row.text)
                                      for row in rows if row.role == role)]) for role in order]
    if len(order) == 1:
        return {order[0]: 0} if longest[order[0]] <= WIDTH else None
    fits = min((WIDTH - longest[role]) // i for i, role in enumerate(order) if i)
    least = max(10, max(map(len, list(heads.values())[:-1])) + 2)
    step = max(least, min(fits, max(plain[:-1]) + 2))
    if step > fits or longest[order[0]] > WIDTH:
        return None
    return {role: i * step for i, role in enumerate(order)}
