"""The smallest failure as a notebook shows it: drawn like the worked example, or as the table of the three ways."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from pset4.checks.calling.local import LocalStudent
from pset4.checks.calling.outcome import CallOptions
from pset4.checks.calling.torch_state import neutral_torch
from pset4.checks.failure import SmallFailure
from pset4.checks.judging import functions

CALL = CallOptions(seconds=0.5, thorough=False)
Ask = Callable[..., Any]
"""Calls the student's function, and returns what it returns, or None if it stops."""


def in_notebook() -> bool:
    """Whether what is displayed reaches a notebook; a terminal shows text alone."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return getattr(shell, "kernel", None) is not None


def show_failure(failure: SmallFailure, function: Callable[..., Any]) -> None:
    """Displays the failure in a notebook, and does nothing elsewhere.

    Args:
        failure: The smallest input, and what came of it.
        function: The student's function, for the table of the three ways and for the weights of a convolution.
    """
    draw = DRAWINGS.get(failure.function.name)
    if draw is None or not in_notebook() or not _drawable(failure.value):
        return
    name = failure.function.name
    with LocalStudent({name: function}) as student, neutral_torch():

        def ask(*arguments: Any) -> Any:
            return student.call(name, arguments, CALL).value

        # A wrong function may do anything with further inputs, and the message below says all without a figure.
        with suppress(Exception):
            draw(failure, ask)


def _drawable(value: Any) -> bool:
    return isinstance(value, Tensor) and not value.is_complex()


def _convolution(failure: SmallFailure, ask: Ask) -> None:
    from pset4.figures import comparisons  # matplotlib takes a second, and only a failure in a notebook needs it

    x_in, kernel = failure.arguments
    if failure.value.shape != failure.right.shape:
        comparisons.show_vectors(
            {"x_in": x_in, "kernel": kernel}, failure.value, failure.right, result="x_out", axis="position"
        )
        return
    place = comparisons.first_difference(failure.value.double().numpy(), failure.right.double().numpy())
    weights = None if place is None else _weights(ask, x_in, kernel, place[0], float(failure.value[place]))
    comparisons.show_wrong_convolution(x_in, kernel, failure.value, failure.right, weights=weights)


def _weights(ask: Ask, x_in: Tensor, kernel: Tensor, n: int, output: float) -> list[float] | None:
    """Weight of each value of the padded signal in output n, measured with signals of a single 1.

    None if the output is not the sum of the weighted values: then the function does something else.
    """
    reach = len(kernel) // 2
    outputs = [ask(unit, kernel) for unit in torch.eye(len(x_in) + 2 * reach, dtype=x_in.dtype)]
    if not all(isinstance(o, Tensor) and o.shape == (len(outputs),) for o in outputs):
        return None
    weights = torch.stack([o[n + reach] for o in outputs]).detach()
    total = float(torch.nn.functional.pad(x_in, (reach, reach)) @ weights)
    return weights.tolist() if abs(total - output) <= 1e-4 * max(1.0, abs(output)) else None


def _pooling(failure: SmallFailure, _ask: Ask) -> None:
    from pset4.figures.comparisons import show_wrong_pooling

    x_in, size = failure.arguments
    show_wrong_pooling(x_in, size, failure.value, failure.right)


def _matrix(failure: SmallFailure, _ask: Ask) -> None:
    from pset4.figures.comparisons import show_wrong_matrix

    show_wrong_matrix(failure.value, failure.right, name="M", row_axis="output n", column_axis="input j")


def _probabilities(failure: SmallFailure, _ask: Ask) -> None:
    from pset4.figures import comparisons

    (output,) = failure.arguments
    place = comparisons.first_difference(failure.value.double().numpy(), failure.right.double().numpy())
    image = place[0] if place else 0
    comparisons.show_vectors(
        {f"output[{image}]": output[image]},
        failure.value[image],
        failure.right[image],
        result="probabilities",
        axis="class",
    )


def _update(failure: SmallFailure, _ask: Ask) -> None:
    from pset4.figures.comparisons import show_vectors

    kernel, gradient, rate = failure.arguments
    rows = {"kernel": kernel, "grad_kernel": gradient, "learning_rate": [rate]}
    show_vectors(rows, failure.value, failure.right, result="new kernel")


def _backward_input(failure: SmallFailure, ask: Ask) -> None:
    from pset4.figures.gradients import library_conv1d

    grad_out, kernel = failure.arguments
    _three_ways(
        forward=lambda x: library_conv1d(x, kernel.to(x.dtype)),
        backward=lambda g: ask(g, kernel.to(g.dtype)),
        at=torch.ones(len(grad_out)),
        grad_out=grad_out,
        name="x_in",
    )


def _backward_kernel(failure: SmallFailure, ask: Ask) -> None:
    from pset4.figures.gradients import library_conv1d

    grad_out, x_in, size = failure.arguments
    _three_ways(
        forward=lambda kernel: library_conv1d(x_in.to(kernel.dtype), kernel),
        backward=lambda g: ask(g, x_in.to(g.dtype), size),
        at=torch.ones(size),
        grad_out=grad_out,
        names=tuple(f"W[{m}]" for m in range(-(size // 2), size // 2 + 1)),
    )


def _pooling_backward(failure: SmallFailure, ask: Ask) -> None:
    from pset4.figures.gradients import library_maxpool1d

    grad_out, x_in, size = failure.arguments
    _three_ways(
        forward=lambda x: library_maxpool1d(x, size),
        backward=lambda g: ask(g, x_in.to(g.dtype), size),
        at=x_in,
        grad_out=grad_out,
        name="x_in",
    )


def _three_ways(**given: Any) -> None:
    """Displays the table, and says in which entry the student's formula differs first."""
    from IPython.display import display

    from pset4.figures.gradients import three_ways

    table = three_ways(**given)
    wrong = [row for row in table.rows() if row[-1].startswith("differs")]
    if wrong:
        display(table)
        name, formula, differences, *_ = wrong[0]
        print(f"The first entry that differs is dC/d{name}: your formula {formula}, finite differences {differences}.")


DRAWINGS: dict[str, Callable[[SmallFailure, Ask], None]] = {
    functions.CONV1D.name: _convolution,
    functions.MAXPOOL1D.name: _pooling,
    functions.OUTPUT2PROB.name: _probabilities,
    functions.CONV1D_MATRIX.name: _matrix,
    functions.UPDATE_KERNEL.name: _update,
    functions.CONV1D_BACKWARD_INPUT.name: _backward_input,
    functions.CONV1D_BACKWARD_KERNEL.name: _backward_kernel,
    functions.MAXPOOL1D_BACKWARD.name: _pooling_backward,
}
