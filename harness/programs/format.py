"""Lock programs as data: from a file to its cases, from a case to a scenario.

Two notations are read, one case an object each:

- programs: ``locks``, ``threads_before``, ``threads_after`` and ``variants``, each version with
  what to expect of it (``deadlock`` or ``ok``: whether some order of the operations hangs). What
  the operations mean is said in program.py.
- cases of a lock validator: what one task does, ``threads_or_sequence``, and whether the validator
  must complain (``splat`` or ``clean``), in what words.

Reading looks at nothing but the case that is asked for. Nothing is run here: see threads.py. The
file is long because nearly half of it says what is wrong with a file, and where.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from ..checker.program import Program, unknown_operation
from ..lockorder.lockdep import SUBCLASSES, TYPES
from ..locks.errors import ScenarioError, unknown_name
from ..locks.operations import ONLY_RECORDED
from .for_tokens import from_token, json_path, text
from .json_file import check_keys, get, read_json
from .threads import Factory, Lines, OPERATIONS, Operation, Reference, scenario_of, sequence_of

BEFORE, AFTER = "before", "after"
EXPECTED_OF_PROGRAM = ("deadlock", "ok")
EXPECTED_OF_VALIDATOR = ("splat", "clean")

# What each object of a file may say. Any other key is refused: a typing error would else be read as
# if nothing had been said. Keys that begin with an underscore are the author's own.
REMARKS_ON_A_CASE = ("status", "after_status", "related", "group", "class", "sure", "same_device",
                     "functions", "pcimodel", "states")
REMARKS_ON_A_VALIDATOR_CASE = ("kind", "group", "printed_as", "oracle")
REMARKS_ON_A_FILE = ("schema", "notation", "kinds")
KEYS_OF_A_CASE = ("id", "name", "locks", "threads_before", "threads_after", "expect_before",
                  "expect_after", "init_flags_before", "init_flags_after", "kinds_after",
                  "variants", "policy")
KEYS_OF_A_VARIANT = ("name", "threads", "expect", "init_flags", "kinds")
KEYS_OF_A_LOCK = ("kind",)
KEYS_OF_A_VALIDATOR_CASE = ("id", "name", "locks", "threads_or_sequence", "expected",
                            "expected_report")
KEYS_OF_A_VALIDATOR_LOCK = ("type", "class")


@dataclass(frozen=True)
class Version:
    """One version of a program case.

    Attributes:
        name: ``before``, ``after`` or the variant's name.
        expected: ``deadlock`` or ``ok``.
        lines: thread -> line of each of its operations in the file.
    """

    name: str
    program: Program
    expected: str
    lines: Lines


@dataclass(frozen=True)
class ProgramCase:
    """Threads that lock, before and after a fix, and under competing fixes."""

    name: str
    file: str
    versions: Mapping[str, Version]

    def scenario(self, version: str = "", policy: str | None = None) -> Factory:
        """Return the scenario factory of *version* (default: before), its semaphores of *policy*
        (default: the case's own).

        Raises:
            ScenarioError: there is no such version.
        """
        chosen = self.versions.get(version or BEFORE)
        if chosen is None:
            raise unknown_name(f"{self.file}: case {self.name!r} has no version", version,
                               list(self.versions))
        program = chosen.program
        if policy not in (None, program.policy):
            program = replace(program, policy=policy)
        return scenario_of(program, f"{self.name}:{chosen.name}", self.file, chosen.lines,
                           _reference(self.file, self.name, chosen.name, program.policy))


@dataclass(frozen=True)
class ValidatorCase:
    """What one task does with locks, and what a lock validator must say to it.

    Attributes:
        locks: name -> (type, class).
        operations: (operation, lock), and the subclass for ``SUBCLASS`` if the file gives one.
        expected: ``splat`` or ``clean``.
        expected_report: the words of the complaint, or None.
        lines: line of each operation in the file.
    """

    name: str
    file: str
    locks: dict[str, tuple[str, str]]
    operations: list[Operation]
    expected: str
    expected_report: str | None
    lines: list[int]

    def scenario(self, version: str = "", policy: str | None = None) -> Factory:
        """Return the scenario factory: one role that does it all on real locks.

        Raises:
            ScenarioError: a version is asked for.
        """
        if version:
            raise ScenarioError(f"{self.file}: case {self.name!r} is one of a validator, without "
                                f"versions, and so without {version!r}")
        policy = policy or "writer"
        return sequence_of(self.operations, self.locks, self.name, self.file, self.lines, policy,
                           _reference(self.file, self.name, "", policy))


Case = ProgramCase | ValidatorCase


def _reference(file: str, case: str, version: str, policy: str) -> Reference:
    return f"{__package__}:scenario", {"file": file, "case": case, "version": version,
                                       "policy": policy}


@from_token(file=json_path, case=text, version=text, policy=text)
def scenario(file: str, case: str, version: str = "", policy: str = "writer") -> Factory:
    """Return the scenario factory of a version of a case of *file*: what replay tokens refer to."""
    return File(file).case(case).scenario(version, policy)


def load_case(reference: str, policy: str | None = None) -> Factory:
    """Return the scenario factory that ``FILE.json[:CASE[:VERSION]]`` names.

    CASE may be left out if the file has only one, VERSION for the first one there is.

    Args:
        policy: for the one that the case has.

    Raises:
        ScenarioError: there is no such file, case or version, or it is wrong.
    """
    path, colon, rest = reference.partition(".json:")
    case, _, version = rest.partition(":")
    file = File(f"{path}.json") if colon else File(path)
    return file.case(case if colon else None).scenario(version, policy)


# -- reading --------------------------------------------------------------------------------------


class File:
    """A file of cases, in either notation; `names` are those of its cases, in order.

    Raises:
        ScenarioError: it cannot be read, is no JSON, or has no cases.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        data = read_json(path)
        file = data if isinstance(data, dict) else {"cases": data}
        lists = {key: value for key, value in file.items()
                 if key.endswith("cases") and isinstance(value, list)}
        objects = [raw for cases in lists.values() for raw in cases]
        if not objects or not all(isinstance(raw, dict) for raw in objects):
            self._refuse()
        check_keys(file, path, *lists, *REMARKS_ON_A_FILE)
        for number, raw in enumerate(objects):
            if not isinstance(_name_of(raw), str):
                raise ScenarioError(f"{path}: case number {number} has no name")
            if "threads_or_sequence" not in raw and "threads_before" not in raw:
                self._refuse(f"case {_name_of(raw)!r} has neither 'threads_before' nor "
                             f"'threads_or_sequence'")
        for name, times in Counter(map(_name_of, objects)).items():
            if times > 1:
                raise ScenarioError(f"{path}: {times} cases are called {name!r}")
            if ":" in name or not name.isprintable():
                raise ScenarioError(f"{path}: the name {name!r} of a case must be printable, "
                                    f"without a colon")
        self._raw: dict[str, dict[str, Any]] = {_name_of(raw): raw for raw in objects}
        self.names = list(self._raw)

    def _refuse(self, why: str = "it has no list 'cases' of objects") -> NoReturn:
        raise ScenarioError(f"{self.path} is in neither notation of lock programs: {why}")

    def cases(self) -> Iterator[Case]:
        """Yield each of its cases, in order."""
        return map(self.case, self._raw)

    def case(self, name: str | None = None) -> Case:
        """Return the case called *name*; without a name the only one.

        Raises:
            ScenarioError: there is none, or there are several, or it is wrong.
        """
        if name is None:
            if len(self.names) != 1:
                raise ScenarioError(f"{self.path} has {len(self.names)} cases, name one as "
                                    f"{self.path}:CASE: {', '.join(self.names)}")
            name = self.names[0]
        if name not in self._raw:
            raise unknown_name(f"{self.path} has no case", name, self.names)
        read = _validator_case if "threads_or_sequence" in self._raw[name] else _program_case
        return read(self._raw[name], self.path, f"{self.path}: case {name!r}")


def _name_of(raw: dict[str, Any]) -> Any:
    return raw.get("id", raw.get("name"))


def _program_case(raw: dict[str, Any], file: str, where: str) -> ProgramCase:
    check_keys(raw, where, *KEYS_OF_A_CASE, *REMARKS_ON_A_CASE)
    locks = {name: _kind(lock, f"{where}: lock {name}")
             for name, lock in get(raw, "locks", dict, where, {}).items()}
    fixed = locks | get(raw, "kinds_after", dict, where, {})
    policy = get(raw, "policy", str, where, "writer")
    versions = [_version(BEFORE, raw, "_before", locks, "deadlock", policy, where)]
    if raw.get("threads_after") is not None:
        versions.append(_version(AFTER, raw, "_after", fixed, "ok", policy, where))
    for variant in get(raw, "variants", list, where, []):
        if not isinstance(variant, dict):
            raise ScenarioError(f"{where}: variant {variant!r} is no object")
        name = get(variant, "name", str, f"{where}: a variant")
        check_keys(variant, f"{where}, {name}", *KEYS_OF_A_VARIANT)
        kinds = locks | get(variant, "kinds", dict, f"{where}, {name}", {})
        versions.append(_version(name, variant, "", kinds, None, policy, where))
    by_name = {version.name: version for version in versions}
    if len(by_name) != len(versions):
        raise ScenarioError(f"{where}: two versions have the same name, of "
                            f"{', '.join(version.name for version in versions)}")
    return ProgramCase(_name_of(raw), file, by_name)


def _kind(lock: Any, where: str) -> Any:
    """Return the kind of a lock, given as an object or as the word alone; `Program` looks at it."""
    if not isinstance(lock, dict):
        return lock
    check_keys(lock, where, *KEYS_OF_A_LOCK)
    return get(lock, "kind", str, where)


def _version(name: str, raw: dict[str, Any], suffix: str, locks: dict[str, Any],
             expected: str | None, policy: str, where: str) -> Version:
    where = f"{where}, {name}"
    threads = get(raw, f"threads{suffix}", dict, where)
    lines = {}    # what is no list of operations is refused by `Program`
    for thread, ops in threads.items():
        if ops == []:
            raise ScenarioError(f"{where}: thread {thread} has no operations")
        lines[thread] = [getattr(op, "line", 1) for op in ops] if isinstance(ops, list) else []
    flags = get(raw, f"init_flags{suffix}", list, where, [])
    if not all(isinstance(flag, str) and flag.isprintable() for flag in flags):
        raise ScenarioError(f"{where}: flags are names, not {flags!r}")
    word = raw.get(f"expect{suffix}", expected)
    if word not in EXPECTED_OF_PROGRAM:
        raise ScenarioError(f"{where}: it is expected to be {word!r}, which is none of "
                            f"{', '.join(EXPECTED_OF_PROGRAM)}")
    for thread, ops in threads.items():
        for index, op in enumerate(ops if isinstance(ops, list) else ()):
            if isinstance(op, list) and op and op[0] in ONLY_RECORDED:
                raise unknown_operation(f"{where}: thread {thread}, operation {index}", op[0])
            if isinstance(op, list) and not all(
                    part.isprintable() for part in op if isinstance(part, str)):
                raise ScenarioError(f"{where}: thread {thread}, operation {index}: {op!r} is not "
                                    f"printable")
    try:
        program = Program(locks, threads, frozenset(flags), policy)
    except ScenarioError as exc:
        raise ScenarioError(f"{where}: {exc}") from None
    return Version(name, program, word, lines)


def _validator_case(raw: dict[str, Any], file: str, where: str) -> ValidatorCase:
    check_keys(raw, where, *KEYS_OF_A_VALIDATOR_CASE, *REMARKS_ON_A_VALIDATOR_CASE)
    locks = {}
    for name, lock in get(raw, "locks", dict, where, {}).items():
        if not isinstance(lock, dict):
            raise ScenarioError(f"{where}: lock {name} is {lock!r}, expected its type and class")
        check_keys(lock, f"{where}: lock {name}", *KEYS_OF_A_VALIDATOR_LOCK)
        kind = get(lock, "type", str, f"{where}: lock {name}")
        if kind not in TYPES:
            raise ScenarioError(f"{where}: lock {name} is of unknown type {kind!r}; one of "
                                f"{', '.join(TYPES)}")
        locks[name] = kind, get(lock, "class", str, f"{where}: lock {name}", name)
    sequence = get(raw, "threads_or_sequence", list, where)
    for index, op in enumerate(sequence):
        _check_operation(op, locks, f"{where}, operation {index}")
    expected = raw.get("expected")
    if expected not in EXPECTED_OF_VALIDATOR:
        raise ScenarioError(f"{where}: 'expected' is {expected!r}, which is none of "
                            f"{', '.join(EXPECTED_OF_VALIDATOR)}")
    report = raw.get("expected_report")
    if report is not None and not isinstance(report, str):
        raise ScenarioError(f"{where}: 'expected_report' is {report!r}, expected words or nothing")
    return ValidatorCase(_name_of(raw), file, locks, [tuple(op) for op in sequence], expected,
                         report, [op.line for op in sequence])


def _check_operation(op: Any, locks: Mapping[str, Any], where: str) -> None:
    if not isinstance(op, list) or len(op) < 2 or not all(isinstance(part, str) for part in op[:2]):
        raise ScenarioError(f"{where}: {op!r} is not [operation, lock]")
    if op[0] not in OPERATIONS:
        raise ScenarioError(f"{where}: unknown operation {op[0]!r}, expected one of "
                            f"{', '.join(OPERATIONS)}")
    if op[1] not in locks:
        raise ScenarioError(f"{where}: {op[0]} on {op[1]!r}, which is not among the locks")
    if len(op) > (3 if op[0] == "SUBCLASS" else 2):
        raise ScenarioError(f"{where}: {op!r} has more than {op[0]} needs")
    if op[2:] and (type(op[2]) is not int or not 0 <= op[2] < SUBCLASSES):
        raise ScenarioError(f"{where}: {op[2]!r} is no subclass, expected a number below "
                            f"{SUBCLASSES}")
