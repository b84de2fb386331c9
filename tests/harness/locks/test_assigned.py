"""What a lock is called by the expression that made it alone: the code says so, without source."""

from collections import defaultdict
from dataclasses import dataclass, field

from harness import Completion, Mutex, RWSemaphore

GLOBAL = Mutex()
HERE = "test_assigned.py"


@dataclass
class Node:
    value: int
    lock: Mutex = field(default_factory=Mutex)


@dataclass
class Leaf(Node):
    other: RWSemaphore = field(default_factory=RWSemaphore)


class Account:
    registry = Mutex()

    def __init__(self):
        self.lock = Mutex()
        self.__private = Mutex()
        self.parts = [Mutex() for _ in range(2)]

    @property
    def private(self):
        return self.__private


class Timed(Mutex):
    """A lock with an ``__init__`` of its own, and one below it."""

    def __init__(self):
        super().__init__()
        self.since = 0


class Twice(Timed):
    def __init__(self):
        super().__init__()


def make_lock():
    return Mutex()


def names(*locks):
    return [lock.name for lock in locks]


def test_two_made_on_one_line_have_two_names_and_two_classes():
    a, b = Mutex(), Mutex()
    assert names(a, b) == ["a", "b"]
    assert len({a.lock_class, b.lock_class}) == 2


def test_what_is_unpacked_from_a_tuple_goes_by_its_place_there():
    a, b, c, d = Mutex(), RWSemaphore(), Completion(), Mutex()
    (e, f), g = (Mutex(), Mutex()), Mutex()
    assert names(a, b, c, d, e, f, g) == ["a", "b", "c", "d", "e", "f", "g"]


def test_variables_of_every_kind():
    if (walrus := Mutex()):
        annotated: Mutex = Mutex()
    first = second = Mutex()
    chosen = Mutex() if walrus else None
    cell = Mutex()
    assert names(walrus, annotated, first, chosen, cell) == [
        "walrus", "annotated", "first", "chosen", "cell"] and second is first
    assert (lambda: cell)().name == "cell"


def test_a_module_s_own_is_called_as_others_import_it():
    assert names(GLOBAL) == ["test_assigned.GLOBAL"]


def test_attributes_are_called_by_their_class():
    one, two = Account(), Account()
    assert names(Account.registry, one.lock, one.private) == [
        "Account.registry", "Account.lock", "Account.__private"]
    assert one.lock.lock_class == two.lock.lock_class == "Account.lock"
    one.spare = Mutex()
    assert names(one.spare) == ["one.spare"]


def test_fields_of_dataclasses_are_called_by_the_class_of_the_object():
    assert names(Node(1).lock) == ["Node.lock"]
    leaf = Leaf(1)
    assert names(leaf.lock, leaf.other) == ["Leaf.lock", "Leaf.other"]


def test_elements_of_literals_have_their_index_or_key():
    pair, by_key = [Mutex(), Mutex()], {"x": Mutex(), "y": Mutex()}
    key = "z"
    by_key[key], by_key["u"] = Mutex(), Mutex()
    assert names(*pair) == ["pair[0]", "pair[1]"]
    assert names(*by_key.values()) == ["by_key['x']", "by_key['y']", "by_key[*]", "by_key['u']"]


def test_one_expression_that_is_evaluated_again_makes_one_class():
    locks, by_key = [Mutex() for _ in range(3)], {key: Mutex() for key in "ab"}
    both = tuple(Mutex() for _ in range(2))
    assert names(*locks) == ["locks[*]", "locks[*]#2", "locks[*]#3"]
    for made, name in ((locks, "locks[*]"), (by_key.values(), "by_key[*]"), (both, "both[*]")):
        classes = {lock.lock_class for lock in made}
        assert len(classes) == 1 and classes.pop().endswith(f".{name}")


def test_a_value_beside_comprehensions_is_what_it_is_assigned_to():
    one, numbers, two = Mutex(), [number for number in range(2)], Mutex()
    left, (squares, right) = Mutex(), ({n: n * n for n in numbers}, Mutex())
    assert (names(one, two, left, right), len(squares)) == (["one", "two", "left", "right"], 2)


def test_a_comprehension_in_a_method_is_the_attribute_s():
    assert names(*Account().parts)[0].startswith("Account.parts[*]")


def test_a_lambda_leaves_its_value_to_the_caller_and_a_function_lends_its_name():
    make = lambda: Mutex()    # noqa: E731
    left, right = make(), make()
    assert names(left, right, make_lock()) == ["left", "right", "test_assigned.make_lock()"]


def test_a_subclass_with_an_init_of_its_own_is_made_where_it_is_called():
    one, two = Timed(), Twice()
    assert names(one, two) == ["one", "two"]


def test_a_default_of_a_dict_is_what_the_lookup_is_assigned_to():
    locks = defaultdict(Mutex)
    got = locks["x"]
    assert names(got) == ["got"]


def test_what_goes_into_a_call_is_called_by_kind_line_and_column():
    made = []
    made.append(Mutex()), made.append(Completion())
    line = test_what_goes_into_a_call_is_called_by_kind_line_and_column.__code__.co_firstlineno + 2
    assert names(*made) == [f"mutex@{HERE}:{line}:17", f"completion@{HERE}:{line}:39"]
    assert made[0].lock_class != made[1].lock_class


def test_code_without_a_file_or_source_works_too():
    space = {"Mutex": Mutex}
    exec("a, b = Mutex(), Mutex()\nclass C:\n def __init__(self): self.lock = Mutex()\nc = C()",
         space)
    assert names(space["a"], space["b"], space["c"].lock) == ["a", "b", "C.lock"]


def test_a_given_name_wins():
    x, read, done = Mutex(name="door"), RWSemaphore("table"), Completion("end")
    assert names(x, read, done) == ["door", "table", "end"] and x.lock_class == "door"
    y = Mutex(lock_class="&class")
    assert (y.name, str(y)) == ("y", "&class (y)")
