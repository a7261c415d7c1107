"""Misconceptions about the forward pass: convolution and max pooling."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pset4.checks.judging import expected
from pset4.checks.judging.expected import correlate
from pset4.checks.judging.functions import CONV1D, MAXPOOL1D, POOL_SIZE
from pset4.checks.misconceptions.table import register_table, signal


def convolve_padded(padded: Tensor, kernel: Tensor) -> Tensor:
    """Convolution without further padding, of a signal that somebody padded already."""
    return correlate(padded, kernel.flip(0), 0)


def half(kernel: Tensor) -> int:
    """The zeros that a right answer adds on each side."""
    return len(kernel) // 2


def pad_like_numpy(x: Tensor, width: int, mode: str) -> Tensor:
    """NumPy's paddings, which wrap or reflect as often as it takes."""
    return torch.from_numpy(np.pad(x.detach().cpu().numpy(), width, mode=mode)).to(x)  # type: ignore[call-overload]


def edges_from(filled: Tensor, kernel: Tensor, edge: Tensor) -> Tensor:
    """`filled` in the middle, and `edge` where the kernel leaves the signal."""
    places = torch.arange(len(filled), device=filled.device)
    inner = (places >= half(kernel)) & (places < len(filled) - half(kernel))
    return torch.where(inner, filled, edge)


def wraps_at_the_left(x: Tensor, kernel: Tensor) -> Tensor:
    """Python's negative indices: the signal's end stands before its beginning."""
    left = x[[n % len(x) if n >= -len(x) else 0 for n in range(-half(kernel), 0)]]
    return convolve_padded(torch.cat([left, x, x.new_zeros(half(kernel))]), kernel)


def full_convolution(x: Tensor, kernel: Tensor) -> Tensor:
    """All N + k - 1 values."""
    return correlate(x, kernel.flip(0), len(kernel) - 1)


def numpy_same(x: Tensor, kernel: Tensor) -> Tensor:
    """NumPy's mode "same": as long as the longer of the two."""
    full = full_convolution(x, kernel)
    start = (min(len(x), len(kernel)) - 1) // 2
    return full[start : start + max(len(x), len(kernel))]


def without_tap(kernel: Tensor, tap: int) -> Tensor:
    """The kernel with one tap set to zero."""
    changed = kernel.clone()
    changed[tap] = 0
    return changed


