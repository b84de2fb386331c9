"""explore: a forked process that waits for ever for what another thread had at the fork."""

import mmap
import os
import threading

import pytest
import small_worlds
from test_worlds import no_processes_left  # noqa: F401 - a fixture

from harness import Verdict, explore
from harness.exploration import beginning
from harness.exploration.forked import Apart
_forks = mmap.mmap(-1, 1)      # how many there were, in whichever process
_stuck: set[int] = set()       # those that never come to a line of ours
_kept = threading.Lock()       # never given back


def _after_fork():
    if _stuck:
        number = _forks[0]
        _forks[0] += 1
        if number in _stuck:
            _kept.acquire(timeout=60)    # nothing is left for ever, whatever the tool does
            os._exit(1)


os.register_at_fork(after_in_child=_after_fork)


@pytest.fixture
def stuck(monkeypatch):
    """Return a function that has the forks of these numbers wait for ever."""
    _kept.acquire()
    _forks[0] = 0
    monkeypatch.setattr(beginning, "STANDS", 2)
    yield _stuck.update
    _stuck.clear()
    _kept.release()


@pytest.mark.parametrize("forks", [[0], [0, 1, 2, 3]])
@pytest.mark.parametrize("fresh", [False, True])
def test_a_keeper_that_never_begins_is_forked_again(forks, fresh, stuck):
    expected = explore(small_worlds.philosophers, all=True, fresh=fresh)
    stuck(forks)
    result = explore(small_worlds.philosophers, all=True, fresh=fresh)
    assert (result.verdict, result.coverage) == (expected.verdict, expected.coverage)
    assert _forks[0] > len(forks)


def test_if_none_begins_nothing_is_clean_and_it_is_said(stuck):
    """Each of five forks."""
    stuck(range(5))
    result = explore(small_worlds.in_order, fresh=True)
    assert result.verdict is Verdict.INCONCLUSIVE and _forks[0] == 5
    assert "waits for what another thread had when it was forked" in str(result)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_child_that_never_begins_is_no_clean(number, stuck):
    """The keeper is fork 0; each of its children plays a schedule."""
    stuck([number])
    result = explore(small_worlds.in_order, fresh=True, engine=False)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "waits for what another thread had when it was forked" in str(result)


def test_what_is_raised_while_the_keeper_has_yet_to_begin_leaves_no_process(stuck, monkeypatch):
    def stands(self):
        raise KeyboardInterrupt

    stuck([0])
    monkeypatch.setattr(beginning.Beginning, "stands", stands)
    with pytest.raises(KeyboardInterrupt), Apart(small_worlds.in_order):
        pass


@pytest.mark.parametrize("state, used, taken", [
    ("S", ["5 7", "5 7", "5 7"], True),
    ("S", ["5 7", "5 8", "5 9"], False),     # it used a processor meanwhile
    ("R", ["5 7", "5 7", "5 7"], False),     # it wants one
    ("T", ["5 7", "5 7", "5 7"], False),     # it was stopped
])
def test_who_uses_no_processor_and_wants_none_stands(state, used, taken, tmp_path, monkeypatch):
    """The first look has nothing to compare with; then two."""
    monkeypatch.setattr(beginning, "STANDS", 2)
    file, began = tmp_path / "stat", beginning.Beginning(1)
    began._stat = str(file)
    looks = []
    for times in used:
        file.write_text(f"12 (a) b) {state} 1 2 3 4 5 6 7 8 9 10 {times} 3 4")
        looks.append(began.stands())
    assert looks == [False, False, taken]
