"""The story of an operation: each thing that it changes, in order, and the function that does it.

Fields of devices, buses and SR-IOV structs, lists, registers, locks, events and lines of the log.
A function is told as "name:", then come its changes; "1.0" is the function 0000:01:00.0.
"""

import sys

from model_traces import traced

from pcimodel.device import Device, DeviceDriver
from pcimodel.hardware import ConfigSpace
from pcimodel.klist import Klist
from pcimodel.pci import PciBus, PciSriov

BELOW = "hardware.py", "locking.py", "klist.py", "device.py", "pci.py"    # they do it for others
FORMS = {"refcount": "ref"}


def story_of(build, act, monkeypatch):
    """Return what *act*(kernel) does in the world that *build* makes: a line for each function.

    A lock that is taken and given back again and again, as a scan of slots does, is told once.
    """
    told, tell_now, by = [], [], [None]

    def tell(text):
        if tell_now:
            name = _teller()
            if name != by[0]:
                by[0] = name
                told.append(f"{name}:")
            told.append(text)

    def fields(cls, owner):
        def setattr_(self, name, value):
            if isinstance(value, list) and name in ("devices", "children"):
                value = _Told(value, lambda text: tell(f"{_word(self)}.{name}{text}"))
            object.__setattr__(self, name, value)
            if tell_now and sys._getframe(1).f_code.co_name != "__init__":
                tell(f"{_word(owner(self))}.{FORMS.get(name, name)}={_word(value)}")
        monkeypatch.setattr(cls, "__setattr__", setattr_, raising=False)

    def before(cls, name, words):
        plain = getattr(cls, name)

        def telling(self, *args):
            tell(words(self, *args))
            return plain(self, *args)
        monkeypatch.setattr(cls, name, telling)

    fields(Device, lambda dev: dev)
    fields(PciBus, lambda bus: bus)
    fields(PciSriov, lambda iov: iov.dev if "dev" in vars(iov) else "iov")
    for name in "write", "raise_bits":
        before(ConfigSpace, name, lambda config, where, value, sign="|" * (name != "write"):
               f"[{where:x}]{sign}={value:x}")
    before(Klist, "add_tail", lambda klist, item: f"klist+{_word(item)}")
    before(Klist, "remove", lambda klist, item: f"klist-{_word(item)}")

    def acted(kernel, trace):
        kind = type(kernel)
        before(kind, "printk", lambda kernel, level, text: f"<{level}>{text.replace(' ', '_')}")
        before(kind, "kobject_uevent", lambda kernel, dev, action: f"{action}@{_word(dev)}")
        before(kind, "sysfs_create_link", lambda k, dev, to, name: f"{name}@{_word(dev)}")
        before(kind, "sysfs_remove_link", lambda k, dev, name: f"-{name}@{_word(dev)}")
        before(kind, "msleep", lambda kernel, milliseconds: f"sleeps-{milliseconds}")
        trace._note = lambda task, sign, lock, mode, note=trace._note: (
            note(task, sign, lock, mode),
            tell(f"{sign}{_short(lock.name)}{'R' * (mode == 'shared')}".replace(" ", "_")))
        tell_now.append(True)
        act(kernel)
        tell_now.clear()

    traced(acted, build)
    return _lines(told)


def _lines(told):
    """Put the changes behind their functions, but for pairs that come again at once."""
    lines = []
    for word in told:
        if word.endswith(":"):
            lines.append([word])
            continue
        lines[-1].append(word)
        if len(lines[-1]) > 4 and lines[-1][-2:] == lines[-1][-4:-2]:
            del lines[-1][-2:]
    return [" ".join(line) for line in lines]


class _Told(list):
    def __init__(self, items, tell):
        super().__init__(items)
        self.tell = tell

    def append(self, item):
        super().append(item)
        self.tell(f"+{_word(item)}@{len(self) - 1}")

    def insert(self, at, item):
        super().insert(at, item)
        self.tell(f"+{_word(item)}@{at}")

    def remove(self, item):
        super().remove(item)
        self.tell(f"-{_word(item)}")


def _teller():
    frame = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename
        if "/pcimodel/" in path and not path.endswith(BELOW):
            return frame.f_code.co_name
        frame = frame.f_back
    return "test"


def _short(name):
    return name.replace("0000:0", "").replace(":00.", ".").replace("0000:", "")


def _word(value):
    if isinstance(value, PciBus):
        return f"bus{value.number}"
    if isinstance(value, (Device, DeviceDriver)):
        return _short(value.name or "new")
    if isinstance(value, (str, int)) or value is None:
        return _short(str(value)).replace(" ", "_")
    return type(value).__name__ if not callable(value) else "f"
