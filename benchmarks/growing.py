"""How the cost of one of many grows with how many there are: a goal for each is to stay flat.

CPU time, since what else the machine does takes no part of that; the sizes are run in turns.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from harness import At, Meet, Mutex, Scenario, Verdict, force, run
from pcimodel.device import device_lock
from pcimodel.hardware import Endpoint, Machine, RootPort, Sriov
from pcimodel.trees.v4_14 import V4_14

from .measure import Row, ratio_row_of, scaled

GOAL = 1.5
Timed = Callable[[int], float]     # does something to so many, and returns its seconds
PF = "0000:01:00.0"


def rows(scale: float) -> list[Row]:
    """Return the rows of this file."""
    return [_row(what, few, scaled(many, scale, 2 * few), timed, scaled(5, scale))
            for what, few, many, timed in (
                ("a device of a walk over the bus", 100, 10_000, _walked),
                ("a VF that is turned off", 100, 10_000, _turned_off),
                ("a role of a forced ring", 10, 400, partial(_ring, told=False)),
                ("a role of the report of a ring", 10, 400, partial(_ring, told=True)),
                ("a lock that a role makes and names", 100, 5_000, _named),
                ("a lock of many, released first to last", 100, 10_000, _released),
                ("a thread that a role starts and joins", 100, 2_000, _joined))]


def _row(what: str, few: int, many: int, timed: Timed, times: int) -> Row:
    pairs = [(timed(many) / many, timed(few) / few) for _ in range(times)]
    return ratio_row_of(f"{what}, one of {many:,} / of {few:,}", GOAL, pairs, 1)


def _seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _with_vfs(number: int) -> tuple[V4_14, Any]:
    """Return a kernel with so many VFs on, and their PF."""
    card = Endpoint(sriov=Sriov(total_vfs=number, stride=1))
    kernel = V4_14(Machine({"03.0": RootPort({"00.0": card}, spare_buses=number // 256 + 2)}))
    pf = kernel.bus_find_device_by_name(PF)
    assert pf is not None
    with device_lock(pf):
        assert kernel.pci_enable_sriov(pf, number) == 0
    return kernel, pf


def _walked(number: int) -> float:
    kernel, _ = _with_vfs(number)
    times = 20_000 // number + 1
    return _seconds(lambda: [list(kernel.bus_for_each_dev()) for _ in range(times)]) / times


def _turned_off(number: int) -> float:
    kernel, pf = _with_vfs(number)

    def off() -> None:
        with device_lock(pf):
            kernel.pci_disable_sriov(pf)

    took = _seconds(off)
    assert len(kernel.klist_devices.items()) == 2    # the port and the PF
    return took


def _ring(number: int, told: bool) -> float:
    """Return what it takes to force a ring of so many roles; *told*: to tell of it, as text."""
    def world() -> Scenario:
        mutexes = [Mutex(f"mutex{i}") for i in range(number)]

        def role(i: int) -> None:
            with mutexes[i], mutexes[(i + 1) % number]:
                pass

        points = [At(f"role{i}", mutexes[(i + 1) % number], holding=[mutexes[i]])
                  for i in range(number)]
        return Scenario({f"role{i}": partial(role, i) for i in range(number)}, meet=Meet(*points))

    results: list[Any] = []
    times = 40 // number + 1
    took = _seconds(lambda: results.extend(force(world) for _ in range(times)))
    assert results[0].verdict is Verdict.DEADLOCK, results[0]
    return (_seconds(lambda: [str(result) for result in results]) if told else took) / times


def _run(number: int, role: Callable[[], None]) -> float:
    """Return the seconds of one run of *role*."""
    times = 1_000 // number + 1
    results: list[Any] = []
    took = _seconds(lambda: results.append(run(lambda: {"role": role}, runs=times)))
    assert results[0].verdict is Verdict.CLEAN, results[0]
    return took / times


def _named(number: int) -> float:
    def role() -> None:
        for _ in range(number):
            mutex = Mutex()
            with mutex:
                assert mutex.name

    return _run(number, role)


def _released(number: int) -> float:
    def role() -> None:
        mutexes = [Mutex(f"mutex{i}") for i in range(number)]
        for mutex in mutexes:
            mutex.acquire()
        for mutex in mutexes:
            mutex.release()

    return _run(number, role)


def _joined(number: int) -> float:
    mutex = Mutex("mutex")

    def body() -> None:
        with mutex:
            pass

    def role() -> None:
        for _ in range(number):
            thread = threading.Thread(target=body)
            thread.start()
            thread.join()

    return _run(number, role)
