"""Visible checks of problem 1."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pset4.checks.failure import all_good
from pset4.checks.functions import FunctionCheck, Probe, Refusal, run_check
from pset4.checks.judging import expected
from pset4.checks.misconceptions.problem1 import SIZES, stored_size
from pset4.checks.misconceptions.table import signal

SHORT = signal(1, 2, 3)
LONGER = signal(3, -1, 4, 1, -5, 9, 2, -6)
EDGE = signal(1, 0, -1)
UNEVEN = signal(2, 1, -1.5, 0.5, 4)


def spaced(x: Tensor) -> Tensor:
    """The same values with a stride of 2."""
    return x.repeat_interleave(2)[::2]


CONV1D = FunctionCheck(
    exercise="p1a_conv1d",
    function="conv1d",
    names=("x_in", "kernel"),
    right=expected.conv1d,
    probes=(
        Probe((SHORT, EDGE)),
        Probe((LONGER, signal(1, 2, 4))),
        Probe((LONGER.double() / 3, UNEVEN.double() / 7), "float64"),
        Probe((SHORT, signal(0.5, 0, 0.25))),
        Probe((LONGER, UNEVEN)),
        Probe((signal(2, -1, 3, 1, 4), UNEVEN), "k = N"),
        Probe((LONGER, signal(2.5)), "k = 1"),
        Probe((signal(2), signal(3)), "N = 1 and k = 1"),
        Probe((signal(2), signal(3, 5, 7)), "k > N"),
        Probe((signal(1, 2), signal(1, 2, 3, 4, 5)), "k > N"),
        Probe((signal(1, 2), signal(1, 2, 3, 4, 5, 6, 7)), "k > N"),
        Probe((signal(2).expand(6), EDGE), "an expanded x_in", layout=True),
        Probe((spaced(LONGER), spaced(signal(1, 2, 4))), "inputs with a stride of 2", layout=True),
    ),
    refusals=(
        Refusal((SHORT, signal(1, 2)), "kernel", "2|even", "an even kernel"),
        Refusal((SHORT, signal()), "kernel", "0|empty|even", "an empty kernel"),
        Refusal((signal(), EDGE), "x_in|signal|input", "0|empty", "an empty x_in"),
        Refusal((LONGER.view(2, 4), EDGE), "x_in|signal|input", "2", "a 2-D x_in"),
    ),
)

POOL_SIZE = FunctionCheck(
    exercise="p1b_maxpool1d",
    function="pool_size",
    names=("n_in", "n_out"),
    right=stored_size,
    probes=tuple(Probe(pair) for pair in SIZES),
    refusals=(
        Refusal((5, 0), "n_out|n_in", "0", "n_out = 0"),
        Refusal((5, 6), "n_out|n_in", "6", "an n_out above n_in"),
    ),
)

MAXPOOL1D = FunctionCheck(
    exercise="p1b_maxpool1d",
    function="maxpool1d",
    names=("x_in", "size"),
    right=expected.maxpool1d,
    probes=(
        Probe((signal(3, 1, 2, 5), 2)),
        Probe((signal(-3, -1, -2), 2), "negative inputs"),
        Probe((LONGER, 3)),
        Probe((LONGER.double() / 3, 4), "float64"),
        Probe((signal(1, 3, -4, 2, 0.5), 3)),
        Probe((-LONGER.abs(), 3), "negative inputs"),
        Probe((LONGER, 1), "size = 1"),
        Probe((signal(7), 1), "N = 1"),
        Probe((signal(2, 7, 1), 3), "size = N"),
        Probe((signal(2, 2, 2, 2), 2), "a constant signal"),
        Probe((signal(2).expand(5), 2), "an expanded x_in", layout=True),
        Probe((spaced(LONGER), 3), "an x_in with a stride of 2", layout=True),
    ),
    refusals=(
        Refusal((LONGER, 0), "size", "0", "size = 0"),
        Refusal((LONGER, 9), "size", "9", "a size above N"),
    ),
)


def p1a_conv1d(conv1d: Any) -> None:
    """Checks `conv1d(x_in, kernel)`.

    Raises:
        CheckFailed: With a diagnosis.
    """
    run_check(CONV1D, conv1d)
    all_good("p1a_conv1d", "The hidden exam tries random signals of many lengths.")


def p1b_maxpool1d(pool_size: Any, maxpool1d: Any) -> None:
    """Checks `pool_size(n_in, n_out)` and `maxpool1d(x_in, size)`.

    Raises:
        CheckFailed: With a diagnosis.
    """
    run_check(POOL_SIZE, pool_size)
    run_check(MAXPOOL1D, maxpool1d)
    all_good("p1b_maxpool1d", "The hidden exam tries random signals of many lengths.")
