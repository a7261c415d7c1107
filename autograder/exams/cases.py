"""How exams of tensor functions judge one call, and where their random inputs come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from autograder.exams.exam import Examination
from autograder.exams.verdict import Property
from pset4.checks.calling.outcome import Opaque, Outcome
from pset4.checks.functions import Refusal
from pset4.checks.misconceptions.registry import as_double, largest_difference, scale_of
from pset4.checks.misconceptions.symptoms import (
    LOOSE,
    Symptom,
    changed_symptom,
    error_symptom,
    kept_symptom,
    kind_symptom,
    names_one_of,
    place_of_largest_difference,
    precision_symptom,
    shape_symptom,
)

SHAPE = "shape, dtype and precision kept"
UNCHANGED = "inputs not changed"
LAYOUT = "any memory layout"
DTYPES = (torch.float32, torch.float64)

Right = Callable[..., Tensor]


def form_properties(*, shape: float, unchanged: float, layout: float) -> tuple[Property, ...]:
    """The three properties that every tensor function has besides its values."""
    return (
        Property(SHAPE, shape, "the result must have the right shape and the input's dtype and device.", "form"),
        Property(UNCHANGED, unchanged, "your function changes its input in place; work on a copy.", "form"),
        Property(LAYOUT, layout, "strided or expanded inputs must give what a contiguous copy gives.", "form"),
    )


@dataclass(frozen=True)
class Inputs:
    """Random inputs, from the exam's generator."""

    random: torch.Generator

    def integer(self, low: int, high: int) -> int:
        """An integer in [low, high]."""
        return int(torch.randint(low, high + 1, (), generator=self.random))

    def odd(self, low: int, high: int) -> int:
        """An odd integer in [low, high]; both ends are odd."""
        return low + 2 * self.integer(0, (high - low) // 2)

    def signal(self, n: int, dtype: torch.dtype = torch.float64) -> Tensor:
        """Entries of both signs and at least 0.5 in magnitude, so that none can be overlooked."""
        size = 0.5 + torch.rand(n, generator=self.random, dtype=torch.float64) * 1.5
        sign = torch.randint(0, 2, (n,), generator=self.random) * 2 - 1
        return (size * sign).to(dtype)

    def impulse(self, n: int, dtype: torch.dtype = torch.float64) -> Tensor:
        """Zeros, and one value that is not."""
        impulse = torch.zeros(n, dtype=dtype)
        impulse[self.integer(0, n - 1)] = 2.0
        return impulse

    def kernel(self, k: int, dtype: torch.dtype = torch.float64) -> Tensor:
        """A kernel that differs from its mirror image."""
        kernel = self.signal(k)
        if k > 1:
            kernel[0] = kernel[-1] + 1.0 + torch.rand((), generator=self.random, dtype=torch.float64)
        return kernel.to(dtype)

    def palindrome(self, k: int, dtype: torch.dtype = torch.float64) -> Tensor:
        """A kernel that equals its mirror image; entries of both signs, none of them small."""
        kernel = self.signal(k)
        kernel[k // 2 + 1 :] = kernel[: k // 2].flip(0)
        return kernel.to(dtype)

    def distinct(self, n: int, dtype: torch.dtype = torch.float64) -> Tensor:
        """Entries of both signs, all at least 0.25 apart: no ties."""
        jitter = torch.rand(n, generator=self.random, dtype=torch.float64) * 0.25
        order = torch.randperm(n, generator=self.random)
        return (order.double() / 2 + jitter - n / 4).to(dtype)

    def largest_at(self, place: int, n: int, dtype: torch.dtype = torch.float64) -> Tensor:
        """Positive entries, the largest of them at the given place."""
        signal = self.signal(n).abs()
        signal[place] = 3.0
        return signal.to(dtype)


def judge(
    exam: Examination,
    function: str,
    name: str,
    arguments: Sequence[Any],
    right: Right,
    *,
    where: str = "",
    part: slice = slice(None),
    length: str = "",
    strict: bool = False,
    either_order: bool = False,
) -> None:
    """Asks for one result and notes what is wrong with it.

    Args:
        exam: The exam.
        function: The student's function.
        name: The property that the values decide. Shape, dtype, precision and changed inputs have their own.
        arguments: The function's arguments; the first tensor among them decides dtype and device.
        right: What a right answer computes; it is called with the tensors in float64 on the CPU.
        where: The edge case in words, such as "k = 1".
        part: Positions whose values count.
        length: The property that a wrong length misses in place of `SHAPE`; the values at the beginning still count.
        strict: Whether they do not.
        either_order: Whether the right values in the reverse order count too.
    """
    outcome = exam.ask(function, *arguments)
    expected = right(*in_double(arguments))
    if not unchanged(arguments, outcome):
        note(exam, UNCHANGED, changed_symptom(function))
    value = tensor_or_fail(exam, function, name, outcome, where)
    if value is None:
        return
    given = next(a for a in arguments if isinstance(a, Tensor))
    found = shape_symptom(function, value, expected, where)
    if found:
        exam.fail(length or SHAPE, found.text, symptom=found.name)
        if strict or not (length and begins_alike(value, expected)):
            exam.fail(name, found.text)
        return
    note(exam, SHAPE, kept_symptom(function, value, given))
    if either_order and close(value.flip(0), expected):
        value = value.flip(0)
    if not close(value[part], expected[part]):
        exam.fail(name, difference(exam, name, function, value[part], expected[part], where))
    elif close(value, expected):
        note(exam, SHAPE, precision_symptom(function, value, expected))


def begins_alike(value: Tensor, expected: Tensor) -> bool:
    """Whether a result that is too long, or one value too short, has the right values as far as both go."""
    if value.dim() != 1 or not len(expected) - 1 <= len(value) or len(value) == 0:
        return False
    common = min(len(value), len(expected))
    return close(value[:common], expected[:common])


def tensor_or_fail(exam: Examination, function: str, name: str, outcome: Outcome, where: str) -> Tensor | None:
    """The returned tensor; a list of numbers counts as one, but loses `SHAPE`."""
    if outcome.error:
        found = error_symptom(function, outcome.error, where)
        exam.fail(name, found.text, symptom=found.name)
        return None
    value = outcome.value
    if isinstance(value, Tensor):
        return value
    kind = value.type_name if isinstance(value, Opaque) else ""
    found = kind_symptom(function, value, kind) or Symptom("", "")
    exam.fail(SHAPE, found.text, symptom=found.name)
    numbers = from_numbers(value)
    if numbers is None:
        exam.fail(name, found.text, symptom=found.name)
    return numbers


def from_numbers(value: Any) -> Tensor | None:
    """A tensor of the numbers in a list, or in lists of one length; None if there is something else in them."""
    if not isinstance(value, (list, tuple)) or not value:
        return None
    try:
        plain = [v.tolist() if isinstance(v, Tensor) else [e.item() if isinstance(e, Tensor) else e for e in v]
                 if isinstance(v, (list, tuple)) else v for v in value]  # fmt: skip
        return torch.tensor(plain, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return None


def note(exam: Examination, name: str, symptom: Symptom | None) -> None:
    """Fails a property if there is a symptom."""
    if symptom:
        exam.fail(name, symptom.text, symptom=symptom.name)


def in_double(arguments: Sequence[Any]) -> list[Any]:
    """The arguments with every tensor in float64 on the CPU."""
    return [as_double(a) if isinstance(a, Tensor) else a for a in arguments]


def real(value: Tensor) -> Tensor:
    """Double precision on the CPU; the imaginary part is dropped."""
    value = as_double(value)
    return value.real if value.is_complex() else value


def close(value: Tensor, expected: Tensor) -> bool:
    """Whether values are right up to float32's rounding."""
    return largest_difference(value, expected) <= LOOSE * scale_of(expected)


def unchanged(arguments: Sequence[Any], outcome: Outcome) -> bool:
    """Whether the tensors among the arguments are what they were before the call."""
    pairs = zip(arguments, outcome.arguments_after, strict=False)
    return all(
        isinstance(after, Tensor) and after.shape == before.shape and torch.equal(after, before)
        for before, after in pairs
        if isinstance(before, Tensor) and after is not None
    )


def difference(exam: Examination, name: str, function: str, value: Tensor, expected: Tensor, where: str) -> str:
    """The property's own sentence and the place of the largest difference; no hidden value is shown."""
    sentence = next(p.missed for p in exam.exam.properties if p.name == name)
    case = f" ({where})" if where else ""
    place = place_of_largest_difference(value, expected)
    return f"{sentence} `{function}` is furthest off at {place}{case}."


def judge_layouts(exam: Examination, function: str, pairs: Sequence[tuple[Sequence[Any], str]]) -> None:
    """Fails `LAYOUT` where the result depends on how an input lies in memory.

    Args:
        exam: The exam.
        function: The student's function.
        pairs: Arguments with strided or expanded tensors, and what they are in words.
    """
    for arguments, what in pairs:
        copies = [a.contiguous() if isinstance(a, Tensor) else a for a in arguments]
        plain, strided = exam.ask(function, *copies, special=True), exam.ask(function, *arguments, special=True)
        if not unchanged(arguments, strided):
            note(exam, UNCHANGED, changed_symptom(function))
        if not plain.returned:
            continue
        if not strided.returned or not equal_results(plain.value, strided.value):
            text = f"`{function}` gives another result for {what} than for a contiguous copy of it."
            exam.fail(LAYOUT, text, symptom="needs_contiguous")


def equal_results(value: Any, other: Any) -> bool:
    """Whether two results of the student are the same; anything but tensors counts as the same."""
    if isinstance(value, Tensor) and isinstance(other, Tensor):
        return value.shape == other.shape and largest_difference(other, value) <= LOOSE * scale_of(value)
    return isinstance(value, Tensor) == isinstance(other, Tensor)


def judge_errors(exam: Examination, function: str, name: str, cases: Sequence[Refusal]) -> None:
    """Fails `name` unless every case raises a `ValueError` that names the argument and what was given."""
    for case in cases:
        outcome = exam.ask(function, *case.arguments, valid=False)
        if outcome.error != "ValueError":
            got = "returns a result" if outcome.returned else "raises another error"
            exam.fail(name, f"`{function}` {got} for {case.what}: raise a ValueError.", symptom="no_value_error")
        elif not (names_one_of(outcome.message, case.names) and names_one_of(outcome.message, case.given)):
            exam.fail(
                name,
                f"the ValueError for {case.what} must name the argument ({case.names.replace('|', ' or ')}) and what "
                "was given.",
                symptom="unclear_value_error",
            )


def only_with_values(exam: Examination, values: Sequence[str], others: Sequence[str]) -> None:
    """Fails properties about form and errors of one function if none of its own values is right."""
    if not any(exam.holds(name) for name in values):
        for name in others:
            exam.fail(name, "counts only once some values are right")


def judge_devices(exam: Examination, function: str, arguments: Sequence[Any], right: Right) -> None:
    """Fails `SHAPE` if the function does not work on each further device, or returns to the CPU."""
    for device in exam.devices[1:]:
        moved = [a.to(device) if isinstance(a, Tensor) else a for a in arguments]
        outcome = exam.ask(function, *moved)
        expected = right(*in_double(arguments))
        value = outcome.value
        if not isinstance(value, Tensor) or value.shape != expected.shape or not close(value, expected):
            text = f"`{function}` works on the CPU, but not on {device}: make new tensors with the input's device."
            exam.fail(SHAPE, text, symptom="wrong_device")
        else:
            note(exam, SHAPE, kept_symptom(function, value, moved[0]))


def strided(tensor: Tensor) -> Tensor:
    """The same values with a stride of 2 and an offset, among NaN that must not be read."""
    memory = torch.full((2 * tensor.numel() + 3,), torch.nan, dtype=tensor.dtype)
    view = memory[1 : 1 + 2 * tensor.numel() : 2]
    view.copy_(tensor)
    return view
