"""The file of known cycles."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ..locks.errors import ScenarioError
from .cycles import reduced


def checked_baseline(baseline: Any) -> dict[str, str]:
    """Return known cycles in the form of `cycle_key`: those of a file, or of a mapping from a cycle,
    written as in the file, to its reason.
    """
    if baseline is None:
        return {}
    if isinstance(baseline, (str, os.PathLike)):
        return read_baseline(os.fspath(baseline))
    if not isinstance(baseline, Mapping):
        raise ScenarioError(f"baseline is {baseline!r}, expected a file or a mapping from cycles to "
                            f"reasons")
    return dict(_known_cycle(f"{cycle}  # {reason}", "baseline") for cycle, reason in baseline.items())


def _known_cycle(line: str, where: str) -> tuple[str, str]:
    cycle, _, reason = map(str.strip, line.partition(" # "))
    classes = [each.strip() for each in cycle.split(" -> ")]
    if not reason or len(classes) < 2 or classes[0] != classes[-1]:
        raise ScenarioError(f"{where}: expected 'CLASS -> CLASS -> CLASS  # reason', a cycle that ends "
                            f"where it begins, got {line.strip()!r}")
    return cycle_key(classes[:-1]), reason


def read_baseline(path: str) -> dict[str, str]:
    """Read the known cycles of a file: ``CLASS -> CLASS -> CLASS  # reason``, one a line.

    Empty lines and lines that begin with # are left out.

    Raises:
        ScenarioError: the file cannot be read, or a line is not of that form.
    """
    known = {}
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise ScenarioError(f"cannot read the baseline {path}: "
                            f"{getattr(exc, 'strerror', None) or exc}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        cycle, reason = _known_cycle(line, f"{path}:{number}")
        known[cycle] = reason
    return known


def cycle_key(classes: Sequence[str]) -> str:
    """Return a cycle of classes in one line, beginning with the least."""
    turned = reduced(list(classes))
    return " -> ".join([*turned, turned[0]])
