"""What a token holds: packed into characters, and checked when it is unpacked.

A token comes from a mail or a web page: whoever wrote it. What it unpacks to is bounded, and each
part is of the type, the range and the size that is written down here (`Data`), before anybody uses
it.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

from ..locks.errors import ScenarioError

RECORDED = 1    # version of a token whose schedule counts lock operations, of `stress`
EXPLORED = 2    # the same of one whose schedule says who took each step, of `explore`
STARTS = 3      # the same, and says which starts are steps; in older ones none is
ENDS = 4        # the same, and says who was seen to end waits, by which it is a deadlock
MOST_BYTES = 4_000_000     # unpacked
MOST_STEPS = 250_000
MOST_NAMES = 10_000        # of roles, and of starts that are points
LONGEST = 5_000            # characters of a name
_NO_TOKEN = "this is no replay token (was it cut short?)"


_PARTS = {RECORDED: 6, EXPLORED: 6, STARTS: 7}    # of older versions, which have less


class Data(NamedTuple):
    """The parts of a token, in their order.

    Attributes:
        name: MODULE:NAME of the scenario, or "".
        arguments: of a function that makes it; of what types they are is said where it is made.
        seed: of its world; of an exploration the digest of `Moves`.
        roles: their names, each once.
        order: indices into them; of an exploration twice that, and 1 more for giving up.
        points: the starts that are steps.
        ends: of each what is waited for, and then the roles that were seen to end such waits.
    """

    version: int
    name: str
    arguments: dict[str, Any]
    seed: str
    roles: list[str]
    order: list[int]
    points: list[str]
    ends: list[list[str]]


def pack(data: Data) -> str:
    """Return the token of *data*, "" if it would be none: too long, or with other parts."""
    parts = data[:_PARTS.get(data.version)]
    try:
        plain = json.dumps(parts, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError:    # half a character
        return ""
    if len(plain) > MOST_BYTES or _wrong(data):
        return ""
    return base64.urlsafe_b64encode(zlib.compress(plain, 9)).decode().rstrip("=")


def unpack(token: str) -> Data:
    """Return what *token* holds.

    Raises:
        ScenarioError: it is no token, or one of another version.
    """
    if not isinstance(token, str):
        raise ScenarioError(f"a replay token is a string, not {type(token).__name__}")
    try:
        version, *parts = _json(_plain(token))
        if version not in (RECORDED, EXPLORED, STARTS, ENDS):
            raise ScenarioError(f"this token is of version {_shown(version)}, not {RECORDED} to "
                                f"{ENDS}")
        lacks = len(Data._fields) - _PARTS.get(version, len(Data._fields))
        data = Data(version, *parts, *([] for _ in range(lacks)))
    except (binascii.Error, zlib.error, ValueError, TypeError, RecursionError) as exc:
        if isinstance(exc, ScenarioError):
            raise
        raise ScenarioError(_NO_TOKEN) from None
    wrong = _wrong(data)
    if wrong:
        raise ScenarioError(f"{_NO_TOKEN}: its {wrong} cannot be used")
    return data


def _wrong(data: Data) -> str:
    """Return the first part of *data* that is not as it must be, "" if there is none."""
    recorded = data.version == RECORDED
    most = (1 if recorded else 2) * len(data.roles) if type(data.roles) is list else 0
    rules: tuple[tuple[str, Callable[[Any], bool]], ...] = (
        ("version", lambda it: type(it) is int),
        ("name", _is_text),
        ("arguments", lambda it: type(it) is dict),
        ("seed", _is_text if recorded else _is_digest),
        ("roles", lambda it: _are_texts(it) and len({*it}) == len(it)),
        ("order", lambda it: _are_numbers(it, below=most)),
        ("points", _are_texts),
        ("ends", lambda it: type(it) is list and len(it) <= MOST_NAMES and all(
            _are_texts(names) and len(names) > 1 for names in it)))
    return next((part for part, holds in rules if not holds(getattr(data, part))), "")


def _shown(number: int) -> str:
    return str(number) if -10**9 < number < 10**9 else "unheard of"


def _plain(token: str) -> str:
    """Return the JSON text that *token* packs. Line breaks of a mail do not matter."""
    text = "".join(token.split()).encode("ascii").translate(bytes.maketrans(b"-_", b"+/"))
    packed = binascii.a2b_base64(text + b"=" * (-len(text) % 4), strict_mode=True)
    unpacker = zlib.decompressobj()
    plain = unpacker.decompress(packed, MOST_BYTES)
    if not unpacker.eof or unpacker.unused_data:    # cut short, longer than that, or not alone
        raise ValueError
    return plain.decode()


def _json(text: str) -> Any:
    data = json.loads(text, parse_constant=_refuse, object_pairs_hook=_once)
    json.dumps(data, ensure_ascii=False).encode()    # half a character is none
    return data


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError
    return dict(pairs)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)    # NaN, Infinity: no JSON


def _is_text(it: Any) -> bool:
    return type(it) is str and len(it) <= LONGEST


def _is_digest(it: Any) -> bool:
    return _is_text(it) and it.isascii() and it.isdigit() and len(it) <= 10 and int(it) < 2**32


def _are_texts(it: Any) -> bool:
    return type(it) is list and len(it) <= MOST_NAMES and all(map(_is_text, it))


def _are_numbers(it: Any, below: int) -> bool:
    return type(it) is list and len(it) <= MOST_STEPS and all(
        type(number) is int and 0 <= number < below for number in it)
