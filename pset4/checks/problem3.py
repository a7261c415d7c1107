"""Visible checks of problem 3."""

from __future__ import annotations

from typing import Any

import torch

from pset4.checks.judging.backward import judge_update, judge_window
from pset4.checks.judging.functions import (
    CONV1D_BACKWARD_INPUT,
    CONV1D_BACKWARD_KERNEL,
    CONV1D_MATRIX,
    MAXPOOL1D_BACKWARD,
    UPDATE_KERNEL,
)
from pset4.checks.judging.values import Refusal
from pset4.checks.misconceptions.table import signal
from pset4.checks.problem1 import EDGE, LONGER, UNEVEN, spaced
from pset4.checks.public import Case, demand_functions, judge_cases, visible_check
from pset4.checks.stages.staged import staged

THREE = signal(1, 2, 4)
FIVE = signal(1, 2, 3, 4, 5)
MORE = "The hidden exam tries random inputs of many lengths."

CONV_MATRIX_CASES: tuple[Case, ...] = (
    ((THREE, 3), "k = n"),
    ((THREE, 5), ""),
    ((UNEVEN.double() / 7, 6), "float64"),
    ((UNEVEN, 7), ""),
    ((FIVE, 4), "k > n"),
    ((FIVE, 2), "k > n"),
    ((torch.cat([FIVE, FIVE + 1, THREE[:1]]), 3), "k > n"),
    ((THREE, 1), "n = 1"),
    ((signal(2.5), 3), "k = 1"),
)
CONV_MATRIX_LAYOUTS: tuple[Case, ...] = (((spaced(THREE), 4), "a kernel with a stride of 2"),)
CONV_MATRIX_REFUSALS = (
    Refusal((signal(1, 2), 4), "kernel", "2|even", "an even kernel"),
    Refusal((signal(), 4), "kernel", "0|empty|even", "an empty kernel"),
)
BACKWARD_INPUT_CASES: tuple[Case, ...] = (
    ((signal(1, 2, 3), THREE), ""),
    ((LONGER, EDGE), ""),
    ((LONGER, UNEVEN), ""),
    ((LONGER.double() / 3, UNEVEN.double() / 7), "float64"),
    ((signal(2, -1, 3, 1, 4), UNEVEN), "k = N"),
    ((LONGER, signal(2.5)), "k = 1"),
    ((signal(2), signal(3)), "N = 1 and k = 1"),
    ((signal(2), THREE), "k > N"),
    ((signal(1, 2), FIVE), "k > N"),
    ((signal(1, 2), torch.cat([FIVE, FIVE + 1, THREE[:1]])), "k > N"),
)
BACKWARD_INPUT_LAYOUTS: tuple[Case, ...] = (
    ((signal(1).expand(6), THREE), "an expanded grad_out"),
    ((spaced(LONGER), spaced(THREE)), "inputs with a stride of 2"),
)
BACKWARD_KERNEL_CASES: tuple[Case, ...] = (
    ((signal(1, 0, 2), signal(1, 2, 3), 3), ""),
    ((LONGER, LONGER.flip(0) + 1, 3), ""),
    ((LONGER, LONGER.roll(3) * 2, 5), ""),
    ((LONGER.double() / 3, LONGER.roll(2).double() / 7, 3), "float64"),
    ((signal(2, -1, 3, 1, 4), UNEVEN, 5), "k = N"),
    ((LONGER, LONGER + 2, 1), "k = 1"),
    ((signal(2), signal(3), 1), "N = 1 and k = 1"),
    ((signal(2), signal(3), 3), "k > N"),
    ((signal(1, 2), signal(3, 5), 5), "k > N"),
    ((signal(1, 2), signal(3, 5), 9), "k > N"),
)
BACKWARD_KERNEL_LAYOUTS: tuple[Case, ...] = (
    ((signal(1).expand(8), LONGER, 3), "an expanded grad_out"),
    ((spaced(LONGER), spaced(LONGER + 1), 3), "inputs with a stride of 2"),
)
UPDATE_CASES: tuple[Case, ...] = (
    ((signal(1, 2, 3), signal(10, 0, -20), 0.1), ""),
    ((UNEVEN, UNEVEN.flip(0) * 3 + 1, 0.5), ""),
    ((UNEVEN.double() / 7, UNEVEN.flip(0).double() / 3, 0.01), "float64"),
    ((signal(2), signal(3), 2.0), "k = 1"),
    ((signal(1, 2, 3), signal(0, 0, 0), 0.1), "a gradient of zero"),
)
MAXPOOL_BACKWARD_CASES: tuple[Case, ...] = (
    ((signal(1, 10), signal(1, 3, 2), 2), ""),
    ((signal(1, 10, 100), signal(1, 2, 4, 3), 2), ""),
    ((signal(1, 10, 100), signal(4, 3, 2, 1), 2), ""),
    ((signal(1, -2, 3, -4, 5, -6), LONGER, 3), ""),
    ((LONGER[:5].double() / 3, LONGER.double() / 7, 4), "float64"),
    ((signal(1, 10, 100, 1000), -LONGER[:5].abs() - signal(0, 1, 2, 3, 4), 2), "negative inputs"),
    ((signal(1, 10), signal(-3, -1, -2), 2), "negative inputs"),
    ((signal(1, 2, 3), signal(3, 1, 2), 1), "size = 1"),
    ((signal(5), signal(2), 1), "N = 1"),
    ((signal(5), signal(2, 7, 1), 3), "size = N"),
    ((signal(1, 10), signal(2, 1, 2), 2), "equal values in different windows"),
)
MAXPOOL_BACKWARD_LAYOUTS: tuple[Case, ...] = (
    ((signal(1).expand(6), LONGER, 3), "an expanded grad_out"),
    ((spaced(LONGER[:6]), spaced(LONGER), 3), "inputs with a stride of 2"),
)
TIES = ((signal(2), signal(5, 5, 5, 5)), (signal(-3), signal(2, 5, 1, 5)))


