"""Exams of problem 3: the matrix of a convolution, its gradients, the update, and max pooling's gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from autograder.exams.exam import Examination, exam
from autograder.exams.inputs import DTYPES, Inputs, form_properties, strided
from autograder.exams.verdict import Property
from pset4.checks.judging.backward import DOWNHILL, SCALED, TIES, judge_rule, judge_update, judge_window
from pset4.checks.judging.functions import (
    CONV1D_BACKWARD_INPUT,
    CONV1D_BACKWARD_KERNEL,
    CONV1D_MATRIX,
    MAXPOOL1D_BACKWARD,
    UPDATE_KERNEL,
)
from pset4.checks.judging.values import (
    SHAPE,
    UNCHANGED,
    Refusal,
    judge,
    judge_devices,
    judge_layouts,
    judge_refusals,
)

DIAGONALS = "each diagonal holds one kernel value"
NOT_TRANSPOSED = "rows hold the flipped kernel"
LONG_KERNEL = "k > N"
ONE_TAP = "k = 1"
KERNEL_ERROR = "ValueError for an even or empty kernel"


@exam(
    "p3a_conv_matrix",
    points=4,
    from_scratch=True,
    seconds=5,
    properties=(
        Property(DIAGONALS, 1.0, "the matrix is constant along its diagonals, and cut off at the signal's ends."),
        Property(
            NOT_TRANSPOSED, 1.0, "multiplied by a signal, the matrix must give its convolution, not its correlation."
        ),
        Property(LONG_KERNEL, 0.5, "a kernel longer than the signal fills the matrix, and the rest of it is cut off."),
        Property(ONE_TAP, 0.25, "a kernel with a single value gives a multiple of the unit matrix.", "edge"),
        *form_properties(shape=0.25, unchanged=0.25, layout=0.25),
        Property(KERNEL_ERROR, 0.5, "an even or empty kernel must raise a ValueError that says so.", "error"),
    ),
)
def conv_matrix_exam(exam: Examination) -> None:
    """Mirror-image kernels show the diagonals, the others their order."""
    inputs = Inputs(exam.random)

    def check(name: str, kernel: Tensor, n: int, where: str = "") -> None:
        judge(exam, CONV1D_MATRIX, name, (kernel, n), where=where)

    for dtype in DTYPES:
        for k in (3, 5):
            check(DIAGONALS, inputs.palindrome(k, dtype), k + inputs.integer(1, 5))
            check(NOT_TRANSPOSED, inputs.kernel(k, dtype), k + inputs.integer(1, 5))
        check(NOT_TRANSPOSED, inputs.kernel(5, dtype), 5, "k = n")
        long_kernel = inputs.kernel if exam.holds(NOT_TRANSPOSED) else inputs.palindrome
        for n, k in ((1, 3), (4, 5), (inputs.integer(2, 3), inputs.odd(9, 11))):
            check(LONG_KERNEL, long_kernel(k, dtype), n, f"n = {n}, k = {k}")
        for n in (inputs.integer(3, 6), 1):
            check(ONE_TAP, inputs.signal(1, dtype), n, f"n = {n}, k = 1")
    kernel = inputs.kernel(3)
    judge_devices(exam, CONV1D_MATRIX, (kernel, 5))
    judge_layouts(
        exam,
        CONV1D_MATRIX,
        (
            ((strided(kernel), 5), "a kernel with a stride of 2"),
            ((inputs.signal(1).expand(3), 5), "an expanded kernel"),
        ),
    )
    judge_refusals(
        exam,
        CONV1D_MATRIX,
        KERNEL_ERROR,
        (
            Refusal((inputs.signal(4), 6), "kernel", "4|even", "an even kernel"),
            Refusal((inputs.signal(0), 6), "kernel", "0|empty|even", "an empty kernel"),
        ),
    )


NOT_FLIPPED = "kernel is not flipped again"
BOUNDARIES = "nothing comes back from beyond the ends"
EVERY_VALUE = "every value of any signal"


@exam(
    "p3a_backward_input",
    points=8,
    from_scratch=True,
    seconds=5,
    properties=(
        Property(
            NOT_FLIPPED, 2.0, "away from the ends, each input collects what all outputs send back that it took part in."
        ),
        Property(BOUNDARIES, 1.5, "near the ends, only outputs that exist send a gradient back."),
        Property(LONG_KERNEL, 1.0, "a kernel longer than the signal is allowed; the gradient still has N values."),
        Property(ONE_TAP, 0.5, "a kernel with a single value scales grad_out.", "edge"),
        Property(EVERY_VALUE, 1.75, "every value must be right: of both signs, constant, long and short."),
        *form_properties(shape=0.5, unchanged=0.5, layout=0.25),
    ),
)
def backward_input_exam(exam: Examination) -> None:
    """The transposed convolution, with inputs as for the convolution."""
    inputs = Inputs(exam.random)

    def check(name: str, grad_out: Tensor, kernel: Tensor, where: str = "", part: slice = slice(None)) -> None:
        arguments = (grad_out, kernel)
        judge(exam, CONV1D_BACKWARD_INPUT, name, arguments, where=where, part=part)

    def kernel_like(k: int, dtype: torch.dtype) -> Tensor:
        return inputs.kernel(k, dtype) if exam.holds(NOT_FLIPPED) else inputs.palindrome(k, dtype)

    for dtype in DTYPES:
        for k in (3, 5, 7):
            n = 2 * k + inputs.integer(2, 5)
            check(NOT_FLIPPED, inputs.signal(n, dtype), inputs.kernel(k, dtype), part=slice(k // 2, n - k // 2))
        for k in (3, inputs.odd(5, 7)):
            check(BOUNDARIES, inputs.signal(k + inputs.integer(1, 6), dtype), kernel_like(k, dtype))
        for n, k in ((1, 3), (4, 5), (inputs.integer(2, 3), inputs.odd(9, 11))):
            check(LONG_KERNEL, inputs.signal(n, dtype), kernel_like(k, dtype), f"N = {n}, k = {k}")
        for n in (inputs.integer(3, 7), 1):
            check(ONE_TAP, inputs.signal(n, dtype), inputs.signal(1, dtype) * 2, f"N = {n}, k = 1")
        check(EVERY_VALUE, inputs.signal(5, dtype), inputs.kernel(5, dtype), "k = N")
        check(EVERY_VALUE, -inputs.signal(8, dtype).abs(), inputs.kernel(3, dtype), "a negative grad_out")
        check(EVERY_VALUE, torch.full((7,), 1.5, dtype=dtype), inputs.kernel(5, dtype), "a constant grad_out")
        check(EVERY_VALUE, inputs.impulse(8, dtype), inputs.kernel(3, dtype), "zeros and a single value")
    check(EVERY_VALUE, inputs.signal(24), inputs.kernel(9), "a long signal")
    grad_out, kernel = inputs.signal(7), inputs.kernel(3)
    judge_devices(exam, CONV1D_BACKWARD_INPUT, (grad_out, kernel))
    judge_layouts(
        exam,
        CONV1D_BACKWARD_INPUT,
        (
            ((strided(grad_out), kernel), "a grad_out with a stride of 2"),
            ((grad_out, strided(kernel)), "a kernel with a stride of 2"),
            ((inputs.signal(1).expand(6), kernel), "an expanded grad_out, as of a sum"),
        ),
    )


SUMS = "sums over all positions"
ORDER = "in the kernel's own order"
ZERO_PADDED = "x_in is zero beyond its ends"


@exam(
    "p3b_backward_kernel",
    points=8,
    from_scratch=True,
    seconds=5,
    properties=(
        Property(SUMS, 2.0, "each tap collects its share of the gradient from all positions."),
        Property(ORDER, 2.0, "entry 0 belongs to W[-(k - 1)/2], as in the kernel."),
        Property(ZERO_PADDED, 1.5, "where n - m leaves the signal, x_in counts as zero; the other taps still count."),
        Property(LONG_KERNEL, 1.0, "a kernel longer than the signal is allowed; taps that never meet it get zero."),
        Property(ONE_TAP, 0.5, "a kernel with a single value has a gradient, too.", "edge"),
        *form_properties(shape=0.5, unchanged=0.25, layout=0.25),
    ),
)
def backward_kernel_exam(exam: Examination) -> None:
    """Values count in either order, except for `ORDER`; signals with quiet ends leave the padding out of it."""
    inputs = Inputs(exam.random)

    def quiet_ends(n: int, k: int, dtype: torch.dtype) -> Tensor:
        signal = inputs.signal(n, dtype)
        signal[: k // 2] = signal[n - k // 2 :] = 0
        return signal

    def check(name: str, grad_out: Tensor, x_in: Tensor, k: int, where: str = "") -> None:
        either = name == SUMS or not exam.holds(ORDER)
        judge(exam, CONV1D_BACKWARD_KERNEL, name, (grad_out, x_in, k), where=where, either_order=either)

    for dtype in DTYPES:
        for k in (3, inputs.odd(5, 7)):
            n = 2 * k + inputs.integer(1, 4)
            grad_out, x_in = quiet_ends(n, k, dtype), quiet_ends(n, k, dtype)
            check(SUMS, grad_out, x_in, k)
            judge(exam, CONV1D_BACKWARD_KERNEL, ORDER, (grad_out, x_in, k))
        for k in (3, inputs.odd(5, 7)):
            n = k + inputs.integer(1, 6)
            check(ZERO_PADDED, inputs.signal(n, dtype), inputs.signal(n, dtype), k)
        check(ZERO_PADDED, inputs.signal(5, dtype), inputs.signal(5, dtype), 5, "k = N")
        for n, k in ((1, 3), (4, 5), (inputs.integer(2, 3), inputs.odd(9, 11))):
            check(LONG_KERNEL, inputs.signal(n, dtype), inputs.signal(n, dtype), k, f"N = {n}, k = {k}")
        for n in (inputs.integer(4, 7), 1):
            check(ONE_TAP, inputs.signal(n, dtype), inputs.signal(n, dtype) * 2, 1, f"N = {n}, k = 1")
    check(ZERO_PADDED, inputs.signal(24), inputs.signal(24), 9, "a long signal")
    grad_out, x_in = inputs.signal(7), inputs.signal(7)
    judge_devices(exam, CONV1D_BACKWARD_KERNEL, (grad_out, x_in, 3))
    judge_layouts(
        exam,
        CONV1D_BACKWARD_KERNEL,
        (
            ((strided(grad_out), x_in, 3), "a grad_out with a stride of 2"),
            ((grad_out, strided(x_in), 3), "an x_in with a stride of 2"),
            ((inputs.signal(1).expand(7), x_in, 3), "an expanded grad_out, as of a sum"),
            ((grad_out, inputs.signal(1).expand(7), 3), "an expanded x_in"),
        ),
    )


@exam(
    "p3b_update",
    points=2,
    seconds=5,
    properties=(
        Property(DOWNHILL, 1.0, "the new kernel lies in the direction of minus the gradient."),
        Property(SCALED, 0.5, "the step is as long as the learning rate times the gradient, and starts at the kernel."),
        Property(SHAPE, 0.25, "the result must have the kernel's shape, dtype and device.", "form"),
        Property(UNCHANGED, 0.25, "your function changes its input in place; return a new kernel.", "form"),
    ),
)
def update_exam(exam: Examination) -> None:
    """Direction and length of the step are judged apart."""
    inputs = Inputs(exam.random)
    for dtype in DTYPES:
        for k, rate in ((1, 0.25), (3, 0.01), (5, 1.5), (7, 0.1)):
            judge_update(exam, inputs.signal(k, dtype), inputs.kernel(k, dtype) * 3, rate)
        judge_update(exam, inputs.signal(3, dtype), torch.zeros(3, dtype=dtype), 0.1)
    arguments = (inputs.signal(3), inputs.signal(3), 0.1)
    judge_devices(exam, UPDATE_KERNEL, arguments)


AT_MAXIMUM = "gradient goes to the maximum"
OVERLAP = "overlapping windows add up"
NEGATIVE = "negative inputs"
SIZE_ONE = "size = 1"
SIZE_N = "size = N"


@exam(
    "p3d_maxpool_backward",
    points=10,
    from_scratch=True,
    seconds=5,
    properties=(
        Property(AT_MAXIMUM, 2.0, "each window's gradient belongs to its maximum, wherever in the window it stands."),
        Property(OVERLAP, 2.5, "an input that is the maximum of several windows gets the sum of their gradients."),
        Property(NEGATIVE, 1.0, "negative inputs have a maximum too, and it gets the gradient."),
        Property(TIES, 1.5, "the shares that a window gives to its equal maxima must be >= 0 and sum to 1.", "edge"),
        Property(SIZE_ONE, 0.5, "windows of one value pass the gradient through.", "edge"),
        Property(SIZE_N, 0.5, "a window as long as the signal gives its gradient to one input.", "edge"),
        Property(EVERY_VALUE, 0.75, "every value must be right: of both signs, long and short."),
        *form_properties(shape=0.5, unchanged=0.5, layout=0.25),
    ),
)
def maxpool_backward_exam(exam: Examination) -> None:
    """Rising and falling signals leave the overlap out of it: there, every window has a maximum of its own."""
    inputs = Inputs(exam.random)

    def check(name: str, x_in: Tensor, size: int, where: str = "") -> None:
        grad_out = inputs.signal(len(x_in) - size + 1, x_in.dtype)
        judge(exam, MAXPOOL1D_BACKWARD, name, (grad_out, x_in, size), where=where)

    for dtype in DTYPES:
        for size in (2, 3, inputs.integer(4, 5)):
            rising = inputs.distinct(size + inputs.integer(3, 6), dtype).abs().sort().values + 1
            check(AT_MAXIMUM, rising, size, "a rising signal")
            check(AT_MAXIMUM, rising.flip(0).contiguous(), size, "a falling signal")
            check(NEGATIVE, -rising, size, "a falling signal below zero")
            check(NEGATIVE, -rising.flip(0), size, "a rising signal below zero")
            check(OVERLAP, inputs.distinct(size + inputs.integer(4, 8), dtype).abs() * 3 + 1, size)
            check(OVERLAP, peak(size, dtype), size, "a single peak")
        check(SIZE_ONE, inputs.distinct(inputs.integer(3, 6), dtype).abs() + 1, 1, "size = 1")
        check(SIZE_ONE, inputs.signal(1, dtype).abs(), 1, "N = 1")
        for n in (2, inputs.integer(4, 7)):
            for place in (0, 1, n - 1):  # wherever the maximum stands: a fixed place must not find it by luck
                check(SIZE_N, inputs.largest_at(place, n, dtype), n, "size = N")
        if exam.holds(OVERLAP):
            check(NEGATIVE, -inputs.distinct(10, dtype).abs() * 3 - 1, 3, "negative inputs")
        both_signs = inputs.distinct(12, dtype)
        both_signs[:5] = -both_signs[:5].abs() - 0.125  # at least one window without a positive value
        check(EVERY_VALUE, both_signs, inputs.integer(2, 4), "inputs of both signs")
    check(EVERY_VALUE, inputs.distinct(64), 5, "a long signal")
    judge_ties(exam, inputs)
    grad_out, x_in = inputs.signal(6), inputs.distinct(8)
    judge_devices(exam, MAXPOOL1D_BACKWARD, (grad_out, x_in, 3))
    judge_layouts(
        exam,
        MAXPOOL1D_BACKWARD,
        (
            ((strided(grad_out), x_in, 3), "a grad_out with a stride of 2"),
            ((grad_out, strided(x_in), 3), "an x_in with a stride of 2"),
            ((inputs.signal(1).expand(6), x_in, 3), "an expanded grad_out, as of a sum"),
            ((grad_out, inputs.signal(1).expand(8), 3), "an expanded x_in"),
        ),
    )


def peak(size: int, dtype: torch.dtype) -> Tensor:
    """One value that is the maximum of all `size` windows that hold it."""
    distance = (torch.arange(2 * size - 1) - (size - 1)).abs().to(dtype)
    return size + 1 - distance + torch.arange(2 * size - 1).to(dtype) / (8 * size)


def judge_ties(exam: Examination, inputs: Inputs) -> None:
    """Ties, by any rule: a window alone first; then, where overlaps add up, window by window and all together."""

    def gradient(x_in: Tensor, size: int) -> Tensor:
        return inputs.signal(len(x_in) - size + 1, x_in.dtype)

    for dtype in DTYPES:
        for x_in in (torch.full((4,), 1.5, dtype=dtype), torch.tensor([2.0, 3.0, 1.0, 3.0, 1.0], dtype=dtype)):
            judge_window(exam, gradient(x_in, len(x_in)), x_in)
        if exam.holds(OVERLAP):
            equal, several = torch.full((5,), -1.0, dtype=dtype), torch.tensor([1.0, 3, 3, 2, 3, 0], dtype=dtype)
            judge_rule(exam, gradient(equal, 2), equal, 2)
            judge_rule(exam, gradient(several, 3), several, 3)