register_table(
    CONV1D,
    {
        "cross_correlation": (
            lambda x, w: correlate(x, w, half(w)),
            "this is the cross-correlation. A convolution flips the kernel first.",
        ),
        "signal_flipped": (
            lambda x, w: expected.conv1d(x, w).flip(0),
            "the signal runs backwards in your result. Only the kernel is flipped.",
        ),
        "valid_only": (
            lambda x, w: convolve_padded(x, w),
            "you keep only the positions where the whole kernel fits. Pad x_in with (k - 1)/2 zeros on each side, so "
            "that x_out is as long as x_in.",
        ),
        "full_convolution": (
            full_convolution,
            "this is the full convolution with N + k - 1 values. Only its middle N values belong to the layer.",
        ),
        "one_zero_too_many": (
            lambda x, w: correlate(x, w.flip(0), half(w) + 1),
            "x_out is two values too long: (k - 1)/2 zeros on each side are enough.",
        ),
        "edges_repeated": (
            lambda x, w: convolve_padded(pad_like_numpy(x, half(w), "edge"), w),
            "beyond the ends you repeat the first and the last value. The signal is zero there.",
        ),
        "edges_reflected": (
            lambda x, w: convolve_padded(pad_like_numpy(x, half(w), "reflect"), w),
            "beyond the ends you reflect the signal. It is zero there.",
        ),
        "edges_mirrored": (
            lambda x, w: convolve_padded(pad_like_numpy(x, half(w), "symmetric"), w),
            "beyond the ends you mirror the signal. It is zero there.",
        ),
        "circular": (
            lambda x, w: convolve_padded(pad_like_numpy(x, half(w), "wrap"), w),
            "the signal goes on at its other end, as in a circular convolution. It is zero beyond its ends.",
        ),
        "negative_index": (
            wraps_at_the_left,
            "x_in[-1] is the last value in Python. Before the beginning the signal is zero, so leave out the indices "
            "below 0, as you do with those beyond the end.",
        ),
        "padded_with_ones": (
            lambda x, w: convolve_padded(F.pad(x, (half(w), half(w)), value=1.0), w),
            "beyond the ends you put ones. The signal is zero there.",
        ),
        "only_the_past": (
            lambda x, w: full_convolution(x, w)[: len(x)],
            "your kernel is not centred: x_out[n] sees only x_in[n] and what comes before it. m runs from -(k - 1)/2 "
            "to (k - 1)/2, so the padding goes half to the left and half to the right.",
        ),
        "only_the_future": (
            lambda x, w: full_convolution(x, w)[len(w) - 1 :],
            "your kernel is not centred: x_out[n] sees only x_in[n] and what comes after it. m runs from -(k - 1)/2 to "
            "(k - 1)/2, so the padding goes half to the left and half to the right.",
        ),
        "future_not_flipped": (
            lambda x, w: correlate(F.pad(x, (0, len(w) - 1)), w, 0),
            "your kernel is neither centred nor flipped: it begins at n. Put its centre on n, and flip it.",
        ),
        "past_not_flipped": (
            lambda x, w: correlate(F.pad(x, (len(w) - 1, 0)), w, 0),
            "your kernel is neither centred nor flipped: it ends at n. Put its centre on n, and flip it.",
        ),
        "padded_left_only": (
            lambda x, w: convolve_padded(F.pad(x, (half(w), 0)), w),
            "you pad the left end only, so the last values are missing. Pad both ends.",
        ),
        "padded_right_only": (
            lambda x, w: convolve_padded(F.pad(x, (0, half(w))), w),
            "you pad the right end only, so the first values are missing. Pad both ends.",
        ),
        "kernel_not_shifted": (
            lambda x, w: expected.conv1d(x, w.roll(half(w))),
            "you read W[m] as kernel[m], and a negative m counts from the kernel's end. W[m] stands at "
            "kernel[m + (k - 1)/2].",
        ),
        "last_tap_missing": (
            lambda x, w: expected.conv1d(x, without_tap(w, -1)),
            "the kernel's last tap is never used. range() excludes its end: m goes up to (k - 1)/2 itself.",
        ),
        "first_tap_missing": (
            lambda x, w: expected.conv1d(x, without_tap(w, 0)),
            "the kernel's first tap is never used. m begins at -(k - 1)/2.",
        ),
        "last_position_missing": (
            lambda x, w: torch.cat([expected.conv1d(x, w)[:-1], x.new_zeros(1)]),
            "the last value of x_out is never computed. n goes up to N - 1 itself.",
        ),
        "edges_zero": (
            lambda x, w: edges_from(expected.conv1d(x, w), w, torch.zeros_like(x)),
            "you leave zeros in x_out where the kernel leaves the signal. Only x_in is zero there; compute those sums.",
        ),
        "edges_copied": (
            lambda x, w: edges_from(expected.conv1d(x, w), w, x),
            "you copy x_in where the kernel leaves the signal. Take x_in as zero there and compute the sums.",
        ),
        "mean_instead_of_sum": (
            lambda x, w: expected.conv1d(x, w) / len(w),
            "you divide by k. A convolution sums; it does not average.",
        ),
        "kernel_normalised": (
            lambda x, w: expected.conv1d(x, w / w.sum()),
            "you divide by the sum of the kernel. The kernel is used as it is.",
        ),
        "rectified": (
            lambda x, w: expected.conv1d(x, w).relu(),
            "negative values have become zero. The layer ends before the ReLU.",
        ),
        "kernel_ignored": (
            lambda x, w: expected.conv1d(x, torch.ones_like(w)),
            "you sum the window, but never multiply by the kernel.",
        ),
        "extra_dimensions": (
            lambda x, w: expected.conv1d(x, w)[None],
            "the values are right, but x_out has a dimension too many. Its shape is (N,).",
        ),
        "batch_and_channel_kept": (
            lambda x, w: expected.conv1d(x, w)[None, None],
            "the values are right, but x_out has dimensions too many. Its shape is (N,).",
        ),
        "kernel_without_effect": (
            lambda x, w: x.clone(),
            "x_out is x_in itself. Each output is a weighted sum of the inputs round it.",
        ),
        "first_value_alone": (
            lambda x, w: x * w[0],
            "you multiply the signal by the kernel's first value alone. Each output is a weighted sum of the inputs "
            "round it.",
        ),
        "all_zeros": (
            lambda x, w: torch.zeros_like(x),
            "your result is all zeros: nothing is computed, or nothing is stored.",
        ),
        "rounded": (
            lambda x, w: expected.conv1d(x, w).trunc(),
            "your values lose their fractions. Make x_out with the dtype of x_in.",
        ),
        "as_long_as_the_longer": (
            numpy_same,
            "your result is as long as the longer of signal and kernel. It has the length of x_in, also for k > N.",
        ),
    },
    examples=(
        (signal(1, 2, 3), signal(1, 0, -1)),
        (signal(1, 2, 3, 4), signal(1, 2, 4)),
        (signal(1, 2), signal(1, 2, 3, 4, 5)),
        (signal(1, 2, 3), signal(0.5, 0, 0.25)),
    ),
)


