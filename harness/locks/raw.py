"""The interpreter's own primitives, as they were when this package was imported.

What `harness` waits in must be none of its own locks, nor anybody else's: whoever puts others in
place of `threading.Lock` later (`harness.patched()` does) changes nothing here. No other module of
`harness` calls `threading.Lock()`, nor asks what type it is.
"""

from __future__ import annotations

import _thread
import threading
from queue import LifoQueue, PriorityQueue, Queue, SimpleQueue

__all__ = ["Barrier", "BoundedSemaphore", "Condition", "Event", "LOCK", "LifoQueue", "Lock",
           "PriorityQueue", "Queue", "RLOCK", "RLock", "Semaphore", "SimpleQueue"]

Lock = _thread.allocate_lock
RLock = _thread.RLock
LOCK: type = type(Lock())
RLOCK: type = type(RLock())
Condition, Event, Barrier = threading.Condition, threading.Event, threading.Barrier
Semaphore, BoundedSemaphore = threading.Semaphore, threading.BoundedSemaphore
