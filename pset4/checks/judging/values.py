"""Judges of one call of a student's function: its values, its form, and what it refuses.

Each asks the student and notes what is wrong against a property. A reason shows inputs and results where the inquiry is
public, and only where and how a result is wrong where it is hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pset4.checks.calling.outcome import Opaque, Outcome
from pset4.checks.calling.specs import Spec
from pset4.checks.judging.functions import AskedFunction
from pset4.checks.judging.inquiry import Inquiry
from pset4.checks.judging.registry import as_double, largest_difference, scale_of, show
from pset4.checks.judging.symptoms import (
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


@dataclass(frozen=True)
class Refusal:
    """An input that must raise a `ValueError`.

    Attributes:
        arguments: What the function is given.
        names: Words for the argument, one of which the message must hold, separated by "|".
        given: Words for what was given, likewise.
        what: The input in words.
    """

    arguments: tuple[Any, ...]
    names: str
    given: str
    what: str


def judge(
    inquiry: Inquiry,
    function: AskedFunction,
    name: str,
    arguments: Sequence[Any],
    *,
    where: str = "",
    part: slice = slice(None),
    length: str = "",
    strict: bool = False,
    either_order: bool = False,
) -> None:
    """Asks for one tensor and notes what is wrong with it.

    Args:
        inquiry: The check or exam.
        function: The student's function.
        name: The property that the values decide. Shape, dtype, precision and changed inputs have their own.
        arguments: The function's arguments; the first tensor among them decides dtype and device.
        where: The edge case in words, such as "k = 1".
        part: Positions whose values count.
        length: The property that a wrong length misses in place of `SHAPE`; the values at the beginning still count.
        strict: Whether they do not.
        either_order: Whether the right values in the reverse order count too.
    """
    outcome = inquiry.ask(function.name, *arguments)
    right = function.right(*in_double(arguments))
    value = tensor_of(inquiry, function, name, arguments, outcome, where)
    if value is None:
        return
    found = shape_symptom(function.name, value, right, where)
    if found:
        inquiry.note(length or SHAPE, found)
        if strict or not (length and begins_alike(value, right)):
            inquiry.note(name, found)
        return
    if either_order and close(value.flip(0), right):
        value = value.flip(0)
    if not close(value[part], right[part]):
        text = difference(inquiry, function, name, arguments, value, right, part, where)
        if not bool(real(value).isfinite().all()):
            inquiry.fail(name, f"{text} NaN and infinity are no results.", symptom="not_finite")
        else:
            inquiry.fail(name, text)
    inquiry.note(SHAPE, kept_symptom(function.name, value, first_tensor(arguments)))
    if close(value, right):
        inquiry.note(SHAPE, precision_symptom(function.name, value, right))


def tensor_of(
    inquiry: Inquiry, function: AskedFunction, name: str, arguments: Sequence[Any], outcome: Outcome, where: str
) -> Tensor | None:
    """The returned tensor, and notes against `name`, `SHAPE` and `UNCHANGED`; numbers in a list lose only `SHAPE`."""
    value: Tensor | None = None
    if outcome.error:
        inquiry.note(name, error_of(inquiry, function, arguments, outcome, where))
    elif isinstance(outcome.value, Tensor):
        value = outcome.value
    else:
        found = kind_of(function.name, outcome.value)
        inquiry.note(SHAPE, found)
        value = from_numbers(outcome.value)
        if value is None:
            inquiry.note(name, found)
    if not unchanged(arguments, outcome):
        inquiry.note(UNCHANGED, changed_symptom(function.name))
    return value


def kind_of(function: str, value: Any) -> Symptom:
    """What is said of a value that is no tensor."""
    return kind_symptom(function, value, value.type_name if isinstance(value, Opaque) else "") or Symptom("", "")


def error_of(
    inquiry: Inquiry, function: AskedFunction, arguments: Sequence[Any], outcome: Outcome, where: str
) -> Symptom:
    """A call that did not return; the student's own message is shown with public inputs only."""
    found = error_symptom(function.name, outcome.error, where)
    if not inquiry.public or found.name in ("too_slow", "missing_function"):
        return found
    detail = ""
    if found.name == "crashes":
        detail = f" The error says: {outcome.message}" if outcome.message else ""
        detail += f"\nIt comes from {outcome.line}" if outcome.line else ""
    return Symptom(found.name, f"{given_as(function, arguments)}{found.text}{detail}")


