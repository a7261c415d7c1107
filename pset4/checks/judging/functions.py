"""The functions that exercises ask for: their names, those of their arguments, and what a right one returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pset4.checks.judging import expected


@dataclass(frozen=True)
class AskedFunction:
    """One function of a student.

    Attributes:
        exercise: Id of the exercise that asks for it.
        name: What it is called.
        arguments: Names of its arguments.
        right: What a right one returns.
    """

    exercise: str
    name: str
    arguments: tuple[str, ...]
    right: Callable[..., Any]


CONV1D = AskedFunction("p1a_conv1d", "conv1d", ("x_in", "kernel"), expected.conv1d)
POOL_SIZE = AskedFunction("p1b_maxpool1d", "pool_size", ("n_in", "n_out"), expected.stored_size)
MAXPOOL1D = AskedFunction("p1b_maxpool1d", "maxpool1d", ("x_in", "size"), expected.maxpool1d)
LAST_LAYER_INPUTS = AskedFunction("p2a_last_layer", "last_layer_inputs", ("model",), expected.stored_inputs)
OUTPUT2PROB = AskedFunction("p2b_probabilities", "output2prob", ("output",), expected.looked_up("output2prob"))
CONV1D_MATRIX = AskedFunction("p3a_conv_matrix", "conv1d_matrix", ("kernel", "n"), expected.conv1d_matrix)
CONV1D_BACKWARD_INPUT = AskedFunction(
    "p3a_backward_input", "conv1d_backward_input", ("grad_out", "kernel"), expected.conv1d_backward_input
)
CONV1D_BACKWARD_KERNEL = AskedFunction(
    "p3b_backward_kernel",
    "conv1d_backward_kernel",
    ("grad_out", "x_in", "kernel_size"),
    expected.conv1d_backward_kernel,
)
UPDATE_KERNEL = AskedFunction(
    "p3b_update", "update_kernel", ("kernel", "grad_kernel", "learning_rate"), expected.looked_up("update_kernel")
)
MAXPOOL1D_BACKWARD = AskedFunction(
    "p3d_maxpool_backward", "maxpool1d_backward", ("grad_out", "x_in", "size"), expected.maxpool1d_backward
)
