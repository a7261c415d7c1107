"""What a misconception is, and how it is recognised from what a function returns."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pset4.checks.judging.functions import AskedFunction

Imitation = Callable[..., Any]


@dataclass(frozen=True)
class Observation:
    """One call of a student's function, seen from outside.

    Attributes:
        function: Its name.
        arguments: What it was given.
        value: What it returned.
        error: Name of the exception's type, or "".
        special: Whether this input leaves a choice (ties), so that one misconception can show in several ways.
    """

    function: str
    arguments: tuple[Any, ...]
    value: Any = None
    error: str = ""
    special: bool = False


@dataclass(frozen=True)
class Misconception:
    """A wrong idea that students really have, as code that behaves the same way.

    Attributes:
        name: Short, lower case: "cross_correlation".
        function: The student's function that shows it.
        explanation: What is wrong and what to do about it, in the student's words.
        imitate: Returns what a student with this misconception returns. Library calls only, so that no answer can be
            copied from it.
        example: Arguments of a small counter-example, as a student would type them; may be empty.
    """

    name: str
    function: AskedFunction
    explanation: str
    imitate: Imitation
    example: tuple[Any, ...] = ()

    def describe(self) -> str:
        """The diagnosis that the student reads: counter-example first, then the explanation."""
        if not self.example:
            return self.explanation
        named = zip(self.function.arguments, self.example, strict=True)
        given = " and ".join(f"{name} = {show(value)}" for name, value in named)
        wrong, right = (show(attempt(f, self.example)) for f in (self.imitate, self.function.right))
        return f"With {given} your `{self.function.name}` returns {wrong} instead of {right}: {self.explanation}"


_REGISTRY: dict[str, list[Misconception]] = {}


def register(misconception: Misconception) -> Misconception:
    """Adds a misconception; those that are registered first are recognised first.

    Raises:
        ValueError: If the exercise has one of this name already.
    """
    known = _REGISTRY.setdefault(misconception.function.exercise, [])
    if any(misconception.name == other.name for other in known):
        raise ValueError(f"{misconception.function.exercise} has a misconception named {misconception.name!r} already")
    known.append(misconception)
    return misconception


def misconceptions_for(exercise: str) -> tuple[Misconception, ...]:
    """All registered misconceptions of an exercise, in order."""
    return tuple(_REGISTRY.get(exercise, ()))


def recognise(exercise: str, observations: Iterable[Observation]) -> Misconception | None:
    """The first misconception that behaves like the student in every observed call of its function that returned.

    Calls that raised do not count, but calls that returned where the misconception raises do. At least one of the
    explained results must be wrong. Inputs that leave a choice are left
    out in a second attempt.
    """
    returned = [o for o in observations if not o.error]
    return _recognise(exercise, returned) or _recognise(exercise, [o for o in returned if not o.special])


def _recognise(exercise: str, observations: Sequence[Observation]) -> Misconception | None:
    for misconception in misconceptions_for(exercise):
        relevant = [o for o in observations if o.function == misconception.function.name]
        if relevant and all(_behaves_like(misconception, o) for o in relevant) and _some_wrong(misconception, relevant):
            return misconception
    return None


def attempt(function: Imitation, arguments: Sequence[Any]) -> Any:
    """The function's result for clones of the arguments, or the exception that it raised."""
    try:
        return function(*(a.clone() if isinstance(a, Tensor) else a for a in arguments))
    except Exception as error:
        return error


def same(value: Any, other: Any, *, tolerance: float = 1e-4) -> bool:
    """Whether two results are equal up to rounding: shapes, and values relative to the largest one."""
    if isinstance(value, Tensor) and isinstance(other, Tensor):
        if value.shape != other.shape:
            return False
        atol = tolerance * scale_of(other.nan_to_num(0.0, 0.0, 0.0))
        a = as_double(value)
        return bool(torch.isclose(a, as_double(other).to(a.dtype), rtol=0.0, atol=atol, equal_nan=True).all())
    if isinstance(value, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(value) == len(other) and all(
            same(a, b, tolerance=tolerance) for a, b in zip(value, other, strict=True)
        )
    if isinstance(value, (int, float)) and isinstance(other, (int, float)):
        return value == other or abs(value - other) <= tolerance * max(1.0, abs(other))
    return type(value) is type(other) and not isinstance(value, Tensor) and bool(value == other)


def largest_difference(value: Tensor, other: Tensor) -> float:
    """Largest absolute difference of two tensors of one shape; infinity where either is not finite."""
    if not value.numel():
        return 0.0
    difference = (as_double(value) - as_double(other)).abs().max().item()
    return float(difference) if math.isfinite(difference) else math.inf


def as_double(value: Tensor) -> Tensor:
    """Double precision on the CPU; complex numbers stay complex."""
    plain = value.detach().cpu()
    return plain.to(torch.complex128 if plain.is_complex() else torch.float64)


def scale_of(value: Tensor) -> float:
    """The largest absolute entry, at least 1: what tolerances are relative to."""
    return max(1.0, float(as_double(value).abs().max())) if value.numel() else 1.0


def show(value: Any) -> str:
    """A value as a student would write it, rounded to four digits; what is nothing but rounding is 0."""
    if isinstance(value, Tensor):
        small = value.abs() < 1e-6 * scale_of(value) if value.is_floating_point() else torch.zeros_like(value).bool()
        return show(value.masked_fill(small, 0).tolist())
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(show(v) for v in value)}]"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Exception):
        return f"an error ({type(value).__name__})"
    return str(value)


def _behaves_like(misconception: Misconception, observation: Observation) -> bool:
    imitated = attempt(misconception.imitate, observation.arguments)
    return not isinstance(imitated, Exception) and same(observation.value, imitated)


def _some_wrong(misconception: Misconception, observations: Iterable[Observation]) -> bool:
    right = misconception.function.right
    return not all(same(o.value, attempt(right, o.arguments)) for o in observations)
