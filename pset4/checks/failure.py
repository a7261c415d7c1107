"""How a visible check says that an answer is wrong."""

from __future__ import annotations

from pset4.traces import ShortTrace


class CheckFailed(ShortTrace, AssertionError):
    """An answer is wrong, and the message says why, in the student's terms.

    Attributes:
        misconception: Name of the misconception that was recognised, or "".
    """

    def __init__(self, message: str, *, misconception: str = "") -> None:
        super().__init__(message)
        self.misconception = misconception


def all_good(exercise: str, detail: str) -> None:
    """The one line that a right answer gets."""
    print(f"{exercise}: all good. {detail}")
