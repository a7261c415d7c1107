"""Misconceptions about the backward pass: the convolution's matrix and gradients, and the update."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pset4.checks.judging import expected
from pset4.checks.judging.expected import correlate, vector_jacobian
from pset4.checks.judging.functions import (
    CONV1D_BACKWARD_INPUT,
    CONV1D_BACKWARD_KERNEL,
    CONV1D_MATRIX,
    UPDATE_KERNEL,
)
from pset4.checks.judging.registry import Imitation
from pset4.checks.misconceptions import problem1
from pset4.checks.misconceptions.problem1 import convolve_padded, edges_from, half, pad_like_numpy, without_tap
from pset4.checks.misconceptions.table import register_table, signal


def matrix_of(layer: Imitation, kernel: Tensor, n: int) -> Tensor:
    """The matrix of any linear layer: its columns are what the layer makes of the unit vectors."""
    units = torch.eye(n, dtype=kernel.dtype, device=kernel.device)
    return torch.stack([layer(unit, kernel) for unit in units], dim=1)


def matrix_imitation(layer: Imitation) -> Imitation:
    """Imitates a student whose matrix belongs to another layer."""
    return lambda kernel, n: matrix_of(layer, kernel, n)


def convolve_rows(signals: Tensor, kernel: Tensor) -> Tensor:
    """The matrix whose columns are the convolved rows of `signals`, without padding."""
    return F.conv1d(signals[:, None], kernel.flip(0)[None, None])[:, 0].T


def rows_where_all_fits(kernel: Tensor, n: int) -> Tensor:
    """The matrix without the rows in which the kernel leaves the signal."""
    whole, width = expected.conv1d_matrix(kernel, n), half(kernel)
    rows = torch.arange(n, device=kernel.device)[:, None]
    return torch.where((rows >= width) & (rows < n - width), whole, 0)


register_table(
    CONV1D_MATRIX,
    {
        "transposed": (
            lambda w, n: expected.conv1d_matrix(w, n).T,
            "this is the matrix of the cross-correlation, which does not flip the kernel. Compare a row of it with the "
            "worked example.",
        ),
        "circulant": (
            matrix_imitation(lambda x, w: convolve_padded(pad_like_numpy(x, half(w), "wrap"), w)),
            "the kernel comes back in at the other side of a row. The signal is zero beyond its ends: cut it off.",
        ),
        "negative_index": (
            matrix_imitation(problem1.wraps_at_the_left),
            "a negative column index counts from the end in Python, so the kernel comes back in at the right side. "
            "Cut it off there.",
        ),
        "edges_repeated": (
            matrix_imitation(lambda x, w: convolve_padded(pad_like_numpy(x, half(w), "edge"), w)),
            "in the first and last rows the weights beyond the ends are added to the outer columns. They multiply "
            "zeros: leave them out.",
        ),
        "lower_triangle": (
            matrix_imitation(lambda x, w: problem1.full_convolution(x, w)[: len(x)]),
            "your kernel starts on the diagonal. Its centre, W[0] = kernel[(k - 1)/2], belongs there.",
        ),
        "upper_triangle": (
            matrix_imitation(lambda x, w: problem1.full_convolution(x, w)[len(w) - 1 :]),
            "your kernel ends on the diagonal. Its centre, W[0] = kernel[(k - 1)/2], belongs there.",
        ),
        "kernel_not_shifted": (
            lambda w, n: expected.conv1d_matrix(w.roll(half(w)), n),
            "you read W[m] as kernel[m], and a negative m counts from the kernel's end. W[m] stands at "
            "kernel[m + (k - 1)/2].",
        ),
        "valid_rows_only": (
            lambda w, n: expected.conv1d_matrix(w, n)[half(w) : max(half(w), n - half(w))],
            "rows are missing: the matrix has n rows, also those in which the kernel leaves the signal.",
        ),
        "full_matrix": (
            matrix_imitation(problem1.full_convolution),
            "there are rows too many: this is the full convolution with n + k - 1 outputs.",
        ),
        "padded_columns": (
            lambda w, n: convolve_rows(torch.eye(n + 2 * half(w), dtype=w.dtype, device=w.device), w),
            "you have columns for the padding too. It is zero, so the matrix needs only the n columns of x_in.",
        ),
        "edge_rows_zero": (
            rows_where_all_fits,
            "the first and the last rows are empty. Also there the part of the kernel that meets the signal counts.",
        ),
        "last_tap_missing": (
            lambda w, n: expected.conv1d_matrix(without_tap(w, -1), n),
            "the kernel's last tap is never used. range() excludes its end.",
        ),
        "first_tap_missing": (
            lambda w, n: expected.conv1d_matrix(without_tap(w, 0), n),
            "the kernel's first tap is never used. m begins at -(k - 1)/2.",
        ),
        "upside_down": (
            lambda w, n: expected.conv1d_matrix(w, n).flip(0),
            "the rows stand in the wrong order: the first row gives x_out[0].",
        ),
        "left_right": (
            lambda w, n: expected.conv1d_matrix(w, n).flip(1),
            "the columns stand in the wrong order: the first column multiplies x_in[0].",
        ),
        "centre_alone": (
            lambda w, n: w[len(w) // 2] * torch.eye(n, dtype=w.dtype, device=w.device),
            "only the kernel's centre stands in your matrix. The other values have diagonals of their own.",
        ),
        "all_zeros": (
            lambda w, n: w.new_zeros(n, n),
            "your matrix is all zeros: nothing is computed, or nothing is stored.",
        ),
        "mean_instead_of_sum": (
            lambda w, n: expected.conv1d_matrix(w, n) / len(w),
            "you divide by k. A convolution sums; it does not average.",
        ),
    },
    examples=((signal(1, 2, 4), 3), (signal(1, 2, 4), 4), (signal(1, 2, 3, 4, 5), 2)),
)


def last_contribution(grad_out: Tensor, kernel: Tensor) -> Tensor:
    """What the last output leaves on each input: n = i + (k - 1)/2, or the signal's last."""
    last = (torch.arange(len(grad_out), device=grad_out.device) + half(kernel)).clamp_max(len(grad_out) - 1)
    rows = expected.conv1d_matrix(kernel, len(grad_out))[last].diagonal()
    return rows * grad_out[last]


