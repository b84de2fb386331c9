"""The README is true: its commands print what it says, its functions are in the files it names."""

from __future__ import annotations

import ast
import re

import pytest
from documented import ROOT, Document, as_pattern

README = Document(ROOT / "README.md")


@pytest.mark.parametrize("command, output", README.examples(),
                         ids=[command for command, _ in README.examples()])
def test_commands_print_what_the_readme_says(command, output, tmp_path, request):
    if command == "python -m pcimodel":    # it takes longest, and others look at the same table
        comparison = request.getfixturevalue("comparison")
        printed = comparison.out + comparison.err
    else:
        printed = README.perform(command, tmp_path).stdout
    assert as_pattern(output).fullmatch(printed.rstrip()), printed


@pytest.mark.parametrize("command", README.inline_commands())
def test_commands_in_the_text_work(command, tmp_path):
    done = README.perform(command, tmp_path)
    assert done.returncode in (0, 1, 3), done.stdout


def test_python_blocks_are_python():
    blocks = [text for language, _, text in README.blocks if language == "python"]
    assert blocks and all(map(ast.parse, blocks))


def test_files_and_functions_of_the_walk_exist():
    walk = README.text.partition("## The deadlock of the mail")[2].partition("\n## ")[0]
    files = {name: (ROOT / name).read_text(encoding="utf-8")
             for name in re.findall(r"`((?:pcimodel|harness)/\S+?\.py)`", walk)}
    assert len(files) >= 8
    names = {"_driver_attach", "driver_probe_device", "igb_probe", "pci_enable_sriov",
             "pci_iov_add_virtfn", "pci_device_add", "do_recovery", "broadcast_error_message",
             "pci_walk_bus", "report_error_detected", "deadlock_from", "blockers"}
    assert names <= set(re.findall(r"`(\w+)`", walk))
    others = [ROOT / "pcimodel/pci_driver.py", *(ROOT / "harness").rglob("*.py")]
    source = "\n".join([*files.values(), *(path.read_text(encoding="utf-8") for path in others)])
    assert not [name for name in names if f"def {name}(" not in source]


def test_it_has_at_most_200_lines_of_at_most_120_columns():
    lines = README.text.splitlines()
    assert len(lines) <= 200 and [line for line in lines if len(line) > 120] == []


def test_the_two_commands_stand_in_the_readme_and_the_second_is_what_ci_runs():
    commands = [text for language, _, text in README.blocks if language == "sh"][0].splitlines()
    assert commands[0].endswith("-m pcimodel") and commands[1].endswith("-m pytest")
    ci = (ROOT / ".ci/run").read_text()
    assert commands[1] in ci