@staged()
def p3a_conv_matrix(conv1d_matrix: Any) -> str:
    """Checks `conv1d_matrix(kernel, n)`.

    Raises:
        CheckFailed: With a diagnosis.
    """
    demand_functions(conv1d_matrix=conv1d_matrix)
    with visible_check(CONV1D_MATRIX.exercise, from_scratch=True, conv1d_matrix=conv1d_matrix) as inquiry:
        judge_cases(inquiry, CONV1D_MATRIX, CONV_MATRIX_CASES, CONV_MATRIX_LAYOUTS, CONV_MATRIX_REFUSALS)
    return MORE


@staged()
def p3a_backward_input(conv1d_backward_input: Any) -> str:
    """Checks `conv1d_backward_input(grad_out, kernel)`.

    Raises:
        CheckFailed: With a diagnosis.
    """
    demand_functions(conv1d_backward_input=conv1d_backward_input)
    with visible_check(
        CONV1D_BACKWARD_INPUT.exercise, from_scratch=True, conv1d_backward_input=conv1d_backward_input
    ) as inquiry:
        judge_cases(inquiry, CONV1D_BACKWARD_INPUT, BACKWARD_INPUT_CASES, BACKWARD_INPUT_LAYOUTS)
    return MORE


@staged()
def p3b_backward_kernel(conv1d_backward_kernel: Any) -> str:
    """Checks `conv1d_backward_kernel(grad_out, x_in, kernel_size)`.

    Raises:
        CheckFailed: With a diagnosis.
    """
    demand_functions(conv1d_backward_kernel=conv1d_backward_kernel)
    with visible_check(
        CONV1D_BACKWARD_KERNEL.exercise, from_scratch=True, conv1d_backward_kernel=conv1d_backward_kernel
    ) as inquiry:
        judge_cases(inquiry, CONV1D_BACKWARD_KERNEL, BACKWARD_KERNEL_CASES, BACKWARD_KERNEL_LAYOUTS)
    return MORE


@staged()
def p3b_update(update_kernel: Any) -> str:
    """Checks `update_kernel(kernel, grad_kernel, learning_rate)`.

    Raises:
        CheckFailed: With a diagnosis.
    """
    demand_functions(update_kernel=update_kernel)
    with visible_check(UPDATE_KERNEL.exercise, update_kernel=update_kernel) as inquiry:
        for (kernel, gradient, rate), where in UPDATE_CASES:
            judge_update(inquiry, kernel, gradient, rate, where)
    return MORE


@staged()
def p3d_maxpool_backward(maxpool1d_backward: Any) -> str:
    """Checks `maxpool1d_backward(grad_out, x_in, size)`.

    Raises:
        CheckFailed: With a diagnosis.
    """
    demand_functions(maxpool1d_backward=maxpool1d_backward)
    with visible_check(
        MAXPOOL1D_BACKWARD.exercise, from_scratch=True, maxpool1d_backward=maxpool1d_backward
    ) as inquiry:
        judge_cases(inquiry, MAXPOOL1D_BACKWARD, MAXPOOL_BACKWARD_CASES, MAXPOOL_BACKWARD_LAYOUTS)
        for gradient, x_in in TIES:
            judge_window(inquiry, gradient, x_in)
    return MORE
