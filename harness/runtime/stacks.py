"""Stacks of all roles, by `faulthandler`, with the roles' names in place of thread numbers."""

from __future__ import annotations

import faulthandler
import re
import tempfile
from collections.abc import Sequence

from ..locks.callsite import short_path
from ..locks.task import Task
from .recorder import call_role

_HEAD = re.compile(r"^(?:Current thread|Thread) 0x([0-9a-f]+)")
_FRAME = re.compile(r'^  File "(.*)", line (\d+) in (.*)$')
_OURS = ("all_stacks", "quiescent")   # the detector, in the thread that found the hang
_BASE = call_role.__name__


def all_stacks(tasks: Sequence[Task]) -> str:
    """Return the stack of each of *tasks* that has not ended, innermost call first.

    faulthandler writes at most 100 threads and needs a real file; it takes no lock of ours.
    """
    try:
        with tempfile.TemporaryFile("w+") as file:
            faulthandler.dump_traceback(file, all_threads=True)
            file.seek(0)
            dump = file.read()
    except OSError as exc:
        return f"(no stacks: {exc})"
    names = {task.thread.ident: task.name for task in tasks if task.thread and not task.ended}
    parts: list[str] = []
    keep = False
    for line in dump.splitlines():
        head = _HEAD.match(line)
        if head:
            name = names.get(int(head[1], 16))
            keep = name is not None
            if keep:
                parts.append(f"Thread {name} (most recent call first):")
        elif keep and (frame := _FRAME.match(line)) and frame[3] not in _OURS:
            keep = frame[3] != _BASE    # what called the role is of no interest
            if keep:
                parts.append(f"  {short_path(frame[1])}:{frame[2]} in {frame[3]}")
    return "\n".join(parts)