def given_as(function: AskedFunction, arguments: Sequence[Any]) -> str:
    """The arguments as a student would write them, to begin a sentence; "" for networks."""
    if any(isinstance(argument, Spec) for argument in arguments):
        return ""
    return f"With {' and '.join(f'{n} = {show(a)}' for n, a in zip(function.arguments, arguments, strict=True))}: "


def difference(
    inquiry: Inquiry,
    function: AskedFunction,
    name: str,
    arguments: Sequence[Any],
    value: Tensor,
    right: Tensor,
    part: slice,
    where: str,
) -> str:
    """What is said of wrong values: the place of the largest difference, and values only where they are public."""
    place = place_of_largest_difference(value[part], right[part])
    if inquiry.public:
        given = given_as(function, arguments).rstrip(": ")
        returned = f"your `{function.name}` returns {show(value)} instead of {show(right.to(value.dtype))}"
        return f"{given} {returned}; it is furthest off at {place}."
    case = f" ({where})" if where else ""
    return f"{inquiry.sentence(name)} `{function.name}` is furthest off at {place}{case}."


def judge_integer(
    inquiry: Inquiry,
    function: AskedFunction,
    name: str,
    arguments: Sequence[Any],
    right: int,
    *,
    where: str = "",
    kind: str = "",
) -> None:
    """Asks for an int.

    Args:
        inquiry: The check or exam.
        function: The student's function.
        name: The property that the number decides.
        arguments: The function's arguments.
        right: What a right one returns.
        where: The input in words.
        kind: The property that another type misses, if the number counts all the same.
    """
    outcome = inquiry.ask(function.name, *arguments)
    if outcome.error:
        for missed in filter(None, (name, kind)):
            inquiry.note(missed, error_of(inquiry, function, arguments, outcome, where))
        return
    value = outcome.value
    if value is None:
        for missed in filter(None, (name, kind)):
            inquiry.note(missed, kind_of(function.name, None))
        return
    if type(value) is not int:
        given = value.type_name if isinstance(value, Opaque) else type(value).__name__
        text = f"`{function.name}` returns an object of type {given}, not an int."
        inquiry.fail(kind or name, text, symptom="not_an_integer")
    if number(value) != right and (kind or type(value) is int):
        shown = f"{given_as(function, arguments) or f'For {where}: '}you return {value} instead of {right}."
        inquiry.fail(name, shown if inquiry.public else "")


