"""What each operation does, in order. Another order of two statements, or one left out, is another
story. stories.txt was written by the model and read against what KERNEL.md 2 to 9 says of v4.14;
of lines of which it says nothing, it holds what the model does.
"""

import errno
from pathlib import Path

import pytest
from model_failures import failing
from model_operations import (Bind, Enable, Firmware, Load, Recover, RecoverFatal, Rescan,
                              Unbind)
from model_stories import story_of

from pcimodel.err import PCI_ERS_RESULT_DISCONNECT

STORIES = dict(part.split("\n", 1) for part in
               (Path(__file__).parent / "stories.txt").read_text().split("== ")[1:])


def failing_at(operation, name, at, answer):
    def act(kernel):
        with failing(kernel, name, at, answer):
            operation.act(kernel)
    return operation.build, act


def undone(operation):
    def build():
        kernel = operation.build()
        operation.act(kernel)
        return kernel
    return build, operation.undo


def done(operation):
    return operation.build, operation.act


OPERATIONS = {
    "enable": done(Enable), "disable": undone(Enable),
    "enable, the second VF has no link":
        failing_at(Enable, "pci_iov_link_virtfn", 2, -errno.EDOM),
    "bind": done(Bind), "unbind": done(Unbind),
    "bind, the probe fails": failing_at(Bind, "igb.probe", 1, -errno.EDOM),
    "load": done(Load), "unload": undone(Load),
    "rescan": done(Rescan), "remove": undone(Rescan),
    "recover": done(Recover), "recover from a fatal error": done(RecoverFatal),
    "recover, the driver gives up":
        failing_at(Recover, "igb.error_detected", 1, PCI_ERS_RESULT_DISCONNECT),
    "recover, the firmware tells": done(Firmware),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_does_what_the_kernel_does_in_its_order(name, monkeypatch):
    assert "\n".join(story_of(*OPERATIONS[name], monkeypatch)) \
        == STORIES[name].replace("\n    ", " ").strip()


def test_each_story_is_of_an_operation():
    assert STORIES.keys() == OPERATIONS.keys()
