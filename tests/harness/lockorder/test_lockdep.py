"""The kernel's own rules: its selftests, and the tables of its rules row by row."""

import json
from pathlib import Path

import pytest

from harness.locks.errors import HeldAtEnd, ScenarioError
from harness.lockorder.lockdep import (CIRCULAR, ClassGraph, Edge, FREED, Hold, READ, RECURSIVE,
                                       RECURSIVE_READ, Report, UNBALANCED, Validator,
                                       WAIT_CONTEXT, WRITE, validate)

FILE = Path(__file__).parents[2] / "data" / "locking-selftest.json"
DATA = json.loads(FILE.read_text(encoding="utf-8"))
CASES = [case for key in ("cases", "historic_cases") for case in DATA[key]]


def judge(text, types=None, classes=None):
    """Return the headline for *text*, ``W A; R B; U A``; a lock is a semaphore of its own class."""
    operations = [tuple(int(part) if part.isdigit() else part for part in op.split())
                  for op in text.split(";")]
    names = {op[1] for op in operations}
    return validate(operations, {name: ((types or {}).get(name, "rwsem"),
                                        (classes or {}).get(name, name)) for name in names})


# -- the kernel's selftests ------------------------------------------------------------------------


def test_file_has_every_case_that_was_copied():
    assert (len(DATA["cases"]), len(DATA["historic_cases"])) == (46, 6)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_selftest_gets_the_report_that_the_kernel_gives(case):
    locks = {name: (lock["type"], lock.get("class", name)) for name, lock in case["locks"].items()}
    assert validate(case["threads_or_sequence"], locks) == case["expected_report"]
    assert (case["expected_report"] is None) == (case["expected"] == "clean")


# -- recursion: one class inside itself (check_deadlock() in lockdep.c) ----------------------------

# held -> wanted -> whether it is refused, by rows of the table.
RECURSION = {WRITE: {WRITE: True, READ: True, RECURSIVE_READ: True},
             READ: {WRITE: True, READ: True, RECURSIVE_READ: False},
             RECURSIVE_READ: {WRITE: True, READ: True, RECURSIVE_READ: False}}
ROWS = [(held, wanted, refused) for held, row in RECURSION.items()
        for wanted, refused in row.items()]


@pytest.mark.parametrize("second", ["A", "B"], ids=["same lock", "same class"])
@pytest.mark.parametrize("held, wanted, refused", ROWS)
def test_same_class_nested_is_refused_but_for_a_recursive_read_in_a_read(
        held, wanted, refused, second):
    got = judge(f"{held} A; {wanted} {second}", classes={"A": "c", "B": "c"})
    assert got == (RECURSIVE if refused else None)


@pytest.mark.parametrize("held, wanted, refused", ROWS)
def test_trylock_is_never_refused_but_is_held_like_any_other(held, wanted, refused):
    classes = {"A": "c", "B": "c"}
    assert judge(f"{held} A; T{wanted} B", classes=classes) is None
    got = judge(f"T{held} A; {wanted} B", classes=classes)
    assert got == (RECURSIVE if refused else None)


@pytest.mark.parametrize("held, wanted, refused", ROWS)
def test_another_subclass_is_another_class(held, wanted, refused):
    assert judge(f"{held} A; SUBCLASS B 1; {wanted} B", classes={"A": "c", "B": "c"}) is None
    got = judge(f"SUBCLASS A 1; SUBCLASS B 1; {held} A; {wanted} B", classes={"A": "c", "B": "c"})
    assert got == (RECURSIVE if refused else None)


def test_subclass_takes_part_in_cycles_as_a_class_of_its_own():
    classes = {"A": "c", "B": "c"}
    turned = "W B; SUBCLASS A 1; W A; U A; U B"
    assert judge(f"{turned}; W A; W B", classes=classes) == CIRCULAR
    assert judge(f"{turned}; SUBCLASS B 2; W A; W B", classes=classes) is None


def test_initialised_again_has_no_subclass():
    classes = {"A": "c", "B": "c"}
    assert judge("SUBCLASS B 1; I B; W A; W B", classes=classes) == RECURSIVE
    assert judge("SUBCLASS B 1; I A; W A; W B", classes=classes) is None