register_table(
    CONV1D_BACKWARD_INPUT,
    {
        "flipped_again": (
            expected.conv1d,
            "you apply the forward convolution once more. The gradient goes back the way that the values came: "
            "through the transposed matrix.",
        ),
        "valid_only": (
            lambda g, w: correlate(g, w, 0),
            "your gradient is shorter than x_in. Every input has one: pad grad_out with (k - 1)/2 zeros on each side.",
        ),
        "full": (
            lambda g, w: correlate(g, w, len(w) - 1),
            "your gradient is longer than x_in: it also has values for the padding. Only the middle N belong to x_in.",
        ),
        "edges_repeated": (
            lambda g, w: correlate(pad_like_numpy(g, half(w), "edge"), w, 0),
            "beyond its ends you repeat grad_out. There are no outputs there, so nothing comes back from there.",
        ),
        "circular": (
            lambda g, w: correlate(pad_like_numpy(g, half(w), "wrap"), w, 0),
            "grad_out goes on at its other end, as for a circular convolution. There are no outputs beyond the ends.",
        ),
        "negative_index": (
            lambda g, w: problem1.wraps_at_the_left(g, w.flip(0)),
            "grad_out[-1] is the last value in Python. Leave out the indices below 0.",
        ),
        "only_the_past": (
            lambda g, w: correlate(F.pad(g, (len(w) - 1, 0)), w, 0),
            "your kernel is not centred: input i is given gradients only from outputs up to i. It also takes part in "
            "outputs after it.",
        ),
        "only_the_future": (
            lambda g, w: correlate(F.pad(g, (0, len(w) - 1)), w, 0),
            "your kernel is not centred: input i is given gradients only from outputs from i on. It also takes part in "
            "outputs before it.",
        ),
        "kernel_not_shifted": (
            lambda g, w: expected.conv1d_backward_input(g, w.roll(half(w))),
            "you read W[m] as kernel[m], and a negative m counts from the kernel's end. W[m] stands at "
            "kernel[m + (k - 1)/2].",
        ),
        "edges_zero": (
            lambda g, w: edges_from(expected.conv1d_backward_input(g, w), w, torch.zeros_like(g)),
            "inputs near the ends get no gradient. They take part in fewer outputs, but they do take part.",
        ),
        "edges_copied": (
            lambda g, w: edges_from(expected.conv1d_backward_input(g, w), w, g),
            "near the ends you copy grad_out. Sum over the outputs that each input takes part in.",
        ),
        "kernel_sum": (
            lambda g, w: g * w.sum(),
            "you multiply grad_out[n] by the sum of the kernel. Each input takes part in k different outputs, with a "
            "different weight in each.",
        ),
        "centre_only": (
            lambda g, w: g * w[half(w)],
            "you pass on only the gradient of the output at the same position. Each input takes part in k outputs.",
        ),
        "passed_through": (
            lambda g, w: g,
            "you return grad_out itself. The kernel weights what comes back.",
        ),
        "mean_instead_of_sum": (
            lambda g, w: expected.conv1d_backward_input(g, w) / len(w),
            "you divide by k. Contributions of several outputs add up.",
        ),
        "divided_by_length": (
            lambda g, w: expected.conv1d_backward_input(g, w) / len(g),
            "you divide by N. C is one number already: nothing is averaged.",
        ),
        "wrong_sign": (
            lambda g, w: -expected.conv1d_backward_input(g, w),
            "the sign is wrong. The gradient is asked for; the minus belongs to the descent.",
        ),
        "reversed": (
            lambda g, w: expected.conv1d_backward_input(g, w).flip(0),
            "your gradient runs backwards: its first value belongs to x_in[0].",
        ),
        "overwritten": (
            lambda g, w: last_contribution(g, w),
            "only one output's share is left on each input. Contributions of several outputs add up: += in place of =.",
        ),
        "extra_dimensions": (
            lambda g, w: expected.conv1d_backward_input(g, w)[None],
            "the values are right, but the result has a dimension too many. Its shape is (N,).",
        ),
        "all_zeros": (
            lambda g, w: torch.zeros_like(g),
            "your gradient is all zeros: nothing is computed, or nothing is stored.",
        ),
        "last_tap_missing": (
            lambda g, w: expected.conv1d_backward_input(g, without_tap(w, -1)),
            "the kernel's last tap is never used. range() excludes its end.",
        ),
        "first_tap_missing": (
            lambda g, w: expected.conv1d_backward_input(g, without_tap(w, 0)),
            "the kernel's first tap is never used. m begins at -(k - 1)/2.",
        ),
    },
    examples=((signal(1, 2, 3), signal(1, 2, 4)), (signal(1, 2), signal(1, 2, 3, 4, 5))),
)


