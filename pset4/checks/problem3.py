"""Visible checks of problem 3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pset4.checks.failure import all_good
from pset4.checks.functions import FunctionCheck, Probe, Refusal, run_check
from pset4.checks.judging import expected
from pset4.checks.misconceptions.table import signal
from pset4.checks.problem1 import EDGE, LONGER, UNEVEN, spaced

THREE = signal(1, 2, 4)
FIVE = signal(1, 2, 3, 4, 5)

CONV_MATRIX = FunctionCheck(
    exercise="p3a_conv_matrix",
    function="conv1d_matrix",
    names=("kernel", "n"),
    right=expected.conv1d_matrix,
    probes=(
        Probe((THREE, 3), "k = n"),
        Probe((THREE, 5)),
        Probe((UNEVEN.double() / 7, 6), "float64"),
        Probe((UNEVEN, 7)),
        Probe((FIVE, 4), "k > n"),
        Probe((FIVE, 2), "k > n"),
        Probe((torch.cat([FIVE, FIVE + 1, THREE[:1]]), 3), "k > n"),
        Probe((THREE, 1), "n = 1"),
        Probe((signal(2.5), 3), "k = 1"),
        Probe((spaced(THREE), 4), "a kernel with a stride of 2", layout=True),
    ),
    refusals=(
        Refusal((signal(1, 2), 4), "kernel", "2|even", "an even kernel"),
        Refusal((signal(), 4), "kernel", "0|empty|even", "an empty kernel"),
    ),
)

BACKWARD_INPUT = FunctionCheck(
    exercise="p3a_backward_input",
    function="conv1d_backward_input",
    names=("grad_out", "kernel"),
    right=expected.conv1d_backward_input,
    probes=(
        Probe((signal(1, 2, 3), THREE)),
        Probe((LONGER, EDGE)),
        Probe((LONGER, UNEVEN)),
        Probe((LONGER.double() / 3, UNEVEN.double() / 7), "float64"),
        Probe((signal(2, -1, 3, 1, 4), UNEVEN), "k = N"),
        Probe((LONGER, signal(2.5)), "k = 1"),
        Probe((signal(2), signal(3)), "N = 1 and k = 1"),
        Probe((signal(2), THREE), "k > N"),
        Probe((signal(1, 2), FIVE), "k > N"),
        Probe((signal(1, 2), torch.cat([FIVE, FIVE + 1, THREE[:1]])), "k > N"),
        Probe((signal(1).expand(6), THREE), "an expanded grad_out", layout=True),
        Probe((spaced(LONGER), spaced(THREE)), "inputs with a stride of 2", layout=True),
    ),
)

BACKWARD_KERNEL = FunctionCheck(
    exercise="p3b_backward_kernel",
    function="conv1d_backward_kernel",
    names=("grad_out", "x_in", "kernel_size"),
    right=expected.conv1d_backward_kernel,
    probes=(
        Probe((signal(1, 0, 2), signal(1, 2, 3), 3)),
        Probe((LONGER, LONGER.flip(0) + 1, 3)),
        Probe((LONGER, LONGER.roll(3) * 2, 5)),
        Probe((LONGER.double() / 3, LONGER.roll(2).double() / 7, 3), "float64"),
        Probe((signal(2, -1, 3, 1, 4), UNEVEN, 5), "k = N"),
        Probe((LONGER, LONGER + 2, 1), "k = 1"),
        Probe((signal(2), signal(3), 1), "N = 1 and k = 1"),
        Probe((signal(2), signal(3), 3), "k > N"),
        Probe((signal(1, 2), signal(3, 5), 5), "k > N"),
        Probe((signal(1, 2), signal(3, 5), 9), "k > N"),
        Probe((signal(1).expand(8), LONGER, 3), "an expanded grad_out", layout=True),
        Probe((spaced(LONGER), spaced(LONGER + 1), 3), "inputs with a stride of 2", layout=True),
    ),
)

UPDATE = FunctionCheck(
    exercise="p3b_update",
    function="update_kernel",
    names=("kernel", "grad_kernel", "learning_rate"),
    right=expected.update_kernel,
    probes=(
        Probe((signal(1, 2, 3), signal(10, 0, -20), 0.1)),
        Probe((UNEVEN, UNEVEN.flip(0) * 3 + 1, 0.5)),
        Probe((UNEVEN.double() / 7, UNEVEN.flip(0).double() / 3, 0.01), "float64"),
        Probe((signal(2), signal(3), 2.0), "k = 1"),
    ),
    from_scratch=False,
)


def shares_its_gradient(value: Tensor, arguments: Sequence[Any]) -> bool:
    """Whether the only window's gradient goes to its maxima, by any rule."""
    grad_out, x_in, _size = arguments
    return expected.shares_ties(value / grad_out[0], x_in)


