"""How a visible check says that an answer is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from pset4.checks.judging.functions import AskedFunction
from pset4.traces import ShortTrace


@dataclass(frozen=True)
class SmallFailure:
    """A small public input on which a function is wrong, and the wrong result.

    Attributes:
        function: What the exercise asks for.
        arguments: The input.
        value: What the student's function returned.
        right: What a right one returns.
        text: What is said of it.
    """

    function: AskedFunction
    arguments: tuple[Any, ...]
    value: Any
    right: Tensor
    text: str = ""


class CheckFailed(ShortTrace, AssertionError):
    """An answer is wrong, and the message says why, in the student's terms.

    Attributes:
        misconception: Name of the misconception that was recognised, or "".
        explanation: What is wrong, without an example, where a misconception was recognised; else "".
        smallest: The smallest input on which the answer was found to be wrong, if a figure can show it.
    """

    def __init__(
        self, message: str, *, misconception: str = "", explanation: str = "", smallest: SmallFailure | None = None
    ) -> None:
        super().__init__(message)
        self.misconception, self.explanation, self.smallest = misconception, explanation, smallest
