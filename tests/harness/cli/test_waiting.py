"""A command that says nothing for long says on a terminal that it is at work, and nowhere else."""

import io
import sys
import threading

from harness.cli import waiting
from harness.cli.waiting import told_to_wait


class Terminal(io.StringIO):
    """Standard error; `told` is set by what is written to it."""

    def __init__(self):
        super().__init__()
        self.told = threading.Event()

    def isatty(self):
        return True

    def write(self, text):
        self.told.set()
        return super().write(text)


def test_it_says_so_on_one_line_that_ends_with_the_command(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(waiting, "SILENT", 0.001)
    with told_to_wait("run x:y"):
        assert terminal.told.wait(120)
    text = terminal.getvalue()
    assert text.startswith("\rrun x:y: at work for 0 s") and text.endswith(" \n")


def test_a_command_that_is_soon_done_says_nothing_nor_does_one_without_a_terminal(monkeypatch):
    for stream in (Terminal(), io.StringIO(), None):
        monkeypatch.setattr(sys, "stderr", stream)
        if stream is not None and not stream.isatty():
            monkeypatch.setattr(waiting, "SILENT", 0.0)
        with told_to_wait("run x:y"):
            pass
        assert stream is None or stream.getvalue() == ""
