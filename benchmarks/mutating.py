"""The long checks of untrusted text: mutated tokens and mutated files of lock programs.

Each mutant is given to the command line. It runs, or is refused in one line with status 2: no
traceback, no end that does not come, no memory beyond a bound. Bytes that are flipped are mostly
refused as no token at all; what finds something is decoded, changed where it says something, and
encoded again.
"""

from __future__ import annotations

import base64
import copy
import io
import json
import random
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout, suppress
from typing import Any

from harness import Result, explore, force, predict, replay, run, stress
from harness.cli import output
from harness.programs.format import File
from harness.programs.loading import load
from pcimodel.lab.scenarios import scenario

from . import oracle

TOKENS, FILES = 100_000, 20_000
LONGEST = 10.0          # seconds of one case
LINE = 1_100              # characters of a refusal
MEMORY = 300 * 2**20    # bytes by which the process may grow
BOMB = 50_000_000       # characters that a token unpacks to: much, from next to nothing
JUNK: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 7, 255, 2**31, 10**30, -10**30, 0.5, -0.0, 1e308, float("nan"),
    float("inf"), "", "a", "A" * 10_000, "\ud800", "\0", "\n", "\x1b[2J", "\u0663", "é",
    "__class__", "-", "{}", "%s", [], {}, [[]], [None], {"": None}, [0] * 1000, {"a": {"a": {}}})
NAMES = ("os:abort", "os:_exit", "os:system", "posixpath:join", "os.path:join", "builtins:exec",
         "__main__:main", "harness.cli:main", "harness.cli.command_line:main", "pytest:main",
         "harness.programs:load_case", "pcimodel.lab.scenarios:tree_with", "small_worlds:Mutex",
         "small_worlds:no_such", "this:d", "a" * 300 + ":b", ":", "x:", ":x", "", "/dev/zero:x")
FILE_NAMES = ("/dev/zero", "/dev/zero.json", "/etc/passwd", "..", "", "no.json", "\0.json")


def tokens(cases: Iterator[int], seed: int | None) -> tuple[str, list[str]]:
    """Replay a mutant of a token for each of *cases*."""
    rng = random.Random(seed or 1)
    with chdir(oracle.TESTS):
        good = _good_tokens()

        def case() -> tuple[str, Callable[[], Result]]:
            token = _mutated_token(rng, rng.choice(good))
            return token, lambda: replay(token, timeout=0.5)

        return _tried(cases, case)


def files(cases: Iterator[int], seed: int | None) -> tuple[str, list[str]]:
    """Run a mutant of a file of lock programs for each of *cases*, or judge it."""
    rng = random.Random(seed or 1)
    good = []
    for name in ("pci-deadlocks", "agree-cases", "locking-selftest"):
        data = json.loads((oracle.TESTS.parent / "data" / f"{name}.json").read_text())
        lists = [data] if isinstance(data, list) else \
            [value for key, value in data.items() if key.endswith("cases")]
        good += [case for one in lists for case in one]
    with tempfile.TemporaryDirectory() as folder, chdir(folder):

        def case() -> tuple[str, Callable[[], Result]]:
            text = _mutated_file(rng, rng.choice(good))
            with open("mutant.json", "wb") as file:
                file.write(text)
            tool = rng.choice((run, run, force, explore, predict))
            how_much = {"max_schedules": 10} if tool is explore else {"runs": 1}
            return text.decode("latin-1"), \
                lambda: tool(load("mutant.json"), timeout=0.5, **how_much)

        return _tried(cases, case)


def _tried(cases: Iterator[int],
           make: Callable[[], tuple[str, Callable[[], Result]]]) -> tuple[str, list[str]]:
    """Do each case as a command does; return what became of them, and what is wrong.

    Args:
        make: returns the text that was mutated, and what is done with it.
    """
    became: Counter[str] = Counter()
    wrong: list[str] = []
    slowest, before = 0.0, _memory()
    for number in cases:
        text, body = make()
        began = time.perf_counter()
        status, told = _called(body)
        took = time.perf_counter() - began
        slowest = max(slowest, took)
        became["refused" if status == 2 else "run" if status in (0, 1, 3) else "broken"] += 1
        if told or took > LONGEST:
            wrong.append(f"case {number}: {told or f'{took:.0f} s'}: {text[:2000]!r}")
    grown = _memory() - before
    if grown > MEMORY:
        wrong.append(f"the process grew by {grown:,} bytes")
    said = f"{sum(became.values()):,}: " + ", ".join(
        f"{n:,} {what}" for what, n in sorted(became.items())) + f"; the slowest {slowest:.1f} s"
    return said, wrong


def _called(body: Callable[[], Result]) -> tuple[Any, str]:
    """Return the status of a command, and what is wrong with what came of it, or ""."""
    out, err = io.StringIO(), io.StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(err):
            status = output.guarded(
                "harness", lambda: output.show(body(), output.Writer(None)))
    except Exception as exc:
        return None, f"{type(exc).__name__}: {str(exc)[:200]}"
    said, error = out.getvalue(), err.getvalue()
    refused = error.startswith("harness") and error.count("\n") == 1 and len(error) <= LINE \
        and error[:-1].isprintable()
    if not said.replace("\n", "").isprintable():
        return status, f"what is no character is printed: {said[:200]!r}"
    if status == 2:
        return status, "" if refused and not said else f"status 2, {said[:200]!r}, {error[:500]!r}"
    if status in (0, 1, 3) and said and not error:
        return status, ""
    return status, f"status {status}, {said[:200]!r}, {error[:500]!r}"


def _memory() -> int:
    """Return the greatest size that the process had, in bytes."""
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


