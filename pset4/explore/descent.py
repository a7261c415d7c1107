"""The explorer of problem 3 that lets a small layer learn, by the student's own functions."""

from __future__ import annotations

import math

from torch import Tensor

from pset4.explore.explorer import Answer, Control, Explorer, State, show
from pset4.figures.learning import HIDDEN, BackwardKernel, Convolution, Run, Update, descend, draw_descent

RATES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def learning(
    conv1d: Convolution,
    conv1d_backward_kernel: BackwardKernel,
    update_kernel: Update,
    *,
    learning_rate: float = 0.1,
    steps: int = 60,
) -> None:
    """Shows gradient descent on a small signal, while you choose the learning rate and go from step to step.

    A hidden kernel has made the target. Your functions start from a kernel of zeros; the cost is the mean of the
    squared distances between output and target.

    Args:
        conv1d: The layer forwards: (N,), (k,) -> (N,).
        conv1d_backward_kernel: Your function: (N,), (N,), k -> (k,).
        update_kernel: Your function: (k,), (k,), learning rate -> (k,).
        learning_rate: To begin with: 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1 or 2.
        steps: How many are computed for each learning rate.

    Raises:
        ValueError: If the learning rate is none of these.
    """
    if learning_rate not in RATES:
        raise ValueError(
            f"learning_rate must be one of {', '.join(f'{rate:g}' for rate in RATES)}, not {learning_rate}"
        )

    def run(state: State) -> Run:
        rate = RATES[int(state["rate"])]
        return descend(conv1d, conv1d_backward_kernel, update_kernel, learning_rate=rate, steps=steps)

    start = {"rate": RATES.index(learning_rate), "step": 0}
    names = [f"{rate:g}" for rate in RATES]
    explorer = Explorer(
        "learning",
        "Gradient descent: drag the learning rate and the step",
        [
            Control("rate", "slider", "learning rate", max=len(RATES) - 1, texts=names, framed=True),
            Control("step", "slider", "step", max=steps, framed=True, local=True),
        ],
        start,
        lambda state: _answer(run(state)),
        lambda: draw_descent(run(start), title=f"Learning rate {learning_rate:g}"),
        frames=[{**start, "rate": index} for index in range(len(RATES))],
        constants={"hidden": HIDDEN},
    )
    show(explorer, function="explore.learning")


def _answer(run: Run) -> Answer:
    return {
        "kernels": _rounded(run.kernels),
        "outputs": _rounded(run.outputs),
        "costs": _rounded(run.costs),
        "target": _rounded(run.target),
        "words": [_what_is_seen(run.costs.tolist(), step) for step in range(len(run.costs))],
    }


def _what_is_seen(costs: list[float], step: int) -> str:
    cost, first = costs[step], costs[0]
    if not math.isfinite(cost):
        return f"Step {step}: the cost is too large to be a number."
    said = f"Step {step}: the cost is {_short(cost)}"
    if step == 0:
        return f"{said}. The kernel is all zeros."
    if cost > 10 * first:
        return f"{said}, {_short(cost / first)} times the first one: it explodes."
    compared = "more" if cost > first else "less" if cost < first else "neither more nor less"
    return f"{said}, {compared} than the first one, {_short(first)}."


def _rounded(values: Tensor) -> list[float] | list[list[float]]:
    """Four digits are more than can be seen, and keep the page small."""
    rows = values.tolist()
    if values.dim() == 2:
        return [[float(f"{value:.4g}") for value in row] for row in rows]
    return [float(f"{value:.4g}") for value in rows]


def _short(value: float) -> str:
    if value != 0 and not 1e-3 <= value < 1e4:
        digits, exponent = f"{value:.1e}".split("e")
        return f"{digits}·10{str(int(exponent)).translate(RAISED)}"
    return f"{value:.4g}" if value >= 1000 else f"{value:.3g}"
