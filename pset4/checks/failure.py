"""How a visible check says that an answer is wrong."""

from __future__ import annotations

import textwrap


class CheckFailed(AssertionError):
    """An answer is wrong, and the message says why, in the student's terms.

    Notebooks show the message alone: a stack trace through the checker would hide it.

    Attributes:
        misconception: Name of the misconception that was recognised, or "".
    """

    def __init__(self, message: str, *, misconception: str = "") -> None:
        super().__init__(message)
        self.misconception = misconception

    def _render_traceback_(self) -> list[str]:
        """IPython prints these lines instead of a stack trace."""
        paragraphs = str(self).splitlines() or [""]
        lines = [line for paragraph in paragraphs for line in textwrap.wrap(paragraph, 92) or [""]]
        return [f"CheckFailed: {lines[0]}", *lines[1:]]


def all_good(exercise: str, detail: str) -> None:
    """The one line that a right answer gets."""
    print(f"{exercise}: all good. {detail}")