def test_recursion_is_seen_below_other_locks():
    assert judge("W A; W X; W Y; W B", classes={"A": "c", "B": "c"}) == RECURSIVE


# -- two classes, opposite order -------------------------------------------------------------------


@pytest.mark.parametrize("first, second, splat", [
    (WRITE, WRITE, True), (WRITE, READ, True), (READ, WRITE, True), (READ, READ, True),
    (RECURSIVE_READ, WRITE, True), (RECURSIVE_READ, RECURSIVE_READ, False)])
@pytest.mark.parametrize("turned", [False, True], ids=["in the table's order", "turned"])
def test_opposite_orders_of_two_classes(first, second, splat, turned):
    """X a semaphore or a rwlock, taken first by one and last by the other; Y a mutex.

    The mail's deadlock is the third, whatever its locks are exempt from.
    """
    legs = [f"{first} X; W Y; U Y; U X", f"W Y; {second} X; U X; U Y"]
    got = judge("; ".join(reversed(legs) if turned else legs))
    assert got == (CIRCULAR if splat else None)


SIXTEEN = [(a1, b1, b2, a2) for a1 in "WR" for b1 in "WR" for b2 in "WR" for a2 in "WR"]


@pytest.mark.parametrize("a1, b1, b2, a2", SIXTEEN)
def test_opposite_orders_of_two_semaphores_are_refused_in_all_16_mixes(a1, b1, b2, a2):
    assert judge(f"{a1} A; {b1} B; U B; U A; {b2} B; {a2} A; U A; U B") == CIRCULAR


# -- which edges there are -------------------------------------------------------------------------


def test_trylock_makes_no_edge_into_its_lock_but_edges_out_of_it():
    assert judge("W A; TW B; U B; U A; W B; W A") is None
    assert judge("TW A; W B; U B; U A; W B; W A") == CIRCULAR


def test_trylock_in_between_does_not_hide_the_lock_below():
    """The walk over held locks goes on past one that was only tried: A -> C is an edge."""
    assert judge("W A; TW B; W C; U C; U B; U A; W C; W A") == CIRCULAR


def test_a_lock_released_from_the_middle_is_not_held():
    """When C is asked for B is held, A is not any more (and B was only tried: no A -> B)."""
    begin = "W A; TW B; U A; W C; U C; U B; W C"
    assert judge(f"{begin}; W A") is None
    assert judge(f"{begin}; W B") == CIRCULAR
    assert judge("W A; TW B; W C; U A; U C; U B; W C; W A") == CIRCULAR


@pytest.mark.parametrize("release", ["U A; U B", "U B; U A"])
def test_release_in_any_order_is_legal(release):
    assert judge(f"W A; W B; {release}") is None


def test_older_locks_are_connected_through_the_last_one():
    assert judge("W A; W B; W C; U C; U B; U A; W C; W A") == CIRCULAR


def test_a_recursive_read_hides_the_lock_below_it_as_it_does_from_the_kernel():
    """B -> A leads over C, which is read recursively; an edge from every lock would show it."""
    assert judge("W B; RR C; W A; U A; U C; U B; W A; W B") is None
    assert judge("W B; R C; W A; U A; U C; U B; W A; W B") == CIRCULAR


def test_cycle_names_its_classes_in_order():
    validator = Validator()
    for held, wanted in ("AB", "BC"):
        assert validator.acquire([Hold(held, held, WRITE)], Hold(wanted, wanted, WRITE)) is None
    found = validator.acquire([Hold("C", "C", WRITE)], Hold("A", "A", WRITE))
    assert found == Report(CIRCULAR, ("C", "A", "B"))


# -- strong and weak paths (lockdep-design.rst) ----------------------------------------------------


def graph_of(*edges):
    """Return the graph of edges like A-ER->B: held Exclusive or Shared, wanted Recursive or Not."""
    graph = ClassGraph()
    for edge in edges:
        graph.add(edge_of(edge))
    return graph


def edge_of(text):
    source, kind, target = text[0], text[2:4], text[-1]
    return Edge(source, target, kind[0] == "S", kind[1] == "R")


