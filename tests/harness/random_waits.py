"""Random lock programs in which threads wait for each other in every way that a program can say,
and what engine, threads and prediction call their end.
"""

import random
from typing import NamedTuple

from lock_programs import program

from harness import explore, predict
from harness.checker.search import search
from harness.programs.threads import scenario_of

SCHEDULES = 200    # after which an exploration is no answer
FAILS = "deadlock", "hang", "violation"


class Answers(NamedTuple):
    """What was said of one program; `explored` is "" if not every schedule was tried."""

    text: str
    engine: str
    explored: str
    predicted: str

    @property
    def differs(self):
        """What differs, in a line, or ""."""
        # Of a misuse behind which nobody is stuck prediction may have met another first.
        said = {word for word in (self.explored, self.predicted) if word}
        return f"{self.text!r}: {self[1:]}" if said - {self.engine} else ""


def random_text(seed):
    """Return a program of two or three threads that use mutexes, a semaphore, flags and ends."""
    threads = ["p", "q", "r"][:seed.choice([2, 2, 3])]
    return "\n".join(f"{thread}: {'; '.join(_operations(seed, threads))}" for thread in threads)


def _operations(seed, threads):
    done, held = [], []
    for _ in range(seed.randint(1, 4)):
        flag, thread, lock = seed.choice("fg"), seed.choice(threads), seed.choice("AB")
        what, release = seed.choice([
            *3 * [(f"lock {lock}", f"unlock {lock}")], ("down_read S", "up_read S"),
            ("down_write S", "up_write S"), (f"set {flag}", ""), *2 * [(f"wait {flag}", "")],
            (f"clear {flag}", ""), (f"join {thread}", ""), ("begin -", ""), (f"sync {thread}", ""),
            *2 * [("", "")]])
        if not what and held:
            done.append(held.pop())
        elif what and release not in held:
            done.append(what)
            held += filter(None, [release])
    return [*done, *(release for release in reversed(held) if seed.random() < 0.95)] or ["set f"]


def answers(number):
    """Return what is said of the program of that number."""
    text = random_text(random.Random(number))
    made = program(text)
    scenario = scenario_of(made)
    explored = explore(scenario, engine=False, all=True, max_schedules=SCHEDULES)
    predicted = predict(scenario)
    engine = search(made)
    harmless = str(predicted.verdict) not in FAILS
    every = explored.coverage["complete"] or str(explored.verdict) == str(engine.verdict)
    return Answers(text, str(engine.verdict), str(explored.verdict) if every else "",
                   "clean" if harmless else str(predicted.verdict))
