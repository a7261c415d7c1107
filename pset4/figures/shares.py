"""How a backward function shares grad_out out among the inputs, and what arrives at each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from pset4.figures.display import describe, shown
from pset4.figures.gradients import Backward, Forward, ThreeWays, rows_of_backward, three_ways
from pset4.figures.grids import Grid, in_a_row, number


@dataclass(frozen=True)
class Shares:
    """What a backward function makes of one grad_out.

    Attributes:
        weights: (M, N) what it returns for a grad_out that is 1 at output m and 0 elsewhere.
        sent: (M, N) `weights`, each row times its entry of grad_out: the share of output m for input j.
        ways: Its gradient beside autograd's and finite differences.
        own_forward: Whether these two differentiate the forward function that was given, and not the library's.
    """

    weights: Tensor
    sent: Tensor
    ways: ThreeWays
    own_forward: bool


def measure_shares(
    forward: Forward, backward: Backward, x_in: Sequence[float], grad_out: Sequence[float], *, library: Forward
) -> Shares:
    """Asks a backward function where it sends each entry of grad_out, and compares its gradient with two others.

    Args:
        forward: The layer: (N,) -> (M,).
        backward: dC/dx_out (M,) -> dC/dx_in (N,).
        x_in: (N,) where the derivatives are taken.
        grad_out: (M,).
        library: The same layer, for autograd to look through where it cannot look through `forward`.

    Raises:
        ValueError: If a shape is wrong.
    """
    at, out = (torch.tensor(list(values), dtype=torch.float64) for values in (x_in, grad_out))
    own = _differentiable(forward, at)
    ways = three_ways(forward if own else library, backward, at, grad_out=out)
    weights = rows_of_backward(backward, len(out))
    return Shares(weights, weights * out[:, None], ways, own)


def _differentiable(forward: Forward, at: Tensor) -> bool:
    try:
        output = forward(at.clone().requires_grad_())
    except NotImplementedError:
        raise
    except Exception:  # such as the RuntimeError of .numpy() on a tensor that needs a gradient
        return False
    return isinstance(output, Tensor) and output.requires_grad


def draw_shares(shares: Shares, x_in: Sequence[float], grad_out: Sequence[float], *, title: str = "") -> Figure:
    """Draws the share of each output for each input as a table, with what arrives at each input below it.

    Args:
        shares: What `measure_shares` returned.
        x_in: (N,).
        grad_out: (M,).
        title: Title of the figure.
    """
    ways, count = shares.ways, len(x_in)
    gap = np.full((1, count), np.nan)
    sent = torch.where(shares.weights == 0, torch.nan, shares.sent).numpy()
    gradients = np.stack([ways.by_formula, ways.by_autograd, ways.by_differences])
    values = np.concatenate([np.array([x_in], dtype=float), gap, sent, gap, gradients])
    marks = ["x_in", "", *(f"from grad_out[{m}] = {number(g)}" for m, g in enumerate(grad_out)), ""]
    marks += ["yours", "autograd", "finite differences"]
    row = len(grad_out) + 3
    differing = [j for j, verdict in enumerate(ways.verdicts[:count]) if verdict.startswith("differs")]
    wrong = frozenset((row, j) for j in differing)
    grid = Grid(values, "", marks, [str(j) for j in range(count)], "", "position", wrong)
    said = "yours agrees with the other two"
    if not ways.agrees:
        said = "yours differs " + ("where it is framed" if differing else "where tied inputs move together")
    figure = in_a_row([grid], f"{title}: {said}" if title else said)
    return describe(figure, "", f"{title}, as a table. {said}. {grid.words()}")


show_shares = shown(draw_shares)
