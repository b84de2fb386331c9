"""Lock programs as data: from a file to its cases, from a case to a scenario.

Two notations are read, one case an object each:

- programs: ``locks``, ``threads_before``, ``threads_after`` and ``variants``, each version with
  what to expect of it (``deadlock`` or ``ok``: whether some order of the operations hangs). What
  the operations mean is said in program.py.
- cases of a lock validator: what one task does, ``threads_or_sequence``, and whether the validator
  must complain (``splat`` or ``clean``), in what words.

Reading looks at nothing but the case that is asked for, and says where the file is wrong. Nothing
is run here: see threads.py, validator_case.py.
"""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NoReturn

from ..checker.program import Program
from ..lockorder.lockdep import SUBCLASSES, TYPES
from ..locks.errors import ScenarioError
from ..locks.operations import RECORDED
from .source_lines import parse
from .threads import Lines, scenario_of
from .validator_case import OPERATIONS, sequence_of

BEFORE, AFTER = "before", "after"
EXPECTED_OF_PROGRAM = ("deadlock", "ok")
EXPECTED_OF_VALIDATOR = ("splat", "clean")


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

    def scenario(self, version: str = "", policy: str = "writer") -> Callable[[], Any]:
        """Return the scenario factory of *version* (default: before).

        Raises:
            ScenarioError: there is no such version.
        """
        chosen = self.versions.get(version or BEFORE)
        if chosen is None:
            _unknown(f"{self.file}: case {self.name!r} has no version", version,
                     list(self.versions))
        program = chosen.program
        if policy != program.policy:
            program = replace(program, policy=policy)
        return scenario_of(program, f"{self.name}:{chosen.name}", self.file, chosen.lines,
                           _reference(self.file, self.name, chosen.name, policy))


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
    operations: list[tuple[Any, ...]]
    expected: str
    expected_report: str | None
    lines: list[int]

    def scenario(self, version: str = "", policy: str = "writer") -> Callable[[], Any]:
        """Return the scenario factory: one role that does it all on real locks.

        Raises:
            ScenarioError: a version is asked for.
        """
        if version:
            raise ScenarioError(f"{self.file}: case {self.name!r} is one of a validator, without "
                                f"versions, and so without {version!r}")
        return sequence_of(self.operations, self.locks, self.name, self.file, self.lines, policy,
                           _reference(self.file, self.name, "", policy))


Case = ProgramCase | ValidatorCase


def _reference(file: str, case: str, version: str, policy: str) -> tuple[str, dict[str, Any]]:
    return f"{__package__}:scenario", {"file": file, "case": case, "version": version,
                                    "policy": policy}


def scenario(file: str, case: str, version: str = "", policy: str = "writer") -> Callable[[], Any]:
    """Return the scenario factory of a version of a case of *file*: what replay tokens refer to."""
    return File(file).case(case).scenario(version, policy)


def load_case(reference: str, policy: str = "writer") -> Callable[[], Any]:
    """Return the scenario factory that ``FILE.json[:CASE[:VERSION]]`` names.

    CASE may be left out if the file has only one, VERSION for the first one there is.

    Raises:
        ScenarioError: there is no such file, case or version, or it is wrong.
    """
    path, suffix, rest = reference.partition(".json:")
    path += ".json" if suffix else ""
    case, _, version = rest.partition(":")
    file = File(path)
    return (file.case(case) if suffix else file.only_case()).scenario(version, policy)


def _unknown(what: str, name: str, known: list[str]) -> NoReturn:
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
    raise ScenarioError(f"{what} {name!r}; {hint}")


# -- reading --------------------------------------------------------------------------------------


