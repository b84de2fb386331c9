"""Who waits for whom, in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..locks.task import EXCLUSIVE, SHARED, WAIT
from ..runtime.recorder import RoleState
from ..runtime.verdict import Finding


def blocked_by(state: RoleState, roles: Mapping[str, RoleState]) -> str:
    """Say who blocks the request of *state*, by holding the lock or by waiting for it; or why
    nobody comes.
    """
    if state.why_nobody:
        return state.why_nobody
    phrases: dict[str, list[str]] = {}    # what they do -> who
    for name in state.waits_for:
        other = roles.get(name)
        modes = [hold.mode for hold in other.holds if hold.lock == state.wants] if other else []
        if state.mode == WAIT:
            how = "is to end the wait"
        elif SHARED in modes and EXCLUSIVE not in modes:
            how = "holds it for read"
        else:
            how = "holds it" if modes or other is None else "is queued for it before"
        who = "it itself" if name == state.role else name
        one_of = phrases.setdefault(how if state.any_is_enough else f"{who} {how}", [])
        one_of.append(who)
    return " or ".join(f"{' or '.join(who)} {how}" for how, who in phrases.items()) \
        if state.any_is_enough else ", ".join(phrases)


def by_name(states: Iterable[RoleState]) -> dict[str, RoleState]:
    """Return *states* by the names of their roles."""
    return {state.role: state for state in states}


def proof(finding: Finding) -> list[str]:
    """Return who holds and who wants what, where."""
    lines, roles = [], by_name(finding.roles)
    for state in (*finding.cycle, *finding.others, *finding.behind) or finding.roles:
        at = f" at {state.at}" if state.at else ""
        if state.state.startswith("waits"):
            wants = f"{state.role} {state.state} for {state.wants} ({state.mode}){at}"
            lines.append(": ".join(filter(None, [wants, blocked_by(state, roles)])))
        elif not finding.cycle:
            lines.append(f"{state.role} {state.state}{at}")
        for hold in state.holds:
            at = f", taken at {hold.at}" if hold.at else ""
            lines.append(f"  and holds {hold.lock} ({hold.mode}){at}")
    return lines
