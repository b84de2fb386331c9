"""The table: the same each time, each cell with its method, machine and command; refused fixes."""

from __future__ import annotations

import json
import random
import shlex
import sys
import threading
from collections import Counter
from functools import partial
from types import SimpleNamespace

import pytest

from harness import Verdict, explore, force, replay, stress
from harness.report.result import Result
from harness.runtime.verdict import Finding, Outcome
from pcimodel.__main__ import main
from pcimodel.fixes import FIXES
from pcimodel.lab.compare import SCHEDULES, compare, judge
from pcimodel.lab.machines import DEFAULT, MACHINES
from pcimodel.lab.scenarios import SCENARIOS, scenario
from pcimodel.lab.table import render
from pcimodel.lab.worlds import World
from pcimodel.trees import TREES

FIRST_ONLY = '''
from pcimodel.fixes.collect_then_lock import CollectThenLock

class FirstOnly(CollectThenLock):
    def aer_pci_walk_bus(self, top, cb, data):
        devices = []
        self.pci_walk_bus(top, self.aer_get_pci_dev, devices)
        for dev in devices:
            if dev is devices[0]:
                cb(dev, data)
            self.put_device(dev)

class Misspelt:
    def broadcast_eror_message(self, dev, state, error_mesg, cb):
        return 5

number = 5
'''


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to be in, with a file of fixes."""
    (tmp_path / "mine.py").write_text(FIRST_ONLY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    yield tmp_path
    sys.modules.pop("mine", None)


def run_main(capsys, *words):
    """Return exit status, standard output and standard error of a command."""
    status = main(words)
    out, err = capsys.readouterr()
    return status, out, err


def row_of(out, name):
    """Return the words in the row of scenario *name*."""
    return next(line for line in out.splitlines() if line.startswith(f"{name} ")).split()[1:]


# -- the same each time ----------------------------------------------------------------------------


def test_a_table_is_the_same_on_a_busy_machine():
    def table():
        cells = compare(["unbind-vs-aer", "unbind-vs-vf-add", "aer-with-vfs"], "v4.14",
                        ["defer-vf-add-notify"], timeout=5, policy="writer", machine="switch")
        return render(cells), [(cell.again, cell.result.coverage) for cell in cells]

    done, interval = threading.Event(), sys.getswitchinterval()

    def be_busy():
        while not done.is_set():
            sum(range(100))
    quiet, thread = table(), threading.Thread(target=be_busy)
    thread.start()
    sys.setswitchinterval(1e-5)
    try:
        assert table() == quiet
    finally:
        sys.setswitchinterval(interval)
        done.set()
        thread.join()


def test_no_cell_came_from_a_run_with_noise_or_a_random_machine(comparison):
    methods = Counter((cell.method, cell.machine) for cell in comparison.cells.values())
    controls = [name for name, entry in SCENARIOS.items() if not entry.has_meeting]
    columns = 1 + len(FIXES)
    assert methods == {
        ("force", DEFAULT): (len(SCENARIOS) - len(controls)) * columns,
        ("compare", DEFAULT): len(controls) * columns}


# -- a cell and its command ------------------------------------------------------------------------


def test_cells_are_shown_again_by_their_commands(comparison, capsys):
    """Every fifth; all of them: python -m benchmarks --check races."""
    different = []
    forced = [key for key, cell in comparison.cells.items() if cell.method != "compare"]
    for name, fix in [*forced[::5], ("vf-driver-load", "defer-vf-add")]:    # that on six machines
        cell = comparison.cells[name, fix]
        python, module, package, *words = shlex.split(cell.again)
        assert (python, module, package) == ("python", "-m", "pcimodel")
        _, out, _ = run_main(capsys, *words, "--json", "-")
        again = json.loads(out)
        if cell.method == "compare":
            [again] = [each for each in again["cells"] if each["fix"] == fix]
        if again["verdict"] != str(cell.result.verdict):
            different.append((cell.again, again["verdict"], str(cell.result.verdict)))
    assert different == []


def test_json_says_method_machine_and_command_of_each_cell(capsys):
    _, out, _ = run_main(capsys, "--json", "-", "--scenario", "probe-vs-aer", "--scenario",
                         "vf-driver-load", "--fix", "collect-then-lock", "--timeout", "4",
                         "--policy", "fair", "--machine", "switch")
    told = {(cell["scenario"], cell["fix"]): (cell["method"], cell["machine"], cell["again"])
            for cell in json.loads(out)["cells"]}
    more = "--policy fair --machine switch --timeout 4"
    assert told["probe-vs-aer", None] == (
        "force", "switch", f"python -m pcimodel force probe-vs-aer {more}")
    assert told["vf-driver-load", "collect-then-lock"] == (
        "compare", "switch", "python -m pcimodel compare --scenario vf-driver-load "
        f"--fix collect-then-lock {more}")


@pytest.mark.parametrize("name, machine, forgotten, again", [
    ("probe-vs-aer", "shared-slot", "0000:01:00.1",
     "python -m pcimodel force probe-vs-aer --fix mine.py:FirstOnly --machine shared-slot"),
    ("vf-driver-load", "shared-slot", "0000:01:00.1",
     "python -m pcimodel explore vf-driver-load --fix mine.py:FirstOnly --machine shared-slot "
     "--strategy pct --seed 2017 --max-schedules 2")])
def test_what_forcing_on_the_first_machine_does_not_show_is_marked_and_shown_again(
        name, machine, forgotten, again, here, capsys):
    status, out, _ = run_main(capsys, "--scenario", name, "--fix", "mine.py:FirstOnly")
    assert (status, row_of(out, name)[-2:]) == (0, ["violation", "[1]"])
    assert f"[1] {name} on v4.14 mine.py:FirstOnly: " in out and f"on machine {machine}\n" in out
    assert f"Again: {again}\n" in out
    status, out, _ = run_main(capsys, *shlex.split(again)[3:])
    assert (status, f"{forgotten} was bound all the time" in out) == (1, True)


# -- machines --------------------------------------------------------------------------------------


@pytest.mark.parametrize("machine", MACHINES)
def test_the_deadlock_of_the_mail_can_be_forced_on_every_machine(machine):
    result = force(scenario("probe-vs-aer", machine=machine))
    wanted = {leg["role"]: leg["wants"] for leg in result.cycle}
    pf = "0000:03:00.0" if machine == "switch" else "0000:01:00.0"
    assert wanted == {"CPU0": "&pci_bus_sem", "CPU1": f"&dev->mutex ({pf})"}


def test_stress_on_a_named_machine_draws_no_machine_and_its_token_names_it():
    result = stress(scenario("probe-vs-aer", machine="switch"), runs=5, seed=1)
    again = replay(result.replay)
    assert (result.verdict, again.verdict) == (Verdict.DEADLOCK, Verdict.DEADLOCK)
    assert again.scenario == "probe-vs-aer on switch"
    assert {leg["wants"] for leg in again.cycle} == {"&pci_bus_sem", "&dev->mutex (0000:03:00.0)"}


@pytest.mark.parametrize("machine", [DEFAULT, "switch"])
def test_a_named_machine_leaves_nothing_to_chance(machine):
    def shape(seed):
        world = World(TREES["v4.14"], "writer", random.Random(seed), machine=machine)
        names = [dev.name for dev in world.kernel.for_each_pci_dev()]
        return (*names, world.pf.sriov.offset, world.number_of_vfs())
    assert len({shape(seed) for seed in range(40)}) == 1


def test_a_report_says_on_which_machine_it_is_shown_again(capsys):
    _, out, _ = run_main(capsys, "force", "unbind-vs-aer", "--machine", "far-vfs")
    assert out.endswith("Again: python -m pcimodel force unbind-vs-aer --machine far-vfs\n")


# -- a stranger's fix ------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["mine.py:FirstOnly", "./mine.py:FirstOnly", "mine:FirstOnly"])
def test_a_fix_in_a_file_goes_with_every_command(spec, here, capsys):
    assert run_main(capsys, "explore", "aer-with-vfs", "--fix", spec)[0] == 1
    assert run_main(capsys, "force", "sysfs-enable-vs-aer", "--fix", spec)[0] == 3
    status, out, _ = run_main(capsys, "--scenario", "aer-with-vfs", "--fix", spec)
    assert (status, row_of(out, "aer-with-vfs")[:2]) == (0, ["clean", "violation"])


def test_a_file_is_read_again_when_it_has_changed(here, capsys):
    words = ["--scenario", "aer-with-vfs", "--machine", DEFAULT, "--fix", "mine.py:FirstOnly"]
    assert row_of(run_main(capsys, *words)[1], "aer-with-vfs")[1] == "violation"
    text = (here / "mine.py").read_text().replace("if dev is devices[0]:", "if dev is not None:  #")
    (here / "mine.py").write_text(text)
    assert row_of(run_main(capsys, *words)[1], "aer-with-vfs")[1] == "clean"


@pytest.mark.parametrize("spec, text, said", [
    ("mine.py:Misspelt", None, "did you mean broadcast_error_message?"),
    ("mine.py:FirstOnlyy", None, "mine.py has no fix 'FirstOnlyy'; did you mean 'FirstOnly'?"),
    ("mine.py:number", None, "fix 'mine.py:number' is 5, not a class"),
    ("mine.py:", None, "mine.py has no fix ''; there are FirstOnly, Misspelt"),
    ("your.py:Fix", None, "cannot read the fix in your.py: No such file or directory"),
    ("yours:Fix", None, "no module named 'yours' here or on the path"),
    ("bad.py:Fix", "class Fix:\n    def f(self:\n", "the fix in bad.py cannot be loaded: "
                                                    "SyntaxError: "),
    ("bad.py:Fix", "import os\n1 / 0", "the fix in bad.py cannot be loaded: ZeroDivisionError: "
                                       "division by zero, at "),
    ("bad.py:Fix", "raise SystemExit(0)", "the fix in bad.py cannot be loaded: SystemExit(0), at "),
    ("bad.py:Fix", "import no_such_module", "No module named 'no_such_module'"),
    ("bad:Fix", "import no_such_module", "No module named 'no_such_module'"),
    ("bad:Fix", "exit()", "the fix in bad cannot be loaded: SystemExit"),
    ("bad.py:Fix", "\0", "SyntaxError: source code string cannot contain null bytes"),
    ("mine.py", None, "fix 'mine.py' is not of the form FILE.py:NAME"),
    (":FirstOnly", None, "fix ':FirstOnly' is not of the form FILE.py:NAME"),
    ("bad.py:Fix", "x = 1", "bad.py has no fix 'Fix'; there are no classes in it")])
def test_a_bad_fix_costs_its_own_column_alone(spec, text, said, here, capsys):
    if text is not None:
        (here / "bad.py").write_text(text)
    status, out, err = run_main(capsys, "--scenario", "unbind-vs-aer", "--fix", spec, "--fix",
                                "defer-vf-add")
    assert (status, len(err.splitlines())) == (2, 1)
    assert row_of(out, "unbind-vs-aer") == ["deadlock", "deadlock", "refused"]
    assert said in err and said in " ".join(out.split())
    status, out, err = run_main(capsys, "force", "probe-vs-aer", "--fix", spec)
    assert (status, out, len(err.splitlines())) == (2, "", 1) and said in err
    assert "bad" not in sys.modules


@pytest.mark.parametrize("name", ["probe-vs-aer", "aer-with-vfs"])
@pytest.mark.parametrize("method, does, said", [
    ("pci_walk_bus(self, *args)", "raise KeyError(self.pci_bus_sem.name)", "KeyError: "),
    ("pci_walk_bus(self, *args)", "raise SystemExit(0)", "SystemExit(0)"),
    ("__init__(self)", "pass", "TypeError: ")])
def test_a_kernel_that_does_not_boot_is_an_error_and_costs_its_own_column_alone(
        name, method, does, said, here, capsys):
    (here / "bad.py").write_text(f"class Fix:\n    def {method}:\n        {does}\n"
                                 "    def driver_register(self, *args):\n"
                                 "        return super().driver_register(*args)\n")
    words = ["--scenario", name, "--machine", DEFAULT, "--fix", "bad.py:Fix"]
    status, out, err = run_main(capsys, *words, "--fix", "collect-then-lock")
    plain, patched = row_of(out, name)[0], row_of(out, name)[-1]
    assert (status, err, row_of(out, name)) == (0, "", [plain, "error", patched])
    assert f"scenario {name} + bad.py:Fix could not build its world: it raised {said}" in \
        " ".join(out.split())
    _, out, _ = run_main(capsys, *words, "--json", "-")
    cell = json.loads(out)["cells"][1]
    assert (cell["verdict"], cell["again"]) == (
        "error", f"python -m pcimodel compare --scenario {name} --fix bad.py:Fix")


STUCK = """
import threading
from pcimodel.locking import down_read
lock = threading.Lock()

