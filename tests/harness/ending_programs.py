"""Random programs of all operations that end in every way: what engine and real threads are asked
for the word of. Locks may be kept at the end or released twice, threads cancelled, begun, joined.
"""

import random

from harness.checker.program import Program
from harness.locks.errors import ScenarioError

_PAIRS = {"lock m": "unlock m", "lock n": "unlock n", "down_read s": "up_read s",
          "down_write s": "up_write s", "trylock m {}": "unlock m",
          "lock_unless n f:{}": "unlock n", "kn_get k": "kn_put k", "srcu_read r": "srcu_unread r",
          "down_read_trylock s {}": "up_read s", "lock e": "unlock e"}
_SINGLE = ("set f", "clear f", "wait f", "wait_clear f", "begin -", "begin {}", "join {}",
           "sync {}", "sync {}", "kn_drain k", "srcu_sync r", "jump_if f 1", "jump_unless f 1")


def random_program(seed):
    """Return the program of that *seed*: two or three threads of up to five operations."""
    rng = random.Random(seed)
    while True:
        count = rng.choice((2, 2, 3))
        names = [f"t{i}" for i in range(count)]
        threads = {name: _thread(rng, [other for other in names if other != name])
                   for name in names}
        try:
            flags = frozenset(["f"] * rng.choice((0, 1)))
            policy = rng.choice(("writer", "fair", "reader"))
            return Program({"e": "mutex_re"}, threads, flags, policy)
        except ScenarioError:
            continue    # a skip over the end


def _thread(rng, others):
    ops = []
    while len(ops) < 2 or rng.random() < .5 and len(ops) < 5:
        if rng.random() < .6:
            enter, leave = rng.choice(list(_PAIRS.items()))
            inside = [_single(rng, others)] if rng.random() < .5 else []
            left = [leave] if rng.random() < .85 else []
            ops += [enter.format(len(inside) + len(left)), *inside, *left]
        else:
            ops.append(_single(rng, others))
    return [_operation(op) for op in ops]


def _single(rng, others):
    return rng.choice(_SINGLE).format(rng.choice(others))


def _operation(text):
    op, target, *more = text.split()
    return (op, target, *(int(part) if part.isdigit() else part for part in more))
