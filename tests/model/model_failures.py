"""Failures that are let happen at one call; and all there is of a world, to compare with."""

from collections import Counter, defaultdict
from contextlib import contextmanager
from functools import cache

from pcimodel.device import Device, DeviceDriver
from pcimodel.klist import Klist
from pcimodel.locking import Mutex, RWSemaphore
from pcimodel.pci import PciBus, PciDev
from pcimodel.trees.v4_14 import V4_14
from pcimodel.workqueue import Worker, WorkStruct


@cache
def remembering(tree=V4_14):
    """Return *tree* as a kernel that knows every device and every bus that there was."""

    class Remembering(tree):
        def device_initialize(self, dev):
            vars(self).setdefault("ever", []).append(dev)
            super().device_initialize(dev)

        def pci_alloc_bus(self, parent, busnr):
            bus = super().pci_alloc_bus(parent, busnr)
            vars(self).setdefault("buses", []).extend([bus] if bus else [])
            return bus

    return Remembering


@contextmanager
def failing(kernel, name, at, answer):
    """Let the *at*-th call of *name* return *answer* and do nothing else; yield a list of the
    calls. A name is that of a function of the kernel, or "driver.callback".
    """
    holder, attribute = _holder(kernel, name)
    plain, calls = getattr(holder, attribute), []

    def counted(*arguments):
        calls.append(arguments)
        return answer if len(calls) == at else plain(*arguments)

    setattr(holder, attribute, counted)
    yield calls
    setattr(holder, attribute, plain)


def _holder(kernel, name):
    driver, dot, callback = name.partition(".")
    if not dot:
        return kernel, name
    found = next(drv for drv in kernel.klist_drivers.items() if drv.name == driver)
    return found if hasattr(found, callback) else found.err_handler, callback


# -- all there is ----------------------------------------------------------------------------------

COUNTS = "refcount", "enable_cnt"
THINGS = Device, DeviceDriver, PciBus, Klist, Worker, WorkStruct, Mutex, RWSemaphore
UNTOLD = {"ever", "buses", "hardware", "config", "vfs",    # they are told as devices and functions
          "klist_devices", "devices_kset", "cons_idx", "prod_idx",    # see `broken`
          "e_info", "e_sources", "dmesg", "uevents"}                 # nobody asks for them later


def state_of(kernel):
    """Return all that can be read of the world, flat: where it is -> what it is, but for what is
    off, empty or 0. Another device of the same name has a prime at its name.
    """
    found, names = {}, Counter()
    _tell("kernel", vars(kernel), found)
    for rid, config in _configs(kernel):
        _tell(f"0000:{rid >> 8:02x}:{rid >> 3 & 31:02x}.{rid & 7}", vars(config), found)
    for dev in kernel.ever:
        if not dev.freed:
            _tell(dev.name + "'" * names[dev.name], vars(dev), found)
            names[dev.name] += 1
    for bus in kernel.buses:
        if not bus.dev.freed:
            _tell(f"bus {bus.number:02x}", vars(bus), found)
    return found


def _configs(kernel):
    yield from kernel.hardware.functions.items()
    for pf in kernel.hardware.physical_functions():
        yield from pf.vfs.items()


def _tell(where, value, found):
    if isinstance(value, THINGS) or where.endswith(" kobj_parent"):
        value = _word(value) or "devices"
    elif isinstance(value, dict):
        for key, part in value.items():
            if key not in UNTOLD:
                _tell(f"{where} {getattr(key, 'name', key)}", part, found)
        return
    elif isinstance(value, (str, int, float)) or value is None:
        pass
    elif hasattr(value, "__iter__"):
        parts = [_word(part) for part in value]
        if None in parts:
            return _tell(where, dict(enumerate(value)), found)
        value = " ".join(parts)
    else:
        return _tell(where, getattr(value, "__dict__", {}), found)
    if value:
        found[where] = value


def _word(value):
    """Return what stands for a thing that is told elsewhere, or that is no more than a word."""
    if isinstance(value, (Device, DeviceDriver)):
        return value.name or "nameless"
    if isinstance(value, PciBus):
        return f"bus {value.number:02x}"
    if isinstance(value, Worker):
        return f"worker{len(value.scheduled) or ''}"
    if isinstance(value, WorkStruct):
        return f"{value.name}{' pending' * value.pending}{' runs' * (value.worker is not None)}"
    if isinstance(value, Klist):
        return " ".join(node.item.name + "+" * node.walkers + "-" * node.dead
                        for node in value.nodes)
    if isinstance(value, Mutex):
        return "locked" * value.locked()
    if isinstance(value, RWSemaphore):
        return "held" * bool(value.holders())
    return str(value) if isinstance(value, (str, int)) else None


def changes(before, after):
    """Return what is different, in words: "thing: field +1, field, ...; ..."; "no thing" for a
    device or a bus that is not there any more, "new thing" for one that was not there.
    """
    found, told = defaultdict(list), []
    for where in sorted({*before, *after}):
        old, new = before.get(where, 0), after.get(where, 0)
        if old == new:
            continue
        thing, _, field = where.rpartition(" ")
        if _is_there(thing, before) == _is_there(thing, after):
            found[thing].append(f"{field} {new - old:+}" if field in COUNTS else field)
        else:
            told.append(f"{'new' if _is_there(thing, after) else 'no'} {_whole(thing)}")
    told += [f"{thing}: {', '.join(fields)}" for thing, fields in found.items()]
    return "; ".join(dict.fromkeys(told))


def _whole(thing):
    return " ".join(thing.split()[:2]) if thing.startswith("bus ") else thing.split()[0]


def _is_there(thing, state):
    return f"{_whole(thing)} {'dev' if thing.startswith('bus ') else 'name'}" in state


def broken(kernel):
    """Return what is broken of lists and locks, whatever went on before: nothing, if all is well.
    """
    added = [dev for dev in kernel.ever if dev.kobj_parent is not None]
    locks = [lock for dev in kernel.ever for lock in (dev.mutex, getattr(dev, "cfg_lock", None))]
    locks += [kernel.pci_rescan_remove_lock, kernel.pci_slot_mutex, kernel.aspm_lock,
              *(rpc.rpc_mutex for rpc in kernel.aer_services.values())]
    wrong = [f"{lock.name} is locked" for lock in locks if lock is not None and lock.locked()]
    wrong += ["pci_bus_sem is held"] if kernel.pci_bus_sem.holders() else []
    wrong += [f"errors are left in the ring of {port.name}"
              for port, rpc in kernel.aer_services.items() if rpc.cons_idx != rpc.prod_idx]
    wrong += ["a klist has entries in use, or dead ones"
              for klist in (kernel.klist_devices, kernel.klist_drivers)
              for node in klist.nodes if node.walkers or node.dead]
    if kernel.klist_devices.items() != [dev for dev in added if isinstance(dev, PciDev)]:
        wrong.append("the bus's klist is another than that of added devices")
    if kernel.devices_kset != {dev.name: dev for dev in added}:
        wrong.append("the set of devices is another than that of added devices")
    for bus in kernel.buses:
        wrong += [f"{dev.name} is on the list of bus {bus.number:02x} twice, or not its own"
                  for dev in bus.devices if dev.bus is not bus or bus.devices.count(dev) > 1]
    for dev in added:
        if isinstance(dev, PciDev) and dev not in dev.bus.devices:
            wrong.append(f"{dev.name} is not on the list of its bus")
    return wrong
