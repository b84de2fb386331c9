"""The `Locks:` line of every model function against what runs observe.

The entry paths are driven in runs of one role (and its kworkers); each lock operation is then
charged to the function whose body called the locking verb, and to every function that was running
above it. What a line says must be seen, and what is seen below a function, in its own thread, must
be said by its line: by name, by "as" its callee, or as taken by what it was given.
"""

from __future__ import annotations

import re
from collections import defaultdict

import pytest

from harness import Observer, run
from harness.locks.callsite import split
from harness.locks.task import EXCLUSIVE, SHARED
from pcimodel import Kernel
from pcimodel.fixes import FIXES, apply
from pcimodel.trees import TREES
from tests.entry_paths import PATHS

ITEM = re.compile(r"(?:via (?P<via>\w+): )?(?P<lock>\S.*?) \((?P<mode>mutex|read|write|wait)\)"
                  r"(?P<text>, .+)?")
# "via CALLEE: as CALLEE" stands for all that the callee's line says; "the driver's" for what a
# driver's callback takes.
AS = re.compile(r"via (?P<callee>\w+): as (?P=callee)(?P<text>, .+)?")
GIVEN = re.compile(r"the (?P<given>driver|callback|work item)'s(?P<text>, .+)?")
KERNELS = [()] + [(name,) for name in FIXES]


def items_of(line):
    """Return the parsed items of a `Locks:` line, each as the groups of its form."""
    if line.startswith("none"):
        return []
    items = [" ".join(part.split()) for part in line.split(";")]
    return [(AS.fullmatch(item) or GIVEN.fullmatch(item) or ITEM.fullmatch(item)).groupdict()
            for item in items]


def documented(tree, fix=None):
    """Return {code: (function name, its parsed items)} for every function of *tree* with a `Locks:`
    line; for those of *fix* alone, if one is given.
    """
    found = {}
    for cls in tree.__mro__ if fix is None else set(fix.__mro__) - set(Kernel.__mro__):
        for function in vars(cls).values():
            doc = getattr(function, "__doc__", None) or ""
            line = re.search(r"^\s*Locks:\s*(.*?)^\s*Called with:", doc, re.S | re.M)
            if line and hasattr(function, "__code__"):
                found[function.__code__] = (function.__qualname__, items_of(line[1]))
    return found


def is_drivers(code):
    """Say whether *code* is a driver's callback: not the model's, or the port driver's."""
    if code.co_name == "linger":
        return False   # of the entry paths: it keeps a work item busy
    of_model = "/pcimodel/" in code.co_filename and "/lab/" not in code.co_filename
    return not of_model or code.co_name in ("pcie_portdrv_probe", "pcie_portdrv_remove")


class Observed(Observer):
    """Collect, per function, what it took itself and what was taken below it, by whom."""

    def __init__(self):
        self.own = defaultdict(list)
        self.below = defaultdict(set)
        self.ways = defaultdict(set)
        self._known = {}    # what was collected; the calls as numbers, since code hashes slowly

    def lock_acquire(self, task, lock, mode):
        what = (lock.lock_class, _mode(lock, mode))
        _, calls = split(task.chain)
        codes = [code for code, _ in calls]
        seen = (what, *map(id, codes))
        if seen in self._known:
            return
        self._known[seen] = codes    # kept, lest a number be used again
        if codes and what not in self.own[codes[0]]:
            self.own[codes[0]].append(what)
        for i, code in enumerate(codes):
            self.below[code].update((callee.co_name, what) for callee in codes[:i + 1])
            names = tuple(callee.co_name for callee in codes[:i])
            self.ways[code].add((what, names, any(map(is_drivers, codes[:i]))))


def _mode(lock, mode):
    if type(lock).__name__ == "Mutex":
        return "mutex"
    return {EXCLUSIVE: "write", SHARED: "read"}.get(mode, mode)


@pytest.fixture(scope="module", params=KERNELS, ids=lambda fixes: "+".join(fixes) or "v4.14")
def observed(request):
    tree = apply(TREES["v4.14"], request.param)
    seen = Observed()
    for path in PATHS:
        drive(path, tree, seen)
    return tree, seen


def drive(path, tree, observer):
    """Run an entry path into *tree* to its clean end."""
    result = run(lambda: {"task": lambda: path(tree)}, runs=1, observers=lambda: [observer])
    assert result.verdict.value == "clean", f"{path.__name__}: {result}"


def means(document, took):
    """Say whether the documented lock and mode mean what was taken; `work` stands for any item."""
    (lock, mode), (name, took_mode) = document, took
    any_work = lock == "(work_completion)(&work)" and name.startswith("(work_completion)(&")
    return mode == took_mode and (lock == name or any_work)


def test_every_own_acquisition_is_documented_in_order(observed):
    tree, seen = observed
    wrong = []
    for code, (name, items) in documented(tree).items():
        own = [(item["lock"], item["mode"]) for item in items
               if "lock" in item and item["via"] is None]
        where = [next((i for i, what in enumerate(own) if means(what, took)), None)
                 for took in seen.own[code]]
        if None in where or where != sorted(where):
            wrong.append(f"{name}: took {seen.own[code]}, documents {own}")
    assert not wrong, "\n".join(wrong)


def test_every_documented_acquisition_is_observed(observed):
    tree, seen = observed
    # With a fix, only what the fix itself says: it may keep the tree's functions from being called.
    fixes = [FIXES[name] for name in FIXES if issubclass(tree, FIXES[name])]
    judged = documented(tree, *fixes[:1])
    missing = []
    for code, (name, items) in documented(tree).items():
        for item in items if code in judged else ():
            if "lock" not in item:
                continue
            what = (item["lock"], item["mode"])
            via = item["via"]
            if via is None:
                there = any(means(what, took) for took in seen.own[code])
            else:
                there = any(means(what, took) for callee, took in seen.below[code] if callee == via)
            if not there:
                missing.append(f"{name}: {via or 'itself'}: {what}")
    assert not missing, "\n".join(missing)


def covers(item, what, names, by_driver):
    """Say whether an item of a function's line tells of *what*, taken by way of callees *names*."""
    if "callee" in item:
        return item["callee"] in names
    if "given" in item:
        return by_driver or item["given"] != "driver"
    return means((item["lock"], item["mode"]), what)


def test_every_observed_acquisition_below_a_function_is_documented(observed):
    tree, seen = observed
    fixes = [FIXES[name] for name in FIXES if issubclass(tree, FIXES[name])]
    judged = documented(tree, *fixes[:1])
    wrong = {f"{name}: {what} by way of {' < '.join(names)}{' of a driver' * by_driver}"
             for code, (name, items) in judged.items()
             for what, names, by_driver in seen.ways[code]
             if not any(covers(item, what, names, by_driver) for item in items)}
    assert not wrong, "\n".join(sorted(wrong))
