"""Misconceptions about the backward pass of max pooling."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pset4.checks.judging import expected
from pset4.checks.judging.expected import vector_jacobian
from pset4.checks.judging.functions import (
    MAXPOOL1D_BACKWARD,
)
from pset4.checks.misconceptions import problem1
from pset4.checks.misconceptions.table import register_table, signal


def windows_of(x: Tensor, size: int) -> Tensor:
    """All complete windows, (N - size + 1, size), by torch's own convolution with unit kernels."""
    units = torch.eye(size, dtype=x.dtype, device=x.device)[:, None]
    return F.conv1d(x[None, None], units)[0].T


def spread(weights: Tensor, grad_out: Tensor) -> Tensor:
    """What windows with these weights on their inputs give back, by automatic differentiation."""
    count, size = weights.shape
    at = weights.new_zeros(count + size - 1)
    return vector_jacobian(lambda x: (windows_of(x, size) * weights).sum(dim=1), at, grad_out)


def maxima(x: Tensor, size: int) -> Tensor:
    """1 where a window's value is its maximum, (N - size + 1, size)."""
    return (windows_of(x, size) == expected.maxpool1d(x, size)[:, None]).to(x.dtype)


def one_place(x: Tensor, size: int, place: int) -> Tensor:
    """1 at one place of each window."""
    weights = torch.zeros_like(windows_of(x, size))
    weights[:, place] = 1
    return weights


def pooling_matrix(x: Tensor, size: int) -> Tensor:
    """dx_out/dx_in, (N - size + 1, N), by automatic differentiation."""
    units = torch.eye(len(x) - size + 1, dtype=x.dtype, device=x.device)
    return torch.stack([expected.maxpool1d_backward(unit, x, size) for unit in units])


def last_assignment(grad_out: Tensor, x: Tensor, size: int) -> Tensor:
    """What is left when each window overwrites what an earlier one put on the same input."""
    wins = pooling_matrix(x, size)
    order = torch.arange(1, len(wins) + 1, dtype=x.dtype, device=x.device)
    return torch.where(wins.sum(dim=0) > 0, grad_out[(wins * order[:, None]).argmax(dim=0)], 0)


def first_assignment(grad_out: Tensor, x: Tensor, size: int) -> Tensor:
    """What is left when only the first window of each maximum counts."""
    return last_assignment(grad_out.flip(0), x.flip(0), size).flip(0)


def mean_over_windows(grad_out: Tensor, x: Tensor, size: int) -> Tensor:
    """The sum of the gradients on an input divided by the number of windows that it wins."""
    ones = torch.ones_like(grad_out)
    counts = expected.maxpool1d_backward(ones, x, size).clamp_min(1)
    return expected.maxpool1d_backward(grad_out, x, size) / counts


def places_in_window_as_positions(grad_out: Tensor, x: Tensor, size: int) -> Tensor:
    """The winner's place within its window, used as its place in the signal."""
    places = problem1.indices_of_maxima(x, size) - torch.arange(len(grad_out), device=x.device)
    return torch.zeros(len(x), dtype=x.dtype, device=x.device).index_add(0, places, grad_out)


def largest_input_takes_all(grad_out: Tensor, x: Tensor, size: int) -> Tensor:
    """All gradients on the signal's maximum."""
    return F.one_hot(x.argmax(), len(x)).to(x.dtype) * grad_out.sum()


def windows_apart(grad_out: Tensor, x: Tensor, size: int) -> Tensor:
    """Gradients of windows that do not overlap."""
    count = len(x) // size
    return vector_jacobian(lambda s: F.max_pool1d(s[None], size, stride=size)[0], x, grad_out[:count])


def unit_gradients(grad_out: Tensor, x: Tensor, size: int) -> Tensor:
    """Counts of won windows, whatever came back."""
    return expected.maxpool1d_backward(torch.ones_like(grad_out), x, size)


def equal_values_anywhere(grad_out: Tensor, x: Tensor, size: int) -> Tensor:
    """The full gradient to every input that has the window's maximum as its value, in the window or not."""
    return (x[:, None] == expected.maxpool1d(x, size)[None, :]).to(x.dtype) @ grad_out


