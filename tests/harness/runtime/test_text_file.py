"""Files that somebody else may have written are read up to a size, or refused in one line."""

import os
import socket

import pytest

from harness import ScenarioError
from harness.lockorder.finding import read_baseline
from harness.programs.json_file import read_json
from harness.runtime.text_file import MOST, read_text
from pcimodel.lab.fix_files import fix_named


@pytest.fixture
def strange(tmp_path):
    """Return the path of what is asked for: no file of text."""
    for name, data in {"binary": b"\xff\xfe\x00", "large": b" " * (MOST + 1)}.items():
        (tmp_path / name).write_bytes(data)
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(1 << 40)
    os.mkfifo(tmp_path / "pipe")
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "socket"))
    for name in ("folder.py", "nothing.py"):
        (tmp_path / name).mkdir()
    (tmp_path / "nothing.py").rmdir()
    os.mkfifo(tmp_path / "pipe.py")
    yield lambda name: name if name.startswith("/") else str(tmp_path / name)
    server.close()


@pytest.mark.parametrize("name, why", [
    ("/dev/zero", "it is a device"), ("pipe", "it is a pipe"), ("folder.py", "it is a folder"),
    ("socket", "No such device or address"), ("large", "it has more than 1,000,000 bytes"),
    ("sparse", "it has more than 1,000,000 bytes"), ("binary", "it is not text in UTF-8"),
    ("none", "No such file or directory"), ("a\0b", "no file has such a name"),
    ("a\nb", "No such file or directory")])
@pytest.mark.parametrize("read, what", [(read_json, ""), (read_baseline, "the baseline ")])
def test_what_is_no_file_of_text_is_refused_in_one_line(strange, read, what, name, why):
    with pytest.raises(ScenarioError) as caught:
        read(strange(name))
    said = str(caught.value)
    assert said.startswith(f"cannot read {what}") and said.endswith(why) and "\n" not in said


@pytest.mark.parametrize("name", ["folder.py", "nothing.py", "pipe.py"])
def test_a_fix_in_what_is_no_file_is_refused_in_one_line(strange, name):
    with pytest.raises(ScenarioError, match="^cannot read the fix in [^\n]*$"):
        fix_named(f"{strange(name)}:Fix")


def test_a_file_of_the_greatest_size_is_read_without_its_byte_order_mark(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"\xef\xbb\xbf" + b"x" * (MOST - 3))
    assert read_text(str(path)) == "x" * (MOST - 3)


def test_no_descriptor_is_left_open(strange):
    descriptors = f"/proc/{os.getpid()}/fd"
    if not os.path.exists(descriptors):
        pytest.skip("descriptors cannot be counted here")
    before = os.listdir(descriptors)
    for name in ("pipe", "folder.py", "large", "binary"):
        with pytest.raises(ScenarioError):
            read_text(strange(name))
    assert len(os.listdir(descriptors)) == len(before)
