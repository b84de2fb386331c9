"""Reading files that somebody else may have written: regular ones, up to a size, text in UTF-8."""

from __future__ import annotations

import os
import stat

from ..locks.errors import ScenarioError

MOST = 1_000_000    # bytes of a file of lock programs, or of known cycles
MOST_SOURCE = 10_000_000    # of one of Python
_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket",
          stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


def read_text(path: str, what: str = "", most: int = MOST) -> str:
    """Return what the file *path* holds, without a byte order mark.

    Args:
        what: what it is, for the message.
        most: how many bytes it may have.

    Raises:
        ScenarioError: it cannot be read, or is no file of text, or too large.
    """
    name = f"{what} {path if path.isprintable() else ascii(path)}".lstrip()
    try:
        data = _read(path, most)
        if len(data) > most:
            raise ScenarioError(f"cannot read {name}: it has more than {most:,} bytes")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ScenarioError(f"cannot read {name}: it is not text in UTF-8") from None
    except OSError as exc:
        raise ScenarioError(f"cannot read {name}: {exc.strerror}") from None
    except _NoFile as exc:
        raise ScenarioError(f"cannot read {name}: {exc}") from None


class _NoFile(Exception):
    """What the path names is none."""


def _read(path: str, most: int) -> bytes:
    """Return at most one byte more than *most*."""
    try:    # not to wait for a pipe that nobody writes into
        number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except ValueError:    # a null in it, or half a character
        raise _NoFile("no file has such a name") from None
    try:
        kind = stat.S_IFMT(os.fstat(number).st_mode)
        if kind != stat.S_IFREG:
            raise _NoFile(f"it is {_KINDS.get(kind, 'no file')}")
        data = b""    # a file of /proc, say, has no size
        while len(data) <= most and (more := os.read(number, most + 1 - len(data))):
            data += more
        return data
    finally:
        os.close(number)