@pytest.mark.parametrize("edges, closing, strong", [
    (["B-EN->A"], "A-EN->B", True), (["B-EN->A"], "A-SN->B", True), (["B-SN->A"], "A-EN->B", True),
    (["B-SN->A"], "A-SN->B", True),
    # Through B: wanted by a recursive reader, held by a reader.
    (["B-SN->A"], "A-ER->B", False), (["B-EN->A"], "A-ER->B", True),
    # Through A, where the cycle closes.
    (["B-ER->A"], "A-SN->B", False), (["B-ER->A"], "A-EN->B", True),
    # In the middle of the path.
    (["B-ER->C", "C-SN->A"], "A-EN->B", False), (["B-ER->C", "C-EN->A"], "A-EN->B", True),
    # Of two edges between the same classes one is enough.
    (["B-ER->C", "B-EN->C", "C-SN->A"], "A-EN->B", True),
    (["B-ER->C", "C-SN->A", "C-EN->A"], "A-EN->B", True)])
def test_only_strong_cycles_count(edges, closing, strong):
    path = graph_of(*edges).strong_path(edge_of(closing))
    assert (path is not None) == strong


def test_weak_way_to_a_class_does_not_hide_a_strong_one():
    """D is first reached by a recursive read, which leads on over exclusive holds only."""
    graph = graph_of("B-ER->D", "B-EN->C", "C-EN->D", "D-SN->A")
    path = graph.strong_path(edge_of("A-EN->B"))
    assert [edge.source for edge in path] == ["B", "C", "D"]


def test_the_shortest_path_is_returned():
    graph = graph_of("B-EN->C", "C-EN->D", "D-EN->A", "B-EN->A")
    assert [edge.source for edge in graph.strong_path(edge_of("A-EN->B"))] == ["B"]


# -- misuse ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text, headline", [
    ("W A; U A; U A", UNBALANCED), ("U A", UNBALANCED), ("W A; U B", UNBALANCED),
    ("R A; R B; U A; U B", None),
    ("W A; I A", FREED), ("R A; I A", FREED), ("TW A; I A", FREED), ("W A; U A; I A", None),
    ("W A; I B", None)])
def test_release_without_hold_and_freeing_what_is_held(text, headline):
    assert judge(text) == headline


def test_the_first_finding_in_the_order_of_operations_decides():
    abba = "W A; W B; U B; U A; W B; W A"
    assert judge(f"{abba}; U A; U A; U A") == CIRCULAR
    assert judge(f"U X; {abba}") == UNBALANCED


def test_a_task_that_does_not_end_may_hold_what_it_likes():
    assert judge("W A; R B") is None


def test_holding_at_the_end_has_the_kernels_words():
    assert HeldAtEnd.headline == "lock held when returning to user space!"


# -- wait types ------------------------------------------------------------------------------------

# From those that must not sleep to those that may.
ORDER = [("raw_spinlock",), ("spinlock", "rwlock"), ("mutex", "rwsem", "rtmutex")]


@pytest.mark.parametrize("outer, inner, wrong", [
    (outer, inner, i < j) for i, outers in enumerate(ORDER) for j, inners in enumerate(ORDER)
    for outer in outers for inner in inners])
def test_what_sleeps_is_refused_inside_what_must_not(outer, inner, wrong):
    types = {"A": outer, "B": inner}
    assert judge("W A; W B", types) == (WAIT_CONTEXT if wrong else None)
    assert judge("W A; TW B", types) is None
    assert judge("W A; U A; W B", types) is None


def test_lock_of_unknown_type_has_no_wait_type():
    assert judge("W A; W B", {"A": "spinlock", "B": "something"}) is None


def test_wait_context_is_looked_at_before_recursion():
    types, classes = {"A": "mutex", "S": "spinlock", "B": "mutex"}, {"A": "c", "S": "S", "B": "c"}
    assert judge("W A; W S; W B", types, classes) == WAIT_CONTEXT


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize("operations, complaint", [
    ([("W", "A"), ("W", "Z")], "operation W on unknown lock 'Z'"),
    ([("X", "A")], "unknown operation 'X' on lock 'A'")])
def test_what_is_no_operation_is_refused(operations, complaint):
    with pytest.raises(ScenarioError) as refused:
        validate(operations, {"A": ("mutex", "A")})
    assert str(refused.value) == complaint
