"""Columns of the picture of a run: of the roles that have a row in it, and of no other."""

import threading

from harness import Mutex, explore
from harness.report.diagram import MOST


def taking(lock):
    def takes():
        with lock:
            pass
    return takes


def fails():
    raise ValueError("no")


def heads(text):
    """Return the words in the head of the picture, which stands above a line."""
    return text.partition("\n---")[0].rpartition("\n")[2].split()


def test_a_role_that_did_nothing_which_is_a_row_has_no_column():
    """It only asks to join a thread, which raises before that can come to anything."""
    def world():
        a = Mutex("a")

        def role():
            thread = threading.Thread(target=lambda: (taking(a)(), fails()))
            thread.start()
            thread.join()

        return {"role": role}

    text = str(explore(world))
    assert text.startswith("ERROR: role/1 raised ValueError: no, at test_columns.py:")
    assert heads(text) == ["role/1"]


def test_a_role_whose_rows_are_all_left_out_has_no_column():
    def world():
        a = Mutex("a")

        def last():
            for _ in range(MOST):
                taking(a)()
            fails()

        return {"first": taking(a), "last": last}

    text = str(explore(world, engine=False))    # its first schedule: one role after the other
    assert text.startswith("ERROR: last raised ValueError: no, at test_columns.py:")
    assert "earlier events, which --full shows" in text and heads(text) == ["last"]
