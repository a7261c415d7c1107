"""What can be wrong with a result whatever the exercise: no result, no tensor, wrong shape, dtype or place."""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pset4.checks.judging.registry import as_double, largest_difference, scale_of

LOOSE = 1e-4
"""Tolerance, relative to the largest entry, within which values count as right."""

TIGHT = 1e-10
"""The same for what float64 must reach."""


PACKED_WITH_INDICES = ("max", "min", "cummax", "cummin", "sort", "topk", "kthvalue", "median", "mode")
"""Names of what torch's reductions over a dimension return."""


@dataclass(frozen=True)
class Symptom:
    """A name for the table of diagnoses, and a sentence for the student."""

    name: str
    text: str


def error_symptom(function: str, error: str, where: str = "") -> Symptom:
    """A call that did not return.

    Args:
        function: The student's function.
        error: Name of the exception's type, or "Timeout" or "MissingName".
        where: In which case, such as "k = 1".
    """
    case = f" for {where}" if where else ""
    if error == "MissingName":
        return Symptom(
            "missing_function", f"your notebook does not define `{function}`: run its cell, and check its name."
        )
    if error == "Timeout":
        return Symptom("too_slow", f"`{function}` takes too long{case}: is there a loop that never ends?")
    if error == "NotImplementedError":
        return Symptom(
            "not_written", f"`{function}` is not written yet: replace the line that raises NotImplementedError."
        )
    # A type that the student's own code defines could carry anything in its name.
    known = error if hasattr(builtins, error) else "an error"
    return Symptom("crashes", f"`{function}` stops with {known}{case}.")


def kind_symptom(function: str, value: Any, kind: str = "") -> Symptom | None:
    """A returned value that is no tensor; None if it is one."""
    if isinstance(value, Tensor):
        return None
    if value is None:
        return Symptom(
            "returns_nothing", f"`{function}` returns None: is a `return` missing? Printing does not return."
        )
    if kind in PACKED_WITH_INDICES:
        return Symptom(
            "values_and_positions",
            f"`{function}` returns values and their positions together: torch packs the two. Take `.values`.",
        )
    if kind == "ndarray":
        return Symptom("not_a_tensor", f"`{function}` returns a NumPy array, not a torch.Tensor.")
    return Symptom(
        "not_a_tensor", f"`{function}` returns an object of type {kind or type(value).__name__}, not a torch.Tensor."
    )


def shape_symptom(function: str, value: Tensor, right: Tensor, where: str = "") -> Symptom | None:
    """A tensor of another shape than it should have; None if the shape is right."""
    if value.shape == right.shape:
        return None
    case = f" for {where}" if where else ""
    return Symptom(
        "wrong_shape", f"`{function}` returns shape {tuple(value.shape)}{case} where {tuple(right.shape)} is right."
    )


def kept_symptom(function: str, value: Tensor, given: Tensor) -> Symptom | None:
    """A tensor of another dtype or on another device than the input; None if both are kept."""
    if value.dtype != given.dtype:
        return Symptom(
            "wrong_dtype", f"`{function}` returns {value.dtype} for a {given.dtype} input: keep the input's dtype."
        )
    if value.device.type != given.device.type:
        return Symptom(
            "wrong_device",
            f"`{function}` returns a {value.device.type} tensor for a {given.device.type} input: make new tensors with "
            "`device=...` of the input.",
        )
    return None


def changed_symptom(function: str) -> Symptom:
    """An input that is not what it was before the call."""
    return Symptom("input_changed", f"`{function}` changes its input in place. Work on a copy.")


def precision_symptom(function: str, value: Tensor, right: Tensor) -> Symptom | None:
    """A float64 result with the errors of a lower precision; None if float64 was kept throughout."""
    if value.dtype == torch.float64 and largest_difference(value, right) > TIGHT * scale_of(right):
        return Symptom(
            "low_precision", f"`{function}` loses precision: for float64 inputs it must compute in float64 throughout."
        )
    return None


def place_of_largest_difference(value: Tensor, right: Tensor) -> str:
    """Where two tensors of one shape differ most: "position 3 of 0..7", or "row 1, column 0"."""
    flat = int((as_double(value) - as_double(right)).abs().nan_to_num(nan=torch.inf).argmax())
    if right.dim() == 1:
        return f"position {flat} of 0..{len(right) - 1}"
    row, column = divmod(flat, right.shape[-1])
    return f"row {row}, column {column} of a {right.shape[0]} x {right.shape[1]} matrix"


def names_one_of(message: str, words: str) -> bool:
    """Whether a message holds one of the words that are separated by "|", in upper or lower case."""
    return any(word.lower() in message.lower() for word in words.split("|"))
