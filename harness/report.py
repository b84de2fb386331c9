"""The report: one line of verdict, the diagram, the proof, what to do next. Text is made here and
nowhere else.

The diagram is the one kernel developers draw in mails: a column per role, a row per acquisition
still held or request that waits, in true order, with the calls that led there, each printed once.
Plain text of at most 100 columns; the same run gives the same text.
"""

from __future__ import annotations

import textwrap
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .place import function_name, split
from .task import EXCLUSIVE, SHARED, WAIT
from .trace import Event, RoleState, verb
from .verdict import Finding, Result, Verdict

WIDTH = 100
WAITING = (Verdict.DEADLOCK, Verdict.HANG, Verdict.INCONCLUSIVE)   # who waits for whom is the story
MODE = {EXCLUSIVE: "exclusive", SHARED: "shared", WAIT: "wait"}
THREAD_RUN = threading.Thread.run.__code__
BLOCKING = "found at the moment of blocking, not by a timeout"
AT_ONCE = "known at once, not by a timeout"
TIMED_OUT = "timed out: the threads hung, nothing moved any more"


def render(result: Result) -> str:
    """Return the report of *result*."""
    finding = result.finding
    parts = [wrapped(headline(result))]
    if _was_predicted(result):
        pass   # its diagram stands with the prediction
    elif finding is not None and (finding.verdict in WAITING or finding.cycle):
        parts.append(diagram(result))
        parts.append(wrapped("\n".join(proof(finding))))
    elif result.full and result.outcome.events:
        parts.append(full_trace(result))
    if finding is not None and finding.headline:
        parts.append(in_kernel_words(finding))
    if finding is not None and finding.detail:
        parts.append(finding.detail)
    others = [found for found in result.outcome.findings
              if found is not finding or found.verdict is not result.verdict]
    parts.extend(in_kernel_words(found) if found.headline else
                 wrapped(f"Also: {found.text}") for found in others)
    if result.predictions or result.lockdep:
        from .splat import paragraphs
        parts.extend(paragraphs(result))
    parts.extend(map(wrapped, result.outcome.notes))
    if result.outcome.stuck:
        stuck = "; ".join(result.outcome.stuck)
        parts.append(wrapped(f"Outside our locks, and left running: {stuck}"))
    if result.again:
        parts.append("\n".join(commands(result)))
    return "\n\n".join(part for part in parts if part)


def wrapped(text: str) -> str:
    """Break the lines of *text* that are too long for a mail."""
    return "\n".join(textwrap.fill(line, WIDTH, subsequent_indent="  ", break_long_words=False,
                                   break_on_hyphens=False) for line in text.splitlines())


def headline(result: Result) -> str:
    """Return the line of the verdict, and the line that says what was covered."""
    finding = result.finding
    word = str(result.verdict).upper().replace("-", " ")
    covered = f"{result.scenario}: {coverage(result.coverage)}"
    if result.predictions:
        from . import splat
        covered = f"{covered}\n{splat.statuses(result)}".rstrip()
    if result.predictions and (finding is None or finding.verdict is not result.verdict):
        first = f"{word}: {splat.headline(result)}"
    elif finding is None and "schedules" in result.coverage:
        first = f"{word} (all {_number(result.coverage['schedules'], 'schedule')}): nothing found"
    elif finding is None:
        first = f"{word}: nothing found" if result.coverage.get("runs") else f"{word}: nothing was run"
    elif finding.verdict in (Verdict.DEADLOCK, Verdict.HANG):
        observed = BLOCKING if finding.verdict is Verdict.DEADLOCK else AT_ONCE
        first = f"{word}: {finding.text} ({TIMED_OUT if finding.how == 'timed out' else observed})"
    else:
        first = f"{word}: {finding.text}"
    return f"{first}\n{covered}"


def _was_predicted(result: Result) -> bool:
    """Say whether the run that is reported is the one in which a prediction came true."""
    return any(each.outcome is result.outcome for each in result.predictions)


def commands(result: Result) -> list[str]:
    """Return what to call next: the same again; what was predicted and came true, at once."""
    happened = any(each.met or each.status == "forced" for each in result.predictions)
    return [f"Again: {result.again}", *([f"Force: {result.next}"] if happened and result.next else [])]


def banner(text: str) -> str:
    """Return the kernel's words for a finding between two rules, as its validator prints them."""
    line = f"WARNING: {text}"
    return f"{'=' * len(line)}\n{line}\n{'-' * len(line)}"


def in_kernel_words(finding: Finding) -> str:
    """Return the text of *finding* under what the kernel calls it."""
    return f"{banner(finding.headline)}\n{wrapped(finding.text)}"




def coverage(covered: dict[str, Any]) -> str:
    """Return what was covered, as words."""
    what = "schedule" if "schedules" in covered else "run"
    words = [_number(covered.get(f"{what}s", 0), what)]
    if "verdicts" in covered:
        words.append(", ".join(f"{n:,} {verdict}" for verdict, n in covered["verdicts"].items()))
        words.append(_number(covered["distinct_reports"], "distinct report"))
    words += [f"{key.replace('_', ' ')} {value}" for key, value in covered.items()
              if key not in ("runs", "schedules", "complete", "verdicts", "distinct_reports")]
    return "; ".join(words)


def _number(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


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


# -- the diagram --------------------------------------------------------------------------------


@dataclass
class _Row:
    """One line of the diagram: in which column, how deep, what."""

    role: str
    depth: int
    text: str
    mark: str = ""


def diagram(result: Result) -> str:
    """Return the columns of the roles that wait for each other (of all that wait, in a hang)."""
    finding = result.finding
    assert finding is not None
    states = finding.cycle or [state for state in finding.roles if state.state.startswith("waits")]
    shown = {state.role: state for state in states}
    events = result.outcome.events[:finding.events]
    if not result.full:
        events = [event for event in events
                  if event.task.name in shown and is_open(event, shown[event.task.name])]
    present = {event.task.name for event in events}
    order = [state.role for state in finding.roles if state.role in present]
    if not order:
        return ""
    rows = _rows(events, shown, finding.roles, result.names or function_name)
    return _layout(order, result.titles or {}, rows)


def full_trace(result: Result) -> str:
    """Return every event of a run, in columns."""
    finding, events = result.finding, result.outcome.events
    events = events[:finding.events] if finding else events
    order = list(dict.fromkeys(event.task.name for event in events))
    rows = _rows(events, {}, (), result.names or function_name)
    return _layout(order, result.titles or {}, rows)


def is_open(event: Event, state: RoleState) -> bool:
    """Say whether *event* is a lock that the role still holds, or the request it waits with."""
    if event.event == "lock_contended":
        return event.chain is state.chain
    return event.event == "lock_acquired" and any(event.chain is hold.chain for hold in state.holds)


def _rows(events: list[Event], shown: dict[str, RoleState], roles: tuple[RoleState, ...],
          names: Callable[[Any], str]) -> list[_Row]:
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


def _calls(event: Event, role: str, names: Callable[[Any], str]) -> list[tuple[int, str]]:
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