def window_maxima(x: Tensor, size: int, *, pad: tuple[int, int] = (0, 0), value: float = 0.0) -> Tensor:
    """Maxima of the padded signal's windows."""
    return expected.maxpool1d(F.pad(x, pad, value=value), size)


def same_padding(size: int) -> tuple[int, int]:
    """What keeps the length."""
    return (size - 1) // 2, size // 2


def indices_of_maxima(x: Tensor, size: int) -> Tensor:
    """torch's own indices of the maxima."""
    return F.max_pool1d(x[None], size, stride=1, return_indices=True)[1][0]


def largest_magnitude(x: Tensor, size: int) -> Tensor:
    """The value with the largest magnitude, with its sign."""
    up, down = expected.maxpool1d(x, size), -expected.maxpool1d(-x, size)
    return torch.where(up.abs() >= down.abs(), up, down)


register_table(
    MAXPOOL1D,
    {
        "starts_from_zero": (
            lambda x, size: expected.maxpool1d(x, size).clamp_min(0),
            "your maximum starts from 0, and 0 wins over negative values. Start from the window's first value, or from "
            "minus infinity.",
        ),
        "divided_by_size": (
            lambda x, size: expected.maxpool1d(x, size) / size,
            "you divide by the window's size. Max pooling takes the plain maximum.",
        ),
        "mean": (
            lambda x, size: F.avg_pool1d(x[None], size, stride=1)[0],
            "this is average pooling. Take the maximum of each window.",
        ),
        "sum": (
            lambda x, size: F.avg_pool1d(x[None], size, stride=1)[0] * size,
            "this is the sum of each window. Take its maximum.",
        ),
        "minimum": (
            lambda x, size: -expected.maxpool1d(-x, size),
            "this is the minimum of each window. Take its maximum.",
        ),
        "magnitudes": (
            lambda x, size: expected.maxpool1d(x.abs(), size),
            "you take absolute values first. The maximum keeps the sign: max(-3, -1) is -1.",
        ),
        "largest_magnitude": (
            largest_magnitude,
            "you pick the value of the largest magnitude. The maximum is the largest value: max(-3, 1) is 1.",
        ),
        "magnitude_of_maximum": (
            lambda x, size: expected.maxpool1d(x, size).abs(),
            "you take the absolute value of the maximum. It keeps its sign.",
        ),
        "positions": (
            indices_of_maxima,
            "these are the positions of the maxima. Return the values that stand there.",
        ),
        "positions_in_window": (
            lambda x, size: indices_of_maxima(x, size) - torch.arange(len(x) - size + 1, device=x.device),
            "these are the positions of the maxima within their windows. Return the values that stand there.",
        ),
        "windows_apart": (
            lambda x, size: F.max_pool1d(x[None], size, stride=size)[0],
            "your windows do not overlap. The stride is 1: the window moves on by one value, and there are "
            "N - size + 1 of them.",
        ),
        "zero_padding": (
            lambda x, size: window_maxima(x, size, pad=same_padding(size)),
            "you pad with zeros, so x_out is too long, and 0 can win over negative values. Use complete windows only.",
        ),
        "padding_to_the_left": (
            lambda x, size: window_maxima(x, size, pad=(size - 1, 0), value=-torch.inf),
            "you also count windows that begin before the signal. Use complete windows only: N - size + 1 of them.",
        ),
        "infinite_padding": (
            lambda x, size: window_maxima(x, size, pad=same_padding(size), value=-torch.inf),
            "you pad to keep the length N. Use complete windows only: N - size + 1 of them.",
        ),
        "windows_run_over_the_end": (
            lambda x, size: window_maxima(x, size, pad=(0, size - 1), value=-torch.inf),
            "your last windows run over the end of the signal. Use complete windows only: N - size + 1 of them.",
        ),
        "last_window_missing": (
            lambda x, size: expected.maxpool1d(x, size)[:-1],
            "the last window is missing: there are N - size + 1, and range() excludes its end.",
        ),
        "first_window_missing": (
            lambda x, size: expected.maxpool1d(x, size)[1:],
            "the first window is missing: it begins at 0.",
        ),
        "window_too_long": (
            lambda x, size: expected.maxpool1d(x, size + 1),
            "your windows hold size + 1 values.",
        ),
        "window_too_short": (
            lambda x, size: expected.maxpool1d(x, size - 1)[: len(x) - size + 1],
            "your windows hold only size - 1 values: the slice x_in[n:n + size] holds size of them.",
        ),
        "ends_of_windows": (
            lambda x, size: torch.maximum(x[: len(x) - size + 1], x[size - 1 :]),
            "you compare only the first and the last value of each window.",
        ),
        "first_of_window": (
            lambda x, size: x[: len(x) - size + 1],
            "you return the first value of each window. Take the maximum of all of them.",
        ),
        "last_of_window": (
            lambda x, size: x[size - 1 :],
            "you return the last value of each window. Take the maximum of all of them.",
        ),
        "running_maximum": (
            lambda x, size: x.cummax(0).values[size - 1 :],
            "this is the maximum of everything so far: values never leave your window.",
        ),
        "maximum_of_the_signal": (
            lambda x, size: x.max().expand(len(x) - size + 1),
            "you return the maximum of the whole signal everywhere. Each window has its own.",
        ),
        "all_zeros": (
            lambda x, size: torch.zeros_like(x[size - 1 :]),
            "your result is all zeros: nothing is computed, or nothing is stored.",
        ),
        "extra_dimensions": (
            lambda x, size: expected.maxpool1d(x, size)[None],
            "the values are right, but x_out has a dimension too many. Its shape is (N - size + 1,).",
        ),
    },
    examples=(
        (signal(3, 1, 2, 5), 2),
        (signal(-3, -1, -2), 2),
        (signal(1, 3, -4, 2), 2),
        (signal(1, 5, 2, 4), 3),
    ),
)

register_table(
    POOL_SIZE,
    {
        "size_off_by_one": (
            lambda n_in, n_out: n_in - n_out,
            "one too small. A window of size 1 changes nothing, so pool_size(N, N) is 1.",
        ),
        "size_off_by_one_more": (
            lambda n_in, n_out: n_in - n_out + 2,
            "one too large. A window of size 1 changes nothing, so pool_size(N, N) is 1.",
        ),
        "size_of_windows_apart": (
            lambda n_in, n_out: n_in // n_out,
            "you divide the lengths, as for windows that do not overlap. With stride 1 each window begins one value "
            "after the one before.",
        ),
        "size_swapped": (
            lambda n_in, n_out: n_out - n_in + 1,
            "you have n_in and n_out the wrong way round.",
        ),
        "size_is_the_output": (
            lambda n_in, n_out: n_out,
            "you return n_out itself. Count how many windows of a size fit into n_in values, and solve for the size.",
        ),
        "size_of_full_padding": (
            lambda n_in, n_out: n_in + n_out - 1,
            "you add the lengths. A longer window leaves fewer positions, not more.",
        ),
    },
    examples=((5, 3), (10, 10)),
)