class File:
    """A file of cases, in either notation.

    Raises:
        ScenarioError: it cannot be read, is no JSON, or has no cases.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        data = _parse(path)
        lists = data if isinstance(data, dict) else {"cases": data}
        self._raw = [raw for key, value in lists.items()
                     if isinstance(key, str) and key.endswith("cases") and isinstance(value, list)
                     for raw in value]
        if not self._raw or not all(isinstance(raw, dict) for raw in self._raw):
            self._refuse()
        for number, raw in enumerate(self._raw):
            if not isinstance(_name_of(raw), str):
                raise ScenarioError(f"{path}: case number {number} has no name")
            if "threads_or_sequence" not in raw and "threads_before" not in raw:
                self._refuse(f"case {_name_of(raw)!r} has neither 'threads_before' nor "
                             f"'threads_or_sequence'")
        for name, times in Counter(self.names).items():
            if times > 1 or ":" in name or not name.isprintable():
                raise ScenarioError(f"{path}: " + (
                    f"{times} cases are called {name!r}" if times > 1 else
                    f"the name {name!r} of a case must be printable, without a colon"))

    def _refuse(self, why: str = "it has no list 'cases' of objects") -> NoReturn:
        raise ScenarioError(f"{self.path} is in neither notation of lock programs: {why}")

    @cached_property
    def names(self) -> list[str]:
        """The names of its cases, in order."""
        return [_name_of(raw) for raw in self._raw]

    def cases(self) -> Iterator[Case]:
        """Yield each of its cases."""
        return map(self._read, self._raw)

    def case(self, name: str) -> Case:
        """Return the case called *name*.

        Raises:
            ScenarioError: there is none, or it is wrong.
        """
        if name not in self.names:
            _unknown(f"{self.path} has no case", name, self.names)
        return self._read(self._raw[self.names.index(name)])

    def only_case(self) -> Case:
        """Return its case, if it has one only.

        Raises:
            ScenarioError: it has several, or it is wrong.
        """
        if len(self._raw) != 1:
            raise ScenarioError(f"{self.path} has {len(self._raw)} cases, name one as "
                                f"{self.path}:CASE: {', '.join(self.names)}")
        return self._read(self._raw[0])

    def _read(self, raw: dict[str, Any]) -> Case:
        where = f"{self.path}: case {_name_of(raw)!r}"
        if "threads_or_sequence" in raw:
            return _validator_case(raw, self.path, where)
        return _program_case(raw, self.path, where)


def _name_of(raw: dict[str, Any]) -> Any:
    return raw.get("id", raw.get("name"))


def _program_case(raw: dict[str, Any], file: str, where: str) -> ProgramCase:
    locks = {name: lock.get("kind") if isinstance(lock, dict) else lock
             for name, lock in _get(raw, "locks", dict, where, {}).items()}
    fixed = locks | _get(raw, "kinds_after", dict, where, {})
    versions = [_version(BEFORE, raw, "_before", locks, "deadlock", where)]
    if raw.get("threads_after") is not None:
        versions.append(_version(AFTER, raw, "_after", fixed, "ok", where))
    for variant in _get(raw, "variants", list, where, []):
        if not isinstance(variant, dict):
            raise ScenarioError(f"{where}: variant {variant!r} is no object")
        name = _get(variant, "name", str, f"{where}: a variant")
        kinds = locks | _get(variant, "kinds", dict, f"{where}, {name}", {})
        versions.append(_version(name, variant, "", kinds, None, where))
    named = {version.name: version for version in versions}
    if len(named) != len(versions):
        raise ScenarioError(f"{where}: two versions have the same name, of "
                            f"{', '.join(version.name for version in versions)}")
    return ProgramCase(_name_of(raw), file, named)


def _version(name: str, raw: dict[str, Any], suffix: str, locks: dict[str, Any],
             expected: str | None, where: str) -> Version:
    where = f"{where}, {name}"
    threads = _get(raw, f"threads{suffix}", dict, where)
    lines = {thread: _lines_of(ops, f"{where}: thread {thread}") for thread, ops in threads.items()}
    flags = _get(raw, f"init_flags{suffix}", list, where, [])
    if not all(isinstance(flag, str) for flag in flags):
        raise ScenarioError(f"{where}: flags are names, not {flags!r}")
    word = raw.get(f"expect{suffix}", expected)
    if word not in EXPECTED_OF_PROGRAM:
        raise ScenarioError(f"{where}: it is expected to be {word!r}, which is none of "
                            f"{', '.join(EXPECTED_OF_PROGRAM)}")
    for thread, ops in threads.items():
        for index, op in enumerate(ops if isinstance(ops, list) else ()):
            if isinstance(op, list) and op and op[0] in RECORDED:
                raise ScenarioError(f"{where}: thread {thread}, operation {index}: unknown operation "
                                    f"{op[0]!r}")
    try:
        program = Program(locks, threads, frozenset(flags))
    except ScenarioError as exc:
        raise ScenarioError(f"{where}: {exc}") from None
    return Version(name, program, word, lines)


def _lines_of(ops: Any, where: str) -> list[int]:
    """Return the line of each operation of a thread; what is no list is refused by `Program`."""
    if isinstance(ops, list) and not ops:
        raise ScenarioError(f"{where} has no operations")
    return [getattr(op, "line", 1) for op in ops] if isinstance(ops, list) else []


def _validator_case(raw: dict[str, Any], file: str, where: str) -> ValidatorCase:
    locks = {}
    for name, lock in _get(raw, "locks", dict, where, {}).items():
        if not isinstance(lock, dict):
            raise ScenarioError(f"{where}: lock {name} is {lock!r}, expected its type and class")
        kind = _get(lock, "type", str, f"{where}: lock {name}")
        if kind not in TYPES:
            raise ScenarioError(f"{where}: lock {name} is of unknown type {kind!r}; one of "
                                f"{', '.join(TYPES)}")
        locks[name] = kind, _get(lock, "class", str, f"{where}: lock {name}", name)
    sequence = _get(raw, "threads_or_sequence", list, where)
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
        raise ScenarioError(f"{where}: {op[2]!r} is no subclass, expected a number below {SUBCLASSES}")


_NAMED = {dict: "an object", list: "a list", str: "a name"}
_REQUIRED = object()


def _get(raw: dict[str, Any], key: str, kind: type, where: str, default: Any = _REQUIRED) -> Any:
    """Return what *raw* has under *key*, if it is of the right kind; null is as good as nothing."""
    value = raw.get(key)
    if value is None and default is not _REQUIRED:
        return default
    if not isinstance(value, kind):
        raise ScenarioError(f"{where}: {key!r} is {value!r}, expected {_NAMED[kind]}" if key in raw
                            else f"{where} needs {key!r}, {_NAMED[kind]}")
    return value


def _parse(path: str) -> Any:
    """Return what the JSON file *path* says, each list with its line."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            return parse(file.read())
    except OSError as exc:
        raise ScenarioError(f"cannot read {path}: {exc.strerror}") from None
    except UnicodeDecodeError:
        raise ScenarioError(f"{path} is no JSON: it is not text in UTF-8") from None
    except json.JSONDecodeError as exc:
        raise ScenarioError(f"{path} is no JSON: {exc.msg} at line {exc.lineno}, column "
                            f"{exc.colno}") from None
    except ValueError as exc:
        raise ScenarioError(f"{path} is no JSON that can be read: {exc}") from None
    except RecursionError:
        raise ScenarioError(f"{path} is nested too deeply") from None
