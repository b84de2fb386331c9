"""What decides who goes next in a controlled run."""

from __future__ import annotations

from typing import Any, Protocol

ROUND = -2    # in place of a label: all that can be done was done before in the same state


class Chooser(Protocol):
    """Decides who goes next.

    Attributes:
        own_rule: it has a rule of its own for what was done before in the same state.
        watches: it asks for the state before each step.
        every: not only limits may not run out twice in a state, no step may be done twice.
        looked: the length of the longest schedule that was seen not to go round.
        since: from which step on what is done is taken note of.
    """

    own_rule: bool
    watches: bool
    every: bool
    looked: int
    since: int

    @property
    def repeats(self) -> bool:
        """Whether it is offered what was done before in the same state, too: see `Again`."""

    def choose(self, run: Any, moves: list[int]) -> int:
        """Return one of *moves*, the labels that can be chosen; -1 to end the schedule here,
        `ROUND` if all of them were done before in the same state.
        """

    def saw_an_end(self, length: int) -> None:
        """Take note that a schedule of this length does not go round."""

    def came_to_wait(self, blocked: list[Any]) -> list[Any]:
        """Return tasks that can never go on, in the order in which they came to wait."""