def number(value: Any) -> float | None:
    """The value as a float, if it is one number: an int, a float, or a tensor with a single entry."""
    if isinstance(value, Tensor) and value.numel() == 1:
        return float(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    return None


def begins_alike(value: Tensor, right: Tensor) -> bool:
    """Whether a result that is too long, or one value too short, has the right values as far as both go."""
    if value.dim() != 1 or not len(right) - 1 <= len(value) or len(value) == 0:
        return False
    common = min(len(value), len(right))
    return close(value[:common], right[:common])


def from_numbers(value: Any) -> Tensor | None:
    """A tensor of the numbers in a list, in lists of one length or in an array, or of values that torch packs together
    with their indices; None if there is something else in it."""
    if isinstance(value, Opaque):
        packed = value.content[0] if type(value.content) is tuple and value.content else value.content
        return packed.double() if isinstance(packed, Tensor) else None
    if not isinstance(value, (list, tuple)) or not value:
        return None
    try:
        plain = [v.tolist() if isinstance(v, Tensor) else [e.item() if isinstance(e, Tensor) else e for e in v]
                 if isinstance(v, (list, tuple)) else v for v in value]  # fmt: skip
        return torch.tensor(plain, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return None


def first_tensor(arguments: Sequence[Any]) -> Tensor:
    """The argument that decides dtype and device."""
    return next(argument for argument in arguments if isinstance(argument, Tensor))


def in_double(arguments: Sequence[Any]) -> list[Any]:
    """The arguments with every tensor in float64 on the CPU."""
    return [as_double(a) if isinstance(a, Tensor) else a for a in arguments]


def real(value: Tensor) -> Tensor:
    """Double precision on the CPU; the imaginary part is dropped."""
    value = as_double(value)
    return value.real if value.is_complex() else value


def close(value: Tensor, right: Tensor) -> bool:
    """Whether values are right up to float32's rounding."""
    return largest_difference(value, right) <= LOOSE * scale_of(right)


def unchanged(arguments: Sequence[Any], outcome: Outcome) -> bool:
    """Whether the tensors among the arguments are what they were before the call."""
    pairs = zip(arguments, outcome.arguments_after, strict=False)
    return all(
        isinstance(after, Tensor) and after.shape == before.shape and torch.equal(after, before)
        for before, after in pairs
        if isinstance(before, Tensor) and after is not None
    )


def judge_layouts(inquiry: Inquiry, function: AskedFunction, cases: Sequence[tuple[Sequence[Any], str]]) -> None:
    """Fails `LAYOUT` where the result depends on how an input lies in memory.

    Args:
        inquiry: The check or exam.
        function: The student's function.
        cases: Arguments with strided or expanded tensors, and what they are in words.
    """
    for arguments, what in cases:
        copies = [a.contiguous() if isinstance(a, Tensor) else a for a in arguments]
        plain, strided = (inquiry.ask(function.name, *given, special=True) for given in (copies, arguments))
        if not unchanged(arguments, strided):
            inquiry.note(UNCHANGED, changed_symptom(function.name))
        if plain.returned and not (strided.returned and equal_results(plain.value, strided.value)):
            text = f"`{function.name}` gives another result for {what} than for a contiguous copy of it."
            inquiry.fail(LAYOUT, text, symptom="needs_contiguous")


def equal_results(value: Any, other: Any) -> bool:
    """Whether two results of the student are the same; anything but tensors counts as the same."""
    if isinstance(value, Tensor) and isinstance(other, Tensor):
        if value.shape != other.shape:
            return False
        value, other = value.nan_to_num(), other.nan_to_num()
        return largest_difference(other, value) <= LOOSE * scale_of(value)
    return isinstance(value, Tensor) == isinstance(other, Tensor)


def judge_refusals(inquiry: Inquiry, function: AskedFunction, name: str, refusals: Sequence[Refusal]) -> None:
    """Fails `name` unless each input raises a `ValueError` that names the argument and what was given."""
    for refusal in refusals:
        outcome = inquiry.ask(function.name, *refusal.arguments, valid=False)
        if outcome.error != "ValueError":
            got = "returns a result" if outcome.returned else "raises another error"
            shown = f" It raises {outcome.error}: {outcome.message}" if inquiry.public and outcome.error else ""
            text = f"`{function.name}` {got} for {refusal.what}: raise a ValueError.{shown}"
            inquiry.fail(name, text, symptom="no_value_error")
        elif not outcome.message:
            named = f"the argument ({refusal.names.replace('|', ' or ')}) and what was given"
            text = f"the ValueError for {refusal.what} says nothing: let it name {named}."
            inquiry.fail(name, text, symptom="empty_value_error")
        elif not (names_one_of(outcome.message, refusal.names) and names_one_of(outcome.message, refusal.given)):
            named = f"must name the argument ({refusal.names.replace('|', ' or ')}) and what was given."
            shown = f" It says: {outcome.message}" if inquiry.public else ""
            inquiry.fail(name, f"the ValueError for {refusal.what} {named}{shown}", symptom="unclear_value_error")


def judge_devices(inquiry: Inquiry, function: AskedFunction, arguments: Sequence[Any]) -> None:
    """Fails `SHAPE` if the function does not do on each further device what it does on the CPU, or returns to the CPU.

    What it does may be wrong: other properties say so, and points must not depend on the grader's devices.
    """
    for device in inquiry.devices[1:]:
        moved = [a.to(device) if isinstance(a, Tensor) else a for a in arguments]
        value, right = inquiry.ask(function.name, *moved).value, function.right(*in_double(arguments))
        as_it_should = isinstance(value, Tensor) and value.shape == right.shape and close(value, right)
        here = None if as_it_should else inquiry.ask(function.name, *arguments)
        if here is None or (here.returned and equal_results(here.value, value)):
            if isinstance(value, Tensor):
                inquiry.note(SHAPE, kept_symptom(function.name, value, first_tensor(moved)))
        elif here.returned:
            text = f"`{function.name}` works on the CPU, but not on {device}: make new tensors with the input's device."
            inquiry.fail(SHAPE, text, symptom="wrong_device")
