"""The locks that one call takes and gives back, by name and in order, as a list to compare with."""

from harness import Observer, run
from harness.locks.task import EXCLUSIVE, SHARED, WAIT


class Trace(Observer):
    """Notes "+name" for each lock that the role has got and "-name" for each that it gives back.

    A semaphore says how: "+&pci_bus_sem (write)".  A wait is one entry, "wait name".
    """

    def __init__(self):
        self.lines = []

    def lock_acquired(self, task, lock, mode):
        self._note(task, "wait " if mode == WAIT else "+", lock, mode)

    def lock_release(self, task, lock, mode):
        if mode != WAIT:
            self._note(task, "-", lock, mode)

    def _note(self, task, sign, lock, mode):
        if task.name == "task":
            how = {EXCLUSIVE: " (write)", SHARED: " (read)"}.get(mode, "")
            is_semaphore = type(lock).__name__ == "RWSemaphore"
            self.lines.append(f"{sign}{lock.name}{how if is_semaphore else ''}")

    def say(self, text):
        """Put a line of the test's own between the locks."""
        self.lines.append(text)


def traced(act, world):
    """Return what *act*(kernel, trace) locks in a world from *world*(), after that was built."""
    trace = Trace()

    def scenario():
        kernel = world()
        return {"task": lambda: act(kernel, trace)}
    result = run(scenario, runs=1, observers=lambda: [trace])
    assert result.verdict.value == "clean", result
    return trace.lines


def around(name, *inside):
    """Return the trace of a lock that is held over *inside*."""
    return [f"+{name}", *inside, f"-{name}"]
