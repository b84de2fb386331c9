"""Types and style, checked by tools that are no dependencies: mypy and ruff.

    python -m pip install mypy ruff      # or, with pip 25.1: pip install --group dev
    python -m tests.check_style

mypy --strict reads the packages, and a file as a user would write it against an installed copy of
this tree: there each public name must have its type. ruff reads the whole tree. What is not
installed, or cannot be, is skipped, and the last lines say so. Exit status 1: something was found.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
LEFT_OUT = shutil.ignore_patterns(".*cache", ".git", ".venv", "__pycache__", "build", "*.egg-info")
USER = '''
from collections.abc import Callable
from typing import assert_type

import harness
from harness import Mutex, Result, RWSemaphore, Verdict, explore, force, run


def transfers() -> dict[str, Callable[[], object]]:
    account, log = Mutex("account"), RWSemaphore("log")

    def writer() -> None:
        with account, log.down_write():
            pass

    return {"writer": writer, "reader": account.locked}


result = run(transfers, runs=2)
assert_type(result, Result)
assert_type([result.verdict, force(transfers).verdict], list[Verdict])
assert_type(Mutex("m"), Mutex)
assert_type(Mutex("m").acquire(), bool)
run(transfers, runs="2")          # type: ignore[arg-type]
explore(transfers, schedules=1)   # type: ignore[call-arg]
harness.Mutexes()                 # type: ignore[attr-defined]
'''.lstrip()


def main() -> int:
    """Run what is installed; return the exit status."""
    skipped = [f"{tool} is not installed" for tool in ("mypy", "ruff")
               if importlib.util.find_spec(tool) is None]
    clean = True
    if importlib.util.find_spec("ruff"):
        clean &= passes("ruff", "check")
    if importlib.util.find_spec("mypy"):
        clean &= passes("mypy")    # what pyproject.toml says: strict, the packages
        with installed_copy() as site:
            if site is None:
                skipped.append("an installed copy could not be made (see above), so no user's file "
                               "was looked at")
            else:
                user = site.parent / "user.py"
                user.write_text(USER, encoding="utf-8")
                clean &= passes("mypy", "--strict", user.name, folder=user.parent, path=str(site))
    for reason in skipped:
        print(f"skipped: {reason}")
    return 0 if clean else 1


def passes(*command: str, folder: Path = ROOT, path: str = "") -> bool:
    """Run a module of Python in *folder*, with *path* first among what is installed."""
    print(f"$ python -m {' '.join(command)}", flush=True)
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run([sys.executable, "-m", *command], cwd=folder,
                          env=environment).returncode == 0


@contextmanager
def installed_copy() -> Iterator[Path | None]:
    """Install this tree into a folder, without what it depends on; None if pip cannot."""
    with tempfile.TemporaryDirectory() as name:
        source, site = Path(name) / "source", Path(name) / "site-packages"
        shutil.copytree(ROOT, source, ignore=LEFT_OUT)    # a build leaves files where it builds
        installed = passes("pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
                           "--target", str(site), str(source))
        yield site if installed else None


if __name__ == "__main__":
    sys.exit(main())
