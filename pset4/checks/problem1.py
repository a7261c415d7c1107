"""Visible checks of problem 1."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pset4.checks.judging.expected import SIZES
from pset4.checks.judging.functions import CONV1D, MAXPOOL1D, POOL_SIZE
from pset4.checks.judging.values import Refusal, judge_integer
from pset4.checks.misconceptions.table import signal
from pset4.checks.public import VALUES, Case, demand_functions, judge_cases, visible_check
from pset4.checks.stages.staged import staged

SHORT = signal(1, 2, 3)
LONGER = signal(3, -1, 4, 1, -5, 9, 2, -6)
EDGE = signal(1, 0, -1)
UNEVEN = signal(2, 1, -1.5, 0.5, 4)


def spaced(x: Tensor) -> Tensor:
    """The same values with a stride of 2."""
    return x.repeat_interleave(2)[::2]


CONV1D_CASES: tuple[Case, ...] = (
    ((SHORT, EDGE), ""),
    ((LONGER, signal(1, 2, 4)), ""),
    ((LONGER.double() / 3, UNEVEN.double() / 7), "float64"),
    ((SHORT, signal(0.5, 0, 0.25)), ""),
    ((LONGER, UNEVEN), ""),
    ((signal(2, -1, 3, 1, 4), UNEVEN), "k = N"),
    ((LONGER, signal(2.5)), "k = 1"),
    ((signal(2), signal(3)), "N = 1 and k = 1"),
    ((signal(2), signal(3, 5, 7)), "k > N"),
    ((signal(1, 2), signal(1, 2, 3, 4, 5)), "k > N"),
    ((signal(1, 2), signal(1, 2, 3, 4, 5, 6, 7)), "k > N"),
)
CONV1D_LAYOUTS: tuple[Case, ...] = (
    ((signal(2).expand(6), EDGE), "an expanded x_in"),
    ((spaced(LONGER), spaced(signal(1, 2, 4))), "inputs with a stride of 2"),
)
CONV1D_REFUSALS = (
    Refusal((SHORT, signal(1, 2)), "kernel", "2|even", "an even kernel"),
    Refusal((SHORT, signal()), "kernel", "0|empty|even", "an empty kernel"),
    Refusal((signal(), EDGE), "x_in|signal|input", "0|empty", "an empty x_in"),
    Refusal((LONGER.view(2, 4), EDGE), "x_in|signal|input", "2", "a 2-D x_in"),
)
MAXPOOL1D_CASES: tuple[Case, ...] = (
    ((signal(3, 1, 2, 5), 2), ""),
    ((signal(-3, -1, -2), 2), "negative inputs"),
    ((LONGER, 3), ""),
    ((LONGER.double() / 3, 4), "float64"),
    ((signal(1, 3, -4, 2, 0.5), 3), ""),
    ((-LONGER.abs(), 3), "negative inputs"),
    ((LONGER, 1), "size = 1"),
    ((signal(7), 1), "N = 1"),
    ((signal(2, 7, 1), 3), "size = N"),
    ((signal(2, 2, 2, 2), 2), "a constant signal"),
)
MAXPOOL1D_LAYOUTS: tuple[Case, ...] = (
    ((signal(2).expand(5), 2), "an expanded x_in"),
    ((spaced(LONGER), 3), "an x_in with a stride of 2"),
)
MAXPOOL1D_REFUSALS = (
    Refusal((LONGER, 0), "size", "0", "size = 0"),
    Refusal((LONGER, 9), "size", "9", "a size above N"),
)
POOL_SIZE_REFUSALS = (
    Refusal((5, 0), "n_out|n_in", "0", "n_out = 0"),
    Refusal((5, 6), "n_out|n_in", "6", "an n_out above n_in"),
)


@staged()
def p1a_conv1d(conv1d: Any) -> str:
    """Checks `conv1d(x_in, kernel)`.

    Raises:
        CheckFailed: With a diagnosis.
    """
    demand_functions(conv1d=conv1d)
    with visible_check(CONV1D.exercise, from_scratch=True, conv1d=conv1d) as inquiry:
        judge_cases(inquiry, CONV1D, CONV1D_CASES, CONV1D_LAYOUTS, CONV1D_REFUSALS)
    return "The hidden exam tries random signals of many lengths."


@staged()
def p1b_maxpool1d(pool_size: Any, maxpool1d: Any) -> str:
    """Checks `pool_size(n_in, n_out)` and `maxpool1d(x_in, size)`.

    Raises:
        CheckFailed: With a diagnosis.
    """
    demand_functions(pool_size=pool_size, maxpool1d=maxpool1d)
    with visible_check(POOL_SIZE.exercise, from_scratch=True, pool_size=pool_size) as inquiry:
        for pair, right in SIZES.items():
            judge_integer(inquiry, POOL_SIZE, VALUES, pair, right)
        judge_cases(inquiry, POOL_SIZE, (), refusals=POOL_SIZE_REFUSALS)
    with visible_check(MAXPOOL1D.exercise, from_scratch=True, maxpool1d=maxpool1d) as inquiry:
        judge_cases(inquiry, MAXPOOL1D, MAXPOOL1D_CASES, MAXPOOL1D_LAYOUTS, MAXPOOL1D_REFUSALS)
    return "The hidden exam tries random signals of many lengths."
