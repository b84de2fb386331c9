"""Numbers that are counted and never asked for: they decide nothing of what a role goes on to do.

`self.frames += 1` in a loop makes each round another state, though nobody looks at it. A number may
be left out of a state if all code that can still run, which the state has, does nothing with it
but that. What may read one without naming it (`vars`, `copy`, `format`) is taken to read all.
"""

from __future__ import annotations

import dis
import sys
import types
from collections.abc import Iterable
from typing import NamedTuple

NUMBERS = (int, float)
# Whoever uses one of these may read an attribute without naming it.
_READ_ALL = {"getattr", "vars", "dir", "locals", "globals", "eval", "exec", "__dict__", "__slots__",
             "__getattribute__", "__getattr__", "__getstate__", "__reduce__", "__reduce_ex__",
             "f_locals", "attrgetter", "copy", "deepcopy", "asdict", "astuple", "replace", "fields",
             "pickle", "dumps", "inspect", "getmembers", "gc", "ctypes", "pprint", "_getframe",
             "__setattr__", "format", "format_map", "vformat"}
_OF_NUMBERS = {"real", "imag", "numerator", "denominator"}    # see the module `numbers`
_MATCHES = ("MATCH_CLASS", "MATCH_KEYS")


class Read(NamedTuple):
    """What code reads.

    Attributes:
        attributes: names of those that it reads for more than to count one on.
        variables: its own, likewise.
        all: it may read what it does not name.
    """

    attributes: frozenset[str]
    variables: frozenset[str]
    all: bool


_known: dict[int, tuple[types.CodeType, Read]] = {}    # by identity: code hashes slowly
_MOST_KNOWN = 5_000


def read_by(code: types.CodeType) -> Read:
    """Return what *code* reads, without what is defined in it."""
    if id(code) not in _known:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[id(code)] = code, _read_by(code)
    return _known[id(code)][1]


def _read_by(code: types.CodeType) -> Read:
    instructions = [ins for ins in dis.get_instructions(code) if ins.opname != "CACHE"]
    counted = {*_counted(instructions)}
    attributes: set[str] = set()
    variables: set[str] = set()
    for number, ins in enumerate(instructions):
        if number in counted:
            continue
        names = ins.argval if type(ins.argval) is tuple else (ins.argval,)
        if ins.opcode in dis.hasname and ins.opname not in ("STORE_ATTR", "STORE_GLOBAL"):
            attributes.update(names)
        elif ins.opname.startswith(("LOAD_FAST", "STORE_FAST_LOAD", "STORE_FAST_STORE",
                                    "LOAD_CLOSURE", "DELETE_FAST")):
            variables.update(names)
    everything = bool(_READ_ALL & {*code.co_names, code.co_name}) or any(
        ins.opname in _MATCHES or ins.opname == "IMPORT_NAME" and ins.argval not in sys.modules
        for ins in instructions)
    return Read(frozenset(attributes), frozenset(variables), everything)


def _counted(instructions: list[dis.Instruction]) -> Iterable[int]:
    """Yield which of *instructions* load a number only to store it, one constant more or less."""
    for number, ins in enumerate(instructions):
        after = instructions[number + 1:number + 5]
        names = [each.opname for each in after]
        if any(each.is_jump_target for each in after[:2]) or len(after) < 3 \
                or names[:2] != [_CONST, "BINARY_OP"] or type(after[0].argval) not in NUMBERS:
            continue
        stores = after[3] if names[2] == "SWAP" and len(after) > 3 else after[2]
        both = ins.opname, stores.opname
        of_object = both == ("LOAD_ATTR", "STORE_ATTR") and number \
            and instructions[number - 1].opname == "COPY"
        if (of_object or both == ("LOAD_FAST", "STORE_FAST")) \
                and ins.argval == stores.argval and after[1].argrepr.endswith("="):
            yield number


_CONST = "LOAD_SMALL_INT" if "LOAD_SMALL_INT" in dis.opmap else "LOAD_CONST"


def unread(names: Iterable[str], codes: Iterable[types.CodeType]) -> set[str]:
    """Return those of *names*, of attributes, that none of *codes* reads.

    Those with an underscore first, and of numbers, the standard library may read.
    """
    read = [read_by(code) for code in codes]
    if any(each.all for each in read):
        return set()
    return {name for name in names if not name.startswith("_") and name not in _OF_NUMBERS
            and not any(name in each.attributes for each in read)}


def is_counter(code: types.CodeType, name: str) -> bool:
    """Say whether *code* does nothing with its variable *name* but count."""
    read = read_by(code)
    return not read.all and name not in read.variables