MAXPOOL_BACKWARD = FunctionCheck(
    exercise="p3d_maxpool_backward",
    function="maxpool1d_backward",
    names=("grad_out", "x_in", "size"),
    right=expected.maxpool1d_backward,
    probes=(
        Probe((signal(1, 10), signal(1, 3, 2), 2)),
        Probe((signal(1, 10, 100), signal(1, 2, 4, 3), 2)),
        Probe((signal(1, 10, 100), signal(4, 3, 2, 1), 2)),
        Probe((signal(1, -2, 3, -4, 5, -6), LONGER, 3)),
        Probe((LONGER[:5].double() / 3, LONGER.double() / 7, 4), "float64"),
        Probe((signal(1, 10, 100, 1000), -LONGER[:5].abs() - signal(0, 1, 2, 3, 4), 2), "negative inputs"),
        Probe((signal(1, 10), signal(-3, -1, -2), 2), "negative inputs"),
        Probe((signal(1, 2, 3), signal(3, 1, 2), 1), "size = 1"),
        Probe((signal(5), signal(2), 1), "N = 1"),
        Probe((signal(5), signal(2, 7, 1), 3), "size = N"),
        Probe((signal(1).expand(6), LONGER, 3), "an expanded grad_out", layout=True),
        Probe((spaced(LONGER[:6]), spaced(LONGER), 3), "inputs with a stride of 2", layout=True),
        Probe((signal(1, 10), signal(2, 1, 2), 2), "equal values in different windows"),
        Probe((signal(2), signal(5, 5, 5, 5), 4), "ties", shares_its_gradient),
        Probe((signal(-3), signal(2, 5, 1, 5), 4), "ties", shares_its_gradient),
    ),
)


def _check(check: FunctionCheck, student: Any) -> None:
    run_check(check, student)
    all_good(check.exercise, "The hidden exam tries random inputs of many lengths.")


def p3a_conv_matrix(conv1d_matrix: Any) -> None:
    """Checks `conv1d_matrix(kernel, n)`.

    Raises:
        CheckFailed: With a diagnosis.
    """
    _check(CONV_MATRIX, conv1d_matrix)


def p3a_backward_input(conv1d_backward_input: Any) -> None:
    """Checks `conv1d_backward_input(grad_out, kernel)`.

    Raises:
        CheckFailed: With a diagnosis.
    """
    _check(BACKWARD_INPUT, conv1d_backward_input)


def p3b_backward_kernel(conv1d_backward_kernel: Any) -> None:
    """Checks `conv1d_backward_kernel(grad_out, x_in, kernel_size)`.

    Raises:
        CheckFailed: With a diagnosis.
    """
    _check(BACKWARD_KERNEL, conv1d_backward_kernel)


def p3b_update(update_kernel: Any) -> None:
    """Checks `update_kernel(kernel, grad_kernel, learning_rate)`.

    Raises:
        CheckFailed: With a diagnosis.
    """
    _check(UPDATE, update_kernel)


def p3d_maxpool_backward(maxpool1d_backward: Any) -> None:
    """Checks `maxpool1d_backward(grad_out, x_in, size)`.

    Raises:
        CheckFailed: With a diagnosis.
    """
    _check(MAXPOOL_BACKWARD, maxpool1d_backward)
