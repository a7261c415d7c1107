"""Explorers of problem 3: where a layer's gradients go, by the student's own backward function."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from pset4.explore.explorer import Answer, Control, Explorer, State, show
from pset4.explore.numbers import factor, floats, vector
from pset4.figures.gradients import ThreeWays, library_conv1d, library_maxpool1d
from pset4.figures.grids import number
from pset4.figures.shares import Shares, draw_shares, measure_shares

EVERYTHING = "all"
Measure = Callable[[State], Shares]


def pooling_backward(
    maxpool1d: Callable[[Tensor, int], Tensor],
    maxpool1d_backward: Callable[[Tensor, Tensor, int], Tensor],
    *,
    x_in: Sequence[float] = (2, -1, 3, 1, 2.5, 0.5),
    grad_out: Sequence[float] = (1, 2, 0.5, -1),
    size: int = 3,
) -> None:
    """Shows where your backward function of max pooling sends each gradient, while you drag `x_in` and `grad_out`.

    Your gradient stands beside autograd's and beside finite differences. Autograd differentiates your own forward
    function where it can, else the library's.

    Args:
        maxpool1d: The layer forwards: (N,), size -> (N-size+1,).
        maxpool1d_backward: Your function: (N-size+1,), (N,), size -> (N,).
        x_in: The signal to begin with, values in -3..3.
        grad_out: dC/dx_out to begin with, one value in -3..3 for each window.
        size: Inputs in a window.
    """

    def measure(state: State) -> Shares:
        signal = vector(state["x_in"])
        return measure_shares(
            lambda x: maxpool1d(x, size),
            lambda grad: maxpool1d_backward(grad, signal.clone(), size),
            state["x_in"],
            state["grad_out"],
            library=lambda x: library_maxpool1d(x, size),
        )

    state = {"x_in": floats(x_in), "grad_out": floats(grad_out)}
    _show(measure, state, {"first": 0, "last": size - 1, "ties": True}, function="explore.pooling_backward")


def convolution_backward(
    conv1d: Callable[[Tensor, Tensor], Tensor],
    conv1d_backward_input: Callable[[Tensor, Tensor], Tensor],
    *,
    x_in: Sequence[float] = (1, 2, 0, -1, 2),
    kernel: Sequence[float] = (1, 2, 3),
    grad_out: Sequence[float] = (1, 0, 2, 0, -1),
) -> None:
    """Shows where your backward function of a convolution sends each gradient, while you drag what it depends on.

    Your gradient stands beside autograd's and beside finite differences. Autograd differentiates your own forward
    function where it can, else the library's.

    Args:
        conv1d: The layer forwards: (N,), (k,) -> (N,).
        conv1d_backward_input: Your function: (N,), (k,) -> (N,).
        x_in: The signal to begin with, values in -3..3.
        kernel: The kernel to begin with, an odd number of values in -3..3.
        grad_out: dC/dx_out to begin with, N values in -3..3.
    """

    def measure(state: State) -> Shares:
        taps = vector(state["kernel"])
        return measure_shares(
            lambda x: conv1d(x, taps.clone()),
            lambda grad: conv1d_backward_input(grad, taps.clone()),
            state["x_in"],
            state["grad_out"],
            library=lambda x: library_conv1d(x, taps),
        )

    state = {"x_in": floats(x_in), "grad_out": floats(grad_out), "kernel": floats(kernel)}
    reach = len(kernel) // 2
    _show(measure, state, {"first": -reach, "last": reach, "ties": False}, function="explore.convolution_backward")


def _show(measure: Measure, start: State, layer: dict[str, int | bool], *, function: str) -> None:
    """Shows either explorer; `layer` says which inputs stand in the window of output 0, and whether ties can occur."""
    follow = [EVERYTHING]
    follow += [f"{name}[{index}]" for name in ("grad_out", "x_in") for index in range(len(start[name]))]
    state = {**start, "follow": EVERYTHING}
    controls = [Control(name, "values", name, min=-3, max=3, step=0.5) for name in start]
    controls.append(Control("follow", "choice", "follow", options=follow, framed=True, local=True))
    explorer = Explorer(
        "backward",
        f"Drag {', '.join(list(start)[:-1])} or {list(start)[-1]}, and follow the gradient back to the input",
        controls,
        state,
        lambda asked: _routes(measure(asked), asked),
        lambda: draw_shares(measure(state), state["x_in"], state["grad_out"], title="Shares of grad_out"),
        constants=layer,
    )
    show(explorer, function=function)


def _routes(shares: Shares, state: State) -> Answer:
    ways = shares.ways
    words = {EVERYTHING: _comparison(shares)}
    words |= {f"grad_out[{m}]": _from_output(shares, m, grad) for m, grad in enumerate(state["grad_out"])}
    words |= {name: _to_input(shares, j, name) for j, name in enumerate(ways.names)}
    return {
        "weights": shares.weights,
        "sent": shares.sent,
        "yours": ways.by_formula,
        "autograd": ways.by_autograd,
        "differences": ways.by_differences.double(),
        "trusted": ways.trusted,
        "agrees": _agreements(ways),
        "together": None if ways.together is None else list(ways.together),
        "words": words,
    }


def _agreements(ways: ThreeWays) -> list[bool]:
    """Whether the formula may be right, entry by entry, and last of all where all tied entries move together."""
    return [not verdict.startswith("differs") for verdict in ways.verdicts]


def _comparison(shares: Shares) -> str:
    ways, agreements = shares.ways, _agreements(shares.ways)
    kinks = [name for name, trusted in zip(ways.names, ways.trusted, strict=True) if not trusted]
    if all(agreements):
        said = "✓ Your gradient agrees with autograd and with finite differences."
        if kinks:
            said = "✓ Your gradient is a possible one."
    else:
        first = agreements.index(False)
        formula, differences, autograd = _entry(ways, first)
        name = ways.names[first] if first < len(ways.names) else "all ties moved together"
        said = f"✗ First disagreement, {name}: yours {formula}, autograd {autograd}, finite differences {differences}."
    if kinks:
        said += f" A tie at {' and '.join(kinks)}: no single slope, and finite differences cannot be trusted there (?)."
    return said if shares.own_forward else f"{said} (Autograd looked through the library's layer, not through yours.)"


def _entry(ways: ThreeWays, index: int) -> tuple[str, str, str]:
    if index == len(ways.names) and ways.together is not None:
        formula, differences, autograd = ways.together
    else:
        columns = (ways.by_formula, ways.by_differences, ways.by_autograd)
        formula, differences, autograd = (float(column[index]) for column in columns)
    return number(formula), number(differences), number(autograd)


def _from_output(shares: Shares, m: int, grad: float) -> str:
    reached = [j for j, weight in enumerate(shares.weights[m].tolist()) if weight != 0]
    if not reached:
        return f"✗ grad_out[{m}] = {number(grad)} reaches no input."
    parts = [f"{number(float(shares.weights[m, j]))}·{factor(grad)} to x_in[{j}]" for j in reached]
    return f"grad_out[{m}] = {number(grad)} sends {', '.join(parts)}."


def _to_input(shares: Shares, j: int, name: str) -> str:
    arriving = [float(share) for share, weight in zip(shares.sent[:, j], shares.weights[:, j], strict=True) if weight]
    total, returned = sum(arriving), float(shares.ways.by_formula[j])
    if not arriving and returned == 0:
        return f"Nothing arrives at {name}: its gradient is 0."
    first, *others = arriving or [0.0]
    sums = " + ".join([number(first), *(factor(share) for share in others)])
    if abs(total - returned) > 1e-6 * max(1.0, abs(total)):
        return (
            f"✗ {sums} = {number(total)} arrives at {name} one by one, but your gradient there is {number(returned)}."
        )
    return f"dC/dx_in[{j}] = {sums}" + (f" = {number(total)}." if len(arriving) > 1 else ".")