register_table(
    MAXPOOL1D_BACKWARD,
    {
        "full_gradient_to_ties": (
            lambda g, x, size: spread(maxima(x, size), g),
            "every one of several equal maxima gets the whole gradient of the window, so more comes out than went in. "
            "The shares of one window sum to 1: give all to one maximum, or split it.",
        ),
        "equal_values_anywhere": (
            equal_values_anywhere,
            "inputs outside the window get its gradient too, if they happen to have the same value. Look only at the "
            "window's own inputs, and let the shares sum to 1.",
        ),
        "overwritten": (
            last_assignment,
            "where one input is the maximum of several windows, only the last window's gradient is left. Gradients of "
            "overlapping windows add up: += in place of =.",
        ),
        "first_window_only": (
            first_assignment,
            "where one input is the maximum of several windows, only the first window's gradient counts. Gradients of "
            "overlapping windows add up.",
        ),
        "mean_over_windows": (
            mean_over_windows,
            "where one input is the maximum of several windows, you average their gradients. They add up.",
        ),
        "windows_apart": (
            windows_apart,
            "you treat the windows as if they did not overlap. The stride is 1.",
        ),
        "shared_by_the_window": (
            lambda g, x, size: spread(torch.full_like(windows_of(x, size), 1 / size), g),
            "this is the gradient of average pooling. The maximum alone decides the output, so it alone gets the "
            "gradient.",
        ),
        "everyone_gets_all": (
            lambda g, x, size: spread(torch.ones_like(windows_of(x, size)), g),
            "every input of a window gets its gradient. Only the maximum does.",
        ),
        "first_of_window": (
            lambda g, x, size: spread(one_place(x, size, 0), g),
            "the first input of each window gets the gradient. The maximum does, wherever it stands.",
        ),
        "last_of_window": (
            lambda g, x, size: spread(one_place(x, size, -1), g),
            "the last input of each window gets the gradient. The maximum does, wherever it stands.",
        ),
        "minimum": (
            lambda g, x, size: expected.maxpool1d_backward(g, -x, size),
            "the minimum of each window gets the gradient. The maximum does.",
        ),
        "magnitudes": (
            lambda g, x, size: expected.maxpool1d_backward(g, x.abs(), size),
            "you look for the largest magnitude. The maximum keeps the sign: of -3 and 1 it is 1.",
        ),
        "place_in_window": (
            places_in_window_as_positions,
            "you take the maximum's place within its window for its place in the signal. Add n, where the window "
            "begins.",
        ),
        "largest_input_takes_all": (
            largest_input_takes_all,
            "the maximum of the whole signal gets everything. Each window has its own maximum.",
        ),
        "starts_from_zero": (
            lambda g, x, size: expected.maxpool1d_backward(g * (expected.maxpool1d(x, size) > 0), x, size),
            "windows of negative inputs give no gradient: your maximum starts from 0. Start from the window's first "
            "value, or from minus infinity.",
        ),
        "divided_by_size": (
            lambda g, x, size: expected.maxpool1d_backward(g, x, size) / size,
            "you divide by the window's size. The maximum passes its gradient on as it is.",
        ),
        "wrong_sign": (
            lambda g, x, size: -expected.maxpool1d_backward(g, x, size),
            "the sign is wrong. The gradient is asked for; the minus belongs to the descent.",
        ),
        "multiplied_by_input": (
            lambda g, x, size: expected.maxpool1d_backward(g, x, size) * x,
            "you multiply the gradient by the input. The derivative of the maximum with respect to it is 1.",
        ),
        "grad_out_ignored": (
            unit_gradients,
            "you count the windows that an input wins, but never multiply by grad_out.",
        ),
        "extra_dimensions": (
            lambda g, x, size: expected.maxpool1d_backward(g, x, size)[None],
            "the values are right, but the result has a dimension too many. Its shape is (N,).",
        ),
        "all_zeros": (
            lambda g, x, size: torch.zeros_like(x, memory_format=torch.contiguous_format),
            "your gradient is all zeros: nothing is computed, or nothing is stored.",
        ),
        "shape_of_output": (
            lambda g, x, size: g,
            "you return grad_out itself, with N - size + 1 values. Each of the N inputs has a gradient.",
        ),
        "last_window_missing": (
            lambda g, x, size: expected.maxpool1d_backward(F.pad(g[:-1], (0, 1)), x, size),
            "the last window's gradient is missing: there are N - size + 1 windows, and range() excludes its end.",
        ),
        "reversed": (
            lambda g, x, size: expected.maxpool1d_backward(g, x, size).flip(0),
            "your gradient runs backwards: its first value belongs to x_in[0].",
        ),
    },
    examples=(
        (signal(1, 10), signal(1, 3, 2), 2),
        (signal(1, 10), signal(2, 2, 2), 2),
        (signal(1, 10), signal(-3, -1, -2), 2),
        (signal(1, 10, 100), signal(1, 2, 4, 3), 2),
        (signal(1, 10), signal(2, 1, 2), 2),
        (signal(1, 10), signal(-5, 1, 2), 2),
    ),
)