class Forgets:
    def pci_get_slot(self, bus, devfn):
        down_read(self.pci_bus_sem)
        return self.pci_dev_get(next((dev for dev in bus.devices if dev.devfn == devfn), None))

class ForgetsLast:
    def start_kernel(self, *args):
        super().start_kernel(*args)
        down_read(self.pci_bus_sem)

class Hangs:
    def pci_get_slot(self, bus, devfn):
        lock.acquire()
        return super().pci_get_slot(bus, devfn)
"""


def test_a_kernel_whose_boot_never_ends_costs_its_own_column_alone(here, capsys):
    (here / "stuck.py").write_text(STUCK)
    fixes = ["stuck.py:Forgets", "stuck.py:ForgetsLast", "stuck.py:Hangs", "collect-then-lock"]
    words = [word for fix in fixes for word in ("--fix", fix)]
    status, out, err = run_main(capsys, "--scenario", "probe-vs-aer", "--machine", DEFAULT,
                                "--timeout", "0.1", *words)
    assert (status, err, row_of(out, "probe-vs-aer")) == (
        0, "", ["deadlock", "deadlock", "violation", "hang", "not-reached"])
    assert "the world waits in pci_device_add() for &pci_bus_sem: it itself holds it" in out
    assert "the world broke a rule of locks: HeldAtEnd" in out
    assert "the world has not moved for 0.1 s, at stuck.py:" in out


def test_a_boot_that_waits_for_itself_is_told_in_the_names_of_the_kernel(here, capsys):
    (here / "stuck.py").write_text(STUCK)
    status, out, _ = run_main(capsys, "explore", "probe-vs-aer", "--fix", "stuck.py:Forgets")
    assert status == 1 and out.startswith("DEADLOCK: the world waits for itself")
    assert " pci_scan_child_bus()" in out and "Probe." not in out and "taken at stuck.py:8" in out


def test_a_kernel_that_does_not_boot_on_another_machine_is_marked(here, capsys):
    (here / "bad.py").write_text("class Fix:\n    def pci_scan_slot(self, bus, devfn):\n"
                                 "        found = super().pci_scan_slot(bus, devfn)\n"
                                 "        assert found < 2\n        return found\n")
    _, out, _ = run_main(capsys, "--scenario", "aer-with-vfs", "--fix", "bad.py:Fix")
    assert row_of(out, "aer-with-vfs") == ["clean", "error", "[1]"]
    assert "[1] aer-with-vfs on v4.14 bad.py:Fix: before it began, on machine shared-slot\n    " \
        "Again: python -m pcimodel compare --scenario aer-with-vfs --fix bad.py:Fix --machine " \
        "shared-slot\n" in out


@pytest.mark.parametrize("spec", ["mine.py:FirstOnly", "collect-then-lock"])
def test_a_fix_that_is_given_twice_is_refused(spec, here, capsys):
    status, out, err = run_main(capsys, "force", "probe-vs-aer", "--fix", spec, "--fix", spec)
    assert (status, out, err) == (2, "", f"pcimodel: fix '{spec}' is given twice\n")


def test_json_says_why_a_fix_was_refused(here, capsys):
    status, out, err = run_main(capsys, "--scenario", "probe-vs-aer", "--fix", "mine.py:Misspelt",
                                "--json", "-")
    told = json.loads(out)
    assert (status, [cell["fix"] for cell in told["cells"]]) == (2, [None])
    assert told["refused"] == {"mine.py:Misspelt": err.strip().removeprefix("pcimodel: ")}


@pytest.mark.parametrize("name", ["vf-driver-load", "probe-vs-aer"])
def test_a_cell_whose_schedules_did_not_come_to_their_end_says_so(name, monkeypatch):
    monkeypatch.setattr("pcimodel.lab.compare.explore", partial(explore, seconds=1e-9))
    _, cell = compare([name], "v4.14", ["collect-then-lock"], timeout=5, policy="writer")
    assert (cell.result.verdict, cell.method) == (Verdict.INCONCLUSIVE, "explore")
    assert "inconclusive a run could not be brought to its end" in render([cell])


def came_to(verdict):
    found = [] if verdict is Verdict.CLEAN else [Finding(verdict, "observed", "x")]
    schedules = 0 if verdict is Verdict.INCONCLUSIVE else SCHEDULES
    return Result("x", verdict, "observed", {"runs": 1, "schedules": schedules},
                  Outcome(found, []), 0.0)


@pytest.mark.parametrize("forced, drawn, shown", [
    ("not-reached", "deadlock", "deadlock"), ("not-reached", "clean", "not-reached"),
    ("inconclusive", "violation", "violation"), ("inconclusive", "clean", "inconclusive"),
    ("not-reached", "inconclusive", "inconclusive"), ("deadlock", "clean", "deadlock"),
    ("clean", "error", "error"), ("violation", "clean", "violation")])
def test_a_cell_is_the_gravest_of_what_was_forced_and_drawn(forced, drawn, shown):
    def ask(method, machine):
        return came_to(Verdict(forced if method == "force" else drawn))

    question = SimpleNamespace(scenario="probe-vs-aer", ask=ask)
    assert str(judge(question, [DEFAULT, "another"]).result.verdict) == shown


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_looks_at_its_world_at_the_end(name):
    assert scenario(name)().check is not None


@pytest.mark.parametrize("policy", ["fair", "reader"])
def test_a_token_keeps_the_policy(policy):
    assert scenario("probe-vs-aer", policy=policy).reference[1]["policy"] == policy