def kernel_gradient_of(layer: Imitation) -> Imitation:
    """Imitates a student who differentiates another layer with respect to its kernel."""
    return lambda g, x, k: vector_jacobian(lambda kernel: layer(x, kernel), x.new_zeros(k), g)


def cut(x: Tensor, kernel_size: int) -> Tensor:
    """The signal with its ends cut off where the kernel would leave it."""
    width = kernel_size // 2
    return x[width : len(x) - width]


def inner_sum(g: Tensor, x: Tensor, k: int) -> Tensor:
    """The sum over those outputs for which the whole kernel meets the signal."""
    if len(x) < k:
        return x.new_zeros(k)
    return correlate(x, cut(g, k), 0).flip(0)


def lags_from_zero(g: Tensor, x: Tensor, k: int) -> Tensor:
    """Lags 0 .. k - 1 in place of those round zero."""
    return correlate(F.pad(x, (k - 1, 0)), g, 0).flip(0)


register_table(
    CONV1D_BACKWARD_KERNEL,
    {
        "reversed": (
            lambda g, x, k: expected.conv1d_backward_kernel(g, x, k).flip(0),
            "the values are right, but they stand in the reverse order. kernel[0] holds W[-(k - 1)/2], so its "
            "gradient comes first.",
        ),
        "inner_positions_only": (
            inner_sum,
            "you leave out the outputs near the ends. There the kernel leaves the signal, but its other taps still "
            "count: pad x_in with zeros.",
        ),
        "inner_positions_reversed": (
            lambda g, x, k: inner_sum(g, x, k).flip(0),
            "you leave out the outputs near the ends, and the order is reversed. Pad x_in with zeros; kernel[0] holds "
            "W[-(k - 1)/2].",
        ),
        "circular": (
            kernel_gradient_of(lambda x, w: convolve_padded(pad_like_numpy(x, half(w), "wrap"), w)),
            "x_in goes on at its other end. It is zero beyond its ends.",
        ),
        "edges_repeated": (
            kernel_gradient_of(lambda x, w: convolve_padded(pad_like_numpy(x, half(w), "edge"), w)),
            "beyond its ends you repeat x_in. It is zero there.",
        ),
        "negative_index": (
            kernel_gradient_of(problem1.wraps_at_the_left),
            "x_in[-1] is the last value in Python. Leave out the indices below 0.",
        ),
        "lags_from_zero": (
            lags_from_zero,
            "your taps run from 0 to k - 1. m runs from -(k - 1)/2 to (k - 1)/2.",
        ),
        "mean_over_positions": (
            lambda g, x, k: expected.conv1d_backward_kernel(g, x, k) / len(x),
            "you take the mean over n. The kernel is shared by all positions, so their gradients add up.",
        ),
        "divided_by_kernel_size": (
            lambda g, x, k: expected.conv1d_backward_kernel(g, x, k) / k,
            "you divide by k. The gradients of all positions add up; nothing is averaged.",
        ),
        "wrong_sign": (
            lambda g, x, k: -expected.conv1d_backward_kernel(g, x, k),
            "the sign is wrong. The gradient is asked for; the minus belongs to the update.",
        ),
        "same_for_all_taps": (
            lambda g, x, k: (g @ x).expand(k),
            "every tap gets the same value. Each tap meets the signal at another place.",
        ),
        "last_position_only": (
            lambda g, x, k: x.new_zeros(k) + g[-1] * F.pad(x, (k // 2, k // 2))[len(x) - 1 :].flip(0),
            "only the last position counts in your sum: did you write = where += belongs?",
        ),
        "sums_multiplied": (
            lambda g, x, k: (g.sum() * x.sum()).expand(k),
            "you multiply the sum of grad_out by the sum of x_in. Multiply at each position first, then sum.",
        ),
        "grad_out_ignored": (
            lambda g, x, k: expected.conv1d_backward_kernel(torch.ones_like(g), x, k),
            "you sum x_in, but never multiply by grad_out.",
        ),
        "extra_dimensions": (
            lambda g, x, k: expected.conv1d_backward_kernel(g, x, k)[None],
            "the values are right, but the result has a dimension too many. Its shape is (k,).",
        ),
        "all_zeros": (
            lambda g, x, k: x.new_zeros(k),
            "your gradient is all zeros: nothing is computed, or nothing is stored.",
        ),
        "last_tap_missing": (
            lambda g, x, k: without_tap(expected.conv1d_backward_kernel(g, x, k), -1),
            "the last tap gets no gradient. range() excludes its end.",
        ),
        "first_tap_missing": (
            lambda g, x, k: without_tap(expected.conv1d_backward_kernel(g, x, k), 0),
            "the first tap gets no gradient. m begins at -(k - 1)/2.",
        ),
        "all_lags": (
            lambda g, x, k: correlate(F.pad(x, (len(x) - 1, len(x) - 1)), g, 0).flip(0),
            "you return all 2N - 1 shifts. The kernel has only the k in the middle.",
        ),
    },
    examples=((signal(1, 0, 2), signal(1, 2, 3), 3), (signal(1, 0, 2, 1), signal(3, 1, 2, 5), 3)),
)

register_table(
    UPDATE_KERNEL,
    {
        "uphill": (
            lambda w, g, rate: w + rate * g,
            "you walk uphill: the cost grows along the gradient. Subtract it.",
        ),
        "no_learning_rate": (
            lambda w, g, rate: w - g,
            "the learning rate has no effect. It scales the step.",
        ),
        "divided_by_learning_rate": (
            lambda w, g, rate: w - g / rate,
            "you divide by the learning rate. A small rate means a small step.",
        ),
        "step_only": (
            lambda w, g, rate: rate * g,
            "you return the step itself. Return the kernel after the step.",
        ),
        "downhill_step_only": (
            lambda w, g, rate: -rate * g,
            "you return the step itself. Return the kernel after the step.",
        ),
        "nothing_changed": (
            lambda w, g, rate: w,
            "the kernel comes back unchanged.",
        ),
        "turned_round": (
            lambda w, g, rate: rate * g - w,
            "the sign of the whole result is wrong: the kernel minus the step, not the step minus the kernel.",
        ),
        "sign_only": (
            lambda w, g, rate: w - rate * g.sign(),
            "every tap moves by the same amount: you use only the gradient's sign.",
        ),
        "normalised_gradient": (
            lambda w, g, rate: w - rate * F.normalize(g, dim=0),
            "you divide the gradient by its length. Plain gradient descent uses it as it is.",
        ),
        "normalised_without_guard": (
            lambda w, g, rate: w - rate * g / g.norm(),
            "you divide the gradient by its length. Plain gradient descent uses it as it is; and a gradient of zero "
            "makes NaN of your kernel.",
        ),
        "reversed_gradient": (
            lambda w, g, rate: w - rate * g.flip(0),
            "you flip the gradient first. It stands in the kernel's own order.",
        ),
        "multiplied": (
            lambda w, g, rate: w - rate * w * g,
            "you multiply the kernel by (1 - learning_rate * gradient). The step is added to the kernel.",
        ),
        "divided_by_kernel_size": (
            lambda w, g, rate: w - rate * g / len(g),
            "you divide the step by k.",
        ),
        "decayed": (
            lambda w, g, rate: w * (1 - rate) - rate * g,
            "you also shrink the kernel itself, as weight decay does. Only the gradient moves it.",
        ),
    },
    examples=((signal(1, 2, 3), signal(10, 0, -20), 0.1),),
)
