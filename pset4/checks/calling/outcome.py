"""What may be asked of a submission, wherever its code runs, and what comes of one call, as data.

A judge never touches a student's namespace. It calls the student's functions through a `Student`, with plain data or
with specifications (`pset4.checks.calling.specs`), and looks at the `Outcome`. `LocalStudent` calls them in this
process (the visible checks, and stock nbgrader); the sandboxed engine brings a `Student` of its own, which calls them
in another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor


@dataclass(frozen=True)
class Outcome:
    """What came of one call of a student's function.

    Attributes:
        value: The returned value: a tensor, a number, a string, None, or lists and tuples of them. Anything else
            arrives as an `Opaque`.
        error: Name of the exception's type, or "" if the call returned ("Timeout" if it was stopped,
            "MissingName" if the student's code does not define the function, "Died" if its process was gone, "TooLarge"
            if the exam had taken so many bytes already that it was not called).
        message: The exception's message, at most 500 characters.
        arguments_after: The tensors among the arguments as they were after the call, by position; None elsewhere.
        banned: Names of banned calls that were observed, in order, without repeats.
        steps: Calls of `step.step`, if a step was given.
        first_direction: The first direction that the step was given.
        same_direction: Whether the step was given the same direction in all of two or more calls, up to its length.
        line: Number and text of the line of the student's code in which an error was raised, or "".
        requires_grad: Whether the returned tensor still requires a gradient.
        same_object: Whether the returned tensor shares memory with one of the arguments.
    """

    value: Any = None
    error: str = ""
    message: str = ""
    arguments_after: tuple[Any, ...] = ()
    banned: tuple[str, ...] = ()
    steps: int = 0
    first_direction: Any = None
    same_direction: bool = False
    line: str = ""
    requires_grad: bool = False
    same_object: bool = False

    @property
    def returned(self) -> bool:
        """Whether the call returned at all."""
        return not self.error


@dataclass(frozen=True)
class Opaque:
    """Stands for a returned value of a kind that no exercise asks for.

    Attributes:
        type_name: Name of its type.
        content: What is in it, as plain data, where that is plain: an array's entries as a tensor, what torch packs
            together (values and indices) as a tuple, a dictionary's pairs.
    """

    type_name: str
    content: Any = field(default=None, compare=False)


def size_of(value: Any) -> int:
    """Bytes that a value keeps, roughly: of tensors and texts, and some for each other item."""
    if isinstance(value, Tensor):
        return int(value.untyped_storage().nbytes())
    if isinstance(value, str):
        return len(value)
    if isinstance(value, (list, tuple)):
        return sum(map(size_of, value)) + 8 * len(value)
    if isinstance(value, Opaque):
        return size_of(value.content)
    if isinstance(value, dict):
        return sum(size_of(item) for pair in value.items() for item in pair)
    return 8


@dataclass(frozen=True)
class CallOptions:
    """How a student's function is called.

    Attributes:
        from_scratch: Watch for banned calls (`EXERCISES.md`, "From scratch").
        seconds: Time limit of the call.
        device: Device on which specifications are built; tensors carry their own.
        thorough: Watch operators, too, whose first use in a process takes a second of imports.
    """

    from_scratch: bool = False
    seconds: float = 20.0
    device: str = "cpu"
    thorough: bool = True


USUAL_CALL = CallOptions()


class Student(Protocol):
    """A submission that can be asked to call its functions."""

    def call(self, function: str, arguments: Sequence[Any], options: CallOptions = USUAL_CALL) -> Outcome:
        """Calls the student's function of that name; specifications among the arguments are built first."""
        ...

    def value(self, name: str) -> Outcome:
        """The student's variable of that name, as data."""
        ...
