"""Exams of problem 1: the forward pass of a convolution layer and of max pooling, from scratch."""

from __future__ import annotations

import torch

from autograder.exams.exam import Examination, exam
from autograder.exams.inputs import DTYPES, Inputs, form_properties, strided
from autograder.exams.verdict import Kind, Property
from pset4.checks.judging.functions import CONV1D, MAXPOOL1D, POOL_SIZE
from pset4.checks.judging.values import (
    Refusal,
    judge,
    judge_devices,
    judge_integer,
    judge_layouts,
    judge_refusals,
)

FLIPPED = "kernel is flipped"
PADDED = "zeros beyond both ends"
LONG_KERNEL = "k > N"
ONE_TAP = "k = 1"
EVERY_VALUE = "every value of any signal"
KERNEL_ERROR = "ValueError for an even or empty kernel"
SIGNAL_ERROR = "ValueError for an empty or 2-D x_in"


@exam(
    "p1a_conv1d",
    points=6,
    from_scratch=True,
    seconds=5,
    properties=(
        Property(
            FLIPPED,
            1.5,
            "away from the ends, each output must be the convolution's, not the correlation's.",
        ),
        Property(PADDED, 1.25, "near both ends, x_in counts as zero beyond its first and last value."),
        Property(LONG_KERNEL, 0.75, "a kernel longer than the signal is allowed; x_out still has N values."),
        Property(ONE_TAP, 0.5, "a kernel with a single value scales the signal, also one of a single value.", "edge"),
        Property(EVERY_VALUE, 0.75, "every value must be right: positive and negative, constant, long and short."),
        *form_properties(shape=0.25, unchanged=0.25, layout=0.25),
        Property(KERNEL_ERROR, 0.25, "an even or empty kernel must raise a ValueError that says so.", "error"),
        Property(SIGNAL_ERROR, 0.25, "an x_in that is empty or not 1-D must raise a ValueError that says so.", "error"),
    ),
)
def conv1d_exam(exam: Examination) -> None:
    """Each property has inputs of its own: mirror-image kernels where the flip is not the question."""
    inputs = Inputs(exam.random)

    def check(name: str, x_in: torch.Tensor, kernel: torch.Tensor, where: str = "", part: slice = slice(None)) -> None:
        judge(exam, CONV1D, name, (x_in, kernel), where=where, part=part)

    def kernel_like(k: int, dtype: torch.dtype) -> torch.Tensor:
        return inputs.kernel(k, dtype) if exam.holds(FLIPPED) else inputs.palindrome(k, dtype)

    for dtype in DTYPES:
        for k in (3, 5, 7):
            n = 2 * k + inputs.integer(2, 5)
            check(FLIPPED, inputs.signal(n, dtype), inputs.kernel(k, dtype), part=slice(k // 2, n - k // 2))
        for k in (3, inputs.odd(5, 7)):
            check(PADDED, inputs.signal(k + inputs.integer(1, 6), dtype), kernel_like(k, dtype))
        for n, k in ((1, 3), (4, 5), (inputs.integer(2, 3), inputs.odd(9, 11))):
            check(LONG_KERNEL, inputs.signal(n, dtype), kernel_like(k, dtype), f"N = {n}, k = {k}")
        for n in (inputs.integer(3, 7), 1):
            check(ONE_TAP, inputs.signal(n, dtype), inputs.signal(1, dtype), f"N = {n}, k = 1")
        check(EVERY_VALUE, inputs.signal(5, dtype), inputs.kernel(5, dtype), "k = N")
        check(EVERY_VALUE, -inputs.signal(8, dtype).abs(), inputs.kernel(3, dtype), "a negative signal")
        check(EVERY_VALUE, torch.full((7,), 1.5, dtype=dtype), inputs.kernel(5, dtype), "a constant signal")
        check(EVERY_VALUE, inputs.impulse(8, dtype), inputs.kernel(3, dtype), "zeros and a single value")
    check(EVERY_VALUE, inputs.signal(32), inputs.kernel(9), "a long signal")
    x_in, kernel = inputs.signal(7), inputs.kernel(3)
    judge_devices(exam, CONV1D, (x_in, kernel))
    judge_layouts(
        exam,
        CONV1D,
        (
            ((strided(x_in), kernel), "an x_in with a stride of 2"),
            ((x_in, strided(kernel)), "a kernel with a stride of 2"),
            ((inputs.signal(1).expand(6), kernel), "an expanded x_in"),
            ((x_in, inputs.signal(1).expand(3)), "an expanded kernel"),
        ),
    )
    judge_refusals(
        exam,
        CONV1D,
        KERNEL_ERROR,
        (
            Refusal((x_in, inputs.signal(4)), "kernel", "4|even", "an even kernel"),
            Refusal((x_in, inputs.signal(0)), "kernel", "0|empty|even", "an empty kernel"),
        ),
    )
    judge_refusals(
        exam,
        CONV1D,
        SIGNAL_ERROR,
        (
            Refusal((inputs.signal(0), kernel), "x_in|signal|input", "0|empty", "an empty x_in"),
            Refusal((inputs.signal(6).view(2, 3), kernel), "x_in|signal|input", "2", "a 2-D x_in"),
        ),
    )


WINDOW_SIZE = "pool_size"
POOL_SIZE_ERROR = "pool_size: ValueError for an n_out outside 1..n_in"
MAXIMUM = "maximum of each window"
COMPLETE = "one value for each complete window"
NEGATIVE = "negative inputs"
SIZE_ONE = "size = 1"
SIZE_N = "size = N"
TIES = "equal values"
SIZE_ERROR = "ValueError for a size outside 1..N"


def of_maxpool1d(name: str, points: float, missed: str, kind: Kind = "value") -> Property:
    """A property of the second function of `p1b_maxpool1d`."""
    return Property(name, points, missed, kind, MAXPOOL1D.name)


@exam(
    "p1b_maxpool1d",
    points=6,
    from_scratch=True,
    seconds=5,
    properties=(
        Property(
            WINDOW_SIZE,
            1.0,
            "the window's size must turn n_in values into n_out with stride 1.",
            function=POOL_SIZE.name,
        ),
        of_maxpool1d(MAXIMUM, 1.5, "each value must be the plain maximum of its window."),
        of_maxpool1d(NEGATIVE, 1.0, "the maximum of negative inputs is negative; no 0 and no padding may win."),
        of_maxpool1d(SIZE_ONE, 0.25, "windows of one value return the signal.", "edge"),
        of_maxpool1d(SIZE_N, 0.25, "a window as long as the signal returns its maximum, alone.", "edge"),
        of_maxpool1d(TIES, 0.25, "equal values in a window change nothing: their value is the maximum.", "edge"),
        of_maxpool1d(COMPLETE, 0.5, "there are N - size + 1 complete windows, no more and no fewer.", "form"),
        of_maxpool1d(SIZE_ERROR, 0.25, "there is no such window: raise a ValueError that says so.", "error"),
        *form_properties(shape=0.25, unchanged=0.25, layout=0.25, function=MAXPOOL1D.name),
        Property(
            POOL_SIZE_ERROR, 0.25, "there is no window for such an n_out: raise a ValueError.", "error", POOL_SIZE.name
        ),
    ),
)
def maxpool1d_exam(exam: Examination) -> None:
    """`pool_size` first, then the pooling on signals that take its traps one by one."""
    inputs = Inputs(exam.random)
    pool_size_exam(exam, inputs)

    def check(name: str, x_in: torch.Tensor, size: int, where: str = "") -> None:
        # A window as long as the signal leaves one value: there, a wrong number of values is wrong.
        strict = name == SIZE_N
        judge(exam, MAXPOOL1D, name, (x_in, size), where=where, length=COMPLETE, strict=strict)

    for dtype in DTYPES:
        for size in (2, 3, inputs.integer(4, 6)):
            check(MAXIMUM, inputs.distinct(size + inputs.integer(2, 8), dtype).abs() + 1, size)
            check(NEGATIVE, -inputs.distinct(size + inputs.integer(2, 6), dtype).abs() - 1, size, "negative inputs")
        check(NEGATIVE, inputs.distinct(9, dtype), inputs.integer(2, 4), "inputs of both signs")
        check(SIZE_ONE, inputs.distinct(inputs.integer(4, 7), dtype).abs() + 1, 1, "size = 1")
        check(SIZE_ONE, inputs.signal(1, dtype).abs() + 1, 1, "N = 1")
        n = inputs.integer(3, 6)
        for place in (0, 1, n - 1):  # wherever the maximum stands: a window that is cut short must not find it by luck
            check(SIZE_N, inputs.largest_at(place, n, dtype), n, "size = N")
        check(TIES, torch.full((6,), 2.5, dtype=dtype), 3, "a constant signal")
        check(TIES, torch.tensor([1.0, 3.0, 3.0, 2.0, 3.0, 2.0], dtype=dtype), 2, "equal values")
    check(MAXIMUM, inputs.distinct(64).abs() + 1, 5)
    x_in = inputs.distinct(8)
    judge_devices(exam, MAXPOOL1D, (x_in, 3))
    judge_layouts(
        exam,
        MAXPOOL1D,
        (
            ((strided(x_in), 3), "an x_in with a stride of 2"),
            ((inputs.signal(1).expand(6), 2), "an expanded x_in"),
        ),
    )
    judge_refusals(
        exam,
        MAXPOOL1D,
        SIZE_ERROR,
        (Refusal((x_in, 0), "size", "0", "size = 0"), Refusal((x_in, 9), "size", "9", "a size above N")),
    )


def pool_size_exam(exam: Examination, inputs: Inputs) -> None:
    """The window's size, and what has none."""
    n = inputs.integer(20, 40)
    for n_in, n_out in ((n, n - inputs.integer(3, 9)), (n, n), (n, 1), (1, 1), (n, inputs.integer(3, 6))):
        judge_integer(exam, POOL_SIZE, WINDOW_SIZE, (n_in, n_out), n_in - n_out + 1)
    judge_refusals(
        exam,
        POOL_SIZE,
        POOL_SIZE_ERROR,
        (
            Refusal((7, 0), "n_out|n_in", "0", "n_out = 0"),
            Refusal((7, 8), "n_out|n_in", "8", "an n_out above n_in"),
        ),
    )
