"""What a signal handler raises while we call code of a user is none of that code: it passes."""

import signal

import pytest

from harness import Mutex, Scenario, explore, run
from harness.methods.ctrl_c import Interrupted
from harness.runtime import end_signals


class Alarm(BaseException):
    """What a handler of somebody else raises."""


def ring(number, frame):
    raise Alarm


class Ringing:
    """A handler that is no function."""

    def __call__(self, number, frame):
        raise Alarm


def world(**does):
    def build():
        does.get("factory", lambda: None)()
        a = Mutex("a")

        def role():
            with a:
                pass

        return Scenario({"role": role}, check=does.get("check"))
    return build


PLACES = pytest.mark.parametrize("place", ["factory", "check"])


@PLACES
@pytest.mark.parametrize("tool", [run, explore])
def test_ctrl_c_stays_ctrl_c(ctrl_c_interrupts, tool, place):
    with pytest.raises(Interrupted):
        tool(world(**{place: lambda: signal.raise_signal(signal.SIGINT)}))


@PLACES
def test_ctrl_c_that_is_caught_and_passed_on_stays_ctrl_c(ctrl_c_interrupts, place):
    def tidies():
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise

    with pytest.raises(Interrupted):
        run(world(**{place: tidies}))


@PLACES
@pytest.mark.parametrize("handler", [ring, Ringing(), Ringing().__call__])
def test_what_a_handler_raises_passes(place, handler):
    before = signal.signal(signal.SIGINT, handler)
    try:
        with pytest.raises(Alarm):
            run(world(**{place: lambda: signal.raise_signal(signal.SIGINT)}))
    finally:
        signal.signal(signal.SIGINT, before)


@PLACES
def test_the_same_exception_is_an_error_where_no_handler_raised_it(place):
    """And so is a KeyboardInterrupt that stands in the code itself."""
    for exc in (Alarm, KeyboardInterrupt):
        def raises(exc=exc):
            raise exc

        try:
            text = run(world(**{place: raises})).finding.text
        except ValueError as refused:
            text = str(refused)
        assert f"raised {exc.__name__}, at test_signals.py:" in text


def test_of_several_signals_that_come_where_they_must_wait_the_first_is_told_afterwards():
    told = []
    before = {number: signal.signal(number, lambda number, frame: told.append(number))
              for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with end_signals.later():
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)
            assert told == []
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert told == [signal.SIGTERM]
