"""Commands that are killed at random moments of their lives: what becomes of the file that --json
writes, of the exit status, and of their processes.

A kill comes at a drawn moment between the first line of the command and its end; one in three comes
while the file is being written, or tried for the first time, which is seen by the file beside it.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from harness.report.whole_file import TEMPORARY

WORLDS = '''
from harness import Mutex

def crosses():
    a, b = Mutex("a"), Mutex("b")

    def role(first, second):
        def both():
            with first, second:
                pass
        return both

    return {"one": role(a, b), "other": role(b, a)}

def orders():
    a = Mutex("a")

    def role():
        for _ in range(3):
            with a:
                pass

    return {"one": role, "other": role}
'''
PROGRAM = [{"name": "AB-BA", "expected": "splat",
            "locks": {"A": {"type": "mutex"}, "B": {"type": "mutex"}},
            "threads_or_sequence": [["W", "A"], ["W", "B"], ["U", "B"], ["U", "A"],
                                    ["W", "B"], ["W", "A"], ["U", "A"], ["U", "B"]]}]
COMMANDS = (    # and the status of each, if it is left alone
    ("harness run worlds:orders --runs 300", 0),
    ("harness force worlds:crosses", 1),
    ("harness explore worlds:orders --fresh", 0),
    ("harness stress worlds:orders --runs 100 --seed 1", 0),
    ("harness cases program.json", 0),
    ("pcimodel force probe-vs-aer", 1),
    ("pcimodel list", 0),
)
OLD = '{"verdict": "of an older run"}\n'
BEGINS, ENDS = TEMPORARY.split("{}")
SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}
KILLS = 500
AIMED = 1 / 3             # of the kills
LONG = 30.0               # seconds that no command takes


class Killed:
    """What became of the commands so far.

    Args:
        folder: where they run.
        rng: draws what is done to them.
    """

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.counts: Counter[str] = Counter()
        self.litter = 0
        self.wrong: list[str] = []
        self._folder, self._rng = folder, rng
        self._lives: dict[str, float] = {}
        (folder / "worlds.py").write_text(WORLDS)
        (folder / "program.json").write_text(json.dumps(PROGRAM))

    def one(self) -> None:
        """Kill one command, and look at what it leaves."""
        rng = self._rng
        command, plain = rng.choice(COMMANDS)
        if command not in self._lives:
            self._lives[command] = self._life(command)
        number, older = rng.choice(list(SIGNALS)), rng.random() < 0.5
        aimed = rng.choice((1, 2)) if rng.random() < AIMED else 0
        moment = rng.random() * self._lives[command]
        file = self._folder / f"{sum(self.counts.values())}.json"
        if older:
            file.write_text(OLD)
        child = self._start(command, file)
        try:
            self._wait(child, number, moment, aimed)
            with suppress(ProcessLookupError):
                child.send_signal(number)
            _, err = child.communicate(timeout=LONG)
            left = self._left(child.pid)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
        self._judge(f"{command}, {number.name}{' at the file' * bool(aimed)}", child.returncode,
                    {SIGNALS[number], plain}, plain, file, err, left)

    def _start(self, command: str, file: Path) -> subprocess.Popen[str]:
        module, *words = command.split()
        path = os.pathsep.join([str(Path(__file__).parent.parent), *filter(None, sys.path)])
        return subprocess.Popen(
            [sys.executable, "-m", module, *words, "--json", file.name], cwd=self._folder,
            env={**os.environ, "PYTHONPATH": path}, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
            preexec_fn=_plain_signals)

    def _life(self, command: str) -> float:
        """Return how many seconds a command takes that is left alone."""
        child = self._start(command, self._folder / "alone.json")
        self._listens(child)
        began = time.monotonic()
        child.communicate(timeout=LONG)
        return time.monotonic() - began

    def _wait(self, child: subprocess.Popen[str], number: int, moment: float, aimed: int) -> None:
        """Wait for the moment; for the *aimed*-th file beside its own, if that is not 0."""
        if number != signal.SIGKILL:
            self._listens(child)
        seen = ""
        if not aimed:
            with suppress(subprocess.TimeoutExpired):
                child.wait(moment)
        while aimed and child.poll() is None:
            new = next((name for name in os.listdir(self._folder) if _is_beside(name)), seen)
            aimed, seen = aimed - (new != seen), new

    def _listens(self, child: subprocess.Popen[str]) -> None:
        """Wait until the command handles SIGTERM: before, the interpreter itself begins."""
        bit = 1 << signal.SIGTERM - 1
        with suppress(OSError):    # it has ended
            while child.poll() is None:
                status = Path(f"/proc/{child.pid}/status").read_text()
                caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
                if int(caught.split()[1], 16) & bit:
                    return

    def _left(self, group: int) -> bool:
        """Say whether a process is left; those of one that was killed have a moment to see it."""
        end = time.monotonic() + 5
        while time.monotonic() < end:
            try:
                os.killpg(group, 0)
            except ProcessLookupError:
                return False
            time.sleep(0.001)
        return True

    def _judge(self, what: str, status: int, statuses: Iterable[int], plain: int, file: Path,
               err: str, left: bool) -> None:
        litter = [name for name in os.listdir(self._folder) if _is_beside(name)]
        held = _held(file)
        wrong = [f"status {status}"] if status not in statuses else []
        wrong += [f"the file is {held}"] if held.startswith("broken") or (
            status == plain and held != "new") else []
        wrong += ["processes are left"] if left else []
        wrong += [f"left {', '.join(litter)}"] if litter and status != -signal.SIGKILL else []
        wrong += [f"printed {err!r}"] if "Traceback" in err or "ignored" in err else []
        self.wrong += [f"{what}: {'; '.join(wrong)}"] if wrong else []
        self.counts[held] += 1
        self.litter += len(litter)
        for name in litter:
            os.unlink(self._folder / name)
        file.unlink(missing_ok=True)


def _plain_signals() -> None:
    """Let a command have the handlers that a user's has, though a background job ignores Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _is_beside(name: str) -> bool:
    return name.startswith(BEGINS) and name.endswith(ENDS)


def _held(file: Path) -> str:
    """Return what a file holds: "none", "older", "new", "so far" or "broken: ..."."""
    if not file.exists():
        return "none"
    text = file.read_text()
    if text == OLD:
        return "older"
    try:
        data = json.loads(text)
    except ValueError as exc:
        return f"broken: {exc}"
    return "so far" if data.get("interrupted") else "new"


def check(rng: random.Random, cases: Iterable[int]) -> tuple[str, list[str]]:
    """Kill a command for each of *cases*; return what was seen, and what was wrong."""
    with TemporaryDirectory() as folder:
        killed = Killed(Path(folder), rng)
        for _ in cases:
            killed.one()
    seen = ", ".join(f"{number} {what}" for what, number in sorted(killed.counts.items()))
    return f"{sum(killed.counts.values())} killed, whose file was then: {seen}; " \
           f"{killed.litter} left one beside it", killed.wrong