# -- mutants ---------------------------------------------------------------------------------------


def _good_tokens() -> list[str]:
    """Return tokens of every kind: recorded and explored, with arguments and without."""
    worlds = oracle.module("small_worlds")
    made = [stress(getattr(worlds, name), runs=200, seed=seed).replay
            for seed, name in enumerate(("philosophers", "handoff"), 1)]
    made += [explore(getattr(worlds, name)).replay for name in ("abba", "nested_read", "handoff")]
    file = "../data/pci-deadlocks.json"
    program = load(f"{file}:{File(file).names[0]}")
    made += [explore(program).replay, stress(program, runs=200, seed=1).replay]
    made.append(explore(scenario("probe-vs-aer")).replay)
    return [token for token in made if token]


def _mutated_token(rng: random.Random, token: str) -> str:
    packed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    kind = rng.random()
    if kind < 0.001:
        return _token_of(zlib.compress(b"[" * BOMB, 1))
    if kind < 0.05:
        return _flipped(rng, token.encode()).decode("latin-1").replace("\0", "0").lstrip("-")
    if kind < 0.10:
        return _token_of(_flipped(rng, packed))
    plain = zlib.decompress(packed)
    if kind < 0.20:
        return _token_of(zlib.compress(_flipped(rng, plain)))
    data = json.loads(plain)
    if kind < 0.55:    # another schedule of the same roles, which is one
        for _ in range(rng.randint(1, 4)):
            data[5] = _rescheduled(rng, data[5])
    else:
        data = _mutated(rng, data, 1 + int(rng.expovariate(1)))
        if kind > 0.9 and isinstance(data, list) and len(data) > 2:
            data[1] = rng.choice(NAMES)
        elif kind > 0.8 and isinstance(data, list) and len(data) > 2 and isinstance(data[2], dict):
            data[2] = {**data[2], rng.choice(("file", "name", "fixes", "kernel", "x")):
                       rng.choice((*FILE_NAMES, *NAMES, *JUNK))}
    return _token_of(zlib.compress(_text(data)))


def _rescheduled(rng: random.Random, order: list[int]) -> list[int]:
    if not order:
        return order
    at, to = sorted(rng.choices(range(len(order) + 1), k=2))
    cut = order[at:to]
    rng.shuffle(cut)
    again = rng.choice((1, 1, 1, 0, 2, 50))
    return [*order[:at], *cut * again, *order[to:]]


def _mutated_file(rng: random.Random, case: Any) -> bytes:
    kind = rng.random()
    data: Any = [case]
    if kind < 0.9:
        data = _mutated(rng, data, 1 + int(rng.expovariate(0.7)))
    if 0.8 < kind < 0.95:
        return _flipped(rng, _text(data))
    if kind > 0.99:
        return rng.choice((b"", b"\xff", b"[" * 100_000, b"\xef\xbb\xbf[]", b" " * 1_000_001,
                           b'{"cases": ' * 500 + b"1" + b"}" * 500, b"9" * 5000))
    return _text(data)


def _text(data: Any) -> bytes:
    try:
        return json.dumps(data, separators=(",", ":")).encode()
    except RecursionError:
        return b"[" * 2000 + b"]" * 2000


def _token_of(packed: bytes) -> str:
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def _flipped(rng: random.Random, data: bytes) -> bytes:
    """Return *data* with a few bytes changed, left out, or doubled."""
    mutant = bytearray(data)
    for _ in range(1 + int(rng.expovariate(0.5))):
        at = rng.randrange(len(mutant) + 1)
        mutant[at:at + rng.choice((0, 1, 1, 1, 2, 8))] = rng.choice(
            (b"", rng.randbytes(1), bytes(mutant[at:at + 4]), b"9", b"\\ud800", b"[", b'"', b"-1"))
    return bytes(mutant)


def _mutated(rng: random.Random, data: Any, times: int) -> Any:
    """Return *data* changed in as many places."""
    data = [copy.deepcopy(data)]
    with suppress(RecursionError):    # it is deep enough
        for _ in range(times):
            holders = list(_holders(data))
            holder = rng.choice(holders)
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            if keys:
                _change(rng, holder, rng.choice(keys), rng.choice(holders))
    return data[0] if data else None


def _holders(data: Any) -> Iterator[Any]:
    if isinstance(data, (dict, list)):
        yield data
        for value in data.values() if isinstance(data, dict) else data:
            yield from _holders(value)


def _change(rng: random.Random, holder: Any, key: Any, other: Any) -> None:
    value = holder[key]
    match rng.randrange(9):
        case 0 if isinstance(holder, dict):
            holder[rng.choice((*filter(lambda it: isinstance(it, str), JUNK), key + "x"))] = \
                holder.pop(key)
        case 0 | 1:
            holder[key] = copy.deepcopy(rng.choice(JUNK))
        case 2:
            del holder[key]
        case 3 if isinstance(holder, list):
            holder[key:key] = [copy.deepcopy(value)] * rng.choice((1, 1, 2, 100))
        case 4:
            holder[key] = [value]
        case 5:
            holder[key] = copy.deepcopy(other)
        case 6 if isinstance(value, str):
            holder[key] = _flipped(rng, value.encode("utf-8", "replace")).decode("latin-1")
        case 7 if isinstance(holder, list):
            rng.shuffle(holder)
        case 8:
            for _ in range(rng.choice((3, 30, 150))):
                holder[key] = [holder[key]] if rng.random() < 0.5 else {"a": holder[key]}
        case _:
            holder[key] = value + 1 if type(value) is int else copy.deepcopy(rng.choice(JUNK))
