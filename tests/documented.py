"""Text with commands in it: what it says they print, and what they do print."""

import io
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from harness.cli import main as harness_main
from pcimodel.__main__ import main as pcimodel_main

MAINS = {"harness": harness_main, "pcimodel": pcimodel_main}
ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```(\S+)(?: (\S+))?\n(.*?)^```$", re.S | re.M)
# Not to be run: a placeholder in capitals, and what only exists once the reader has made it.
PLACEHOLDER = re.compile(r"\b[A-Z]{3,}\b|my-fix|benchmarks")


class Document:
    """A file of Markdown. Its blocks are (language, name of a file or "", text).

    A block with the name of a file is that file. A block ``console`` is a command and what it
    prints, to either stream: a line ``...`` stands for any lines, `` ...`` at the end of one for
    the rest of it.
    """

    def __init__(self, path):
        self.name = f"{path.parents[1].name}-{path.stem}"    # harness-options, say
        self.text = path.read_text(encoding="utf-8")
        self.blocks = [(language, name or "", text)
                       for language, name, text in BLOCK.findall(self.text)]

    def examples(self):
        """Return (command, what it prints) of every console block."""
        consoles = [text for language, _, text in self.blocks if language == "console"]
        return [(command.removeprefix("$ "), output)
                for command, _, output in (text.partition("\n") for text in consoles)]

    def inline_commands(self):
        """Return the commands that stand in the text, between back quotes."""
        text = BLOCK.sub("", self.text)
        found = re.findall(r"`(python -m (?:pcimodel|harness|benchmarks)[^`]*)`", text)
        return sorted({" ".join(command.split()) for command in found
                       if not PLACEHOLDER.search(command)})

    def perform(self, command, folder):
        """Return what came of *command* in *folder*, beside the files of this document."""
        for _, name, text in self.blocks:
            if name:
                (folder / name).write_text(text, encoding="utf-8")
        python, *words = command.split()
        assert python == "python"
        if words[0] == "-m" and words[1] in ("harness", "pcimodel"):
            return _called(words[1], words[2:], folder)
        return subprocess.run([sys.executable, *words], cwd=folder, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                              env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"})


def _called(module, arguments, folder):
    """Return what came of ``python -m module arguments`` in *folder*, run in this process, since a
    new one takes longer to start than most commands run.
    """
    printed, modules = io.StringIO(), set(sys.modules)
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed), redirect_stderr(printed):
        patch.chdir(folder)
        patch.setattr(sys, "argv", [module, *arguments])
        patch.setattr(sys, "path", [str(folder), *sys.path])
        try:
            status = MAINS[module](arguments)
        except SystemExit as exc:
            status = exc.code or 0
    for name in set(sys.modules) - modules:
        if getattr(sys.modules[name], "__file__", None) in map(str, folder.iterdir()):
            del sys.modules[name]    # of the document: the next one may have another of that name
    return subprocess.CompletedProcess([module, *arguments], status, printed.getvalue())


def as_pattern(output):
    """Return *output* as a pattern, see `Document`."""
    lines = [".*" if line.strip() == "..." else
             re.escape(line[:-3]) + "[^\n]*" if line.endswith(" ...") else re.escape(line)
             for line in output.rstrip().splitlines()]
    return re.compile("\n".join(lines), re.S)
