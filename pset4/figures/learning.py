"""Gradient descent on one small convolution, step by step, by the student's own functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor

from pset4.figures.display import BLUE, GREEN, GREY, MAX_WIDTH, ORANGE, canvas, describe, hide_frame, shown
from pset4.figures.gradients import library_conv1d

HIDDEN = (0.0, 0.2, 1.0, -0.6, 0.4)
"""The kernel that made the target."""
LENGTH = 24

Convolution = Callable[[Tensor, Tensor], Tensor]
BackwardKernel = Callable[[Tensor, Tensor, int], Tensor]
Update = Callable[[Tensor, Tensor, float], Tensor]


@dataclass(frozen=True)
class Run:
    """A descent from a kernel of zeros; row s of each tensor stands before step s + 1.

    Attributes:
        kernels: (steps + 1, k).
        outputs: (steps + 1, N).
        costs: (steps + 1,) the mean of the squared distances to the target.
        target: (N,).
    """

    kernels: Tensor
    outputs: Tensor
    costs: Tensor
    target: Tensor


def descend(
    conv1d: Convolution, backward_kernel: BackwardKernel, update_kernel: Update, *, learning_rate: float, steps: int
) -> Run:
    """Learns the kernel behind a target signal.

    Args:
        conv1d: The layer forwards: (N,), (k,) -> (N,).
        backward_kernel: dC/dx_out (N,), x_in (N,), k -> dC/dW (k,).
        update_kernel: kernel (k,), dC/dW (k,), learning rate -> new kernel (k,).
        learning_rate: As `update_kernel` takes it.
        steps: How many.

    Raises:
        ValueError: If a function returns something of another shape.
    """
    x_in = torch.randn(LENGTH, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    hidden = torch.tensor(HIDDEN, dtype=torch.float64)
    target = library_conv1d(x_in, hidden)
    kernels, outputs = [torch.zeros_like(hidden)], []
    for _ in range(steps + 1):
        kernel = kernels[-1]
        x_out = _shaped(conv1d(x_in.clone(), kernel.clone()), target, "the forward function")
        outputs.append(x_out)
        grad_out = 2 * (x_out - target) / LENGTH
        gradient = _shaped(backward_kernel(grad_out, x_in.clone(), len(kernel)), kernel, "the backward function")
        kernels.append(_shaped(update_kernel(kernel.clone(), gradient, learning_rate), kernel, "`update_kernel`"))
    stacked = torch.stack(outputs)
    return Run(torch.stack(kernels[:-1]), stacked, (stacked - target).square().mean(1), target)


def _shaped(value: object, like: Tensor, what: str) -> Tensor:
    if not isinstance(value, Tensor) or value.shape != like.shape:
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"{what} must return a vector of {len(like)} numbers here, not {shape}")
    return value.detach().to("cpu", torch.float64)


def draw_descent(run: Run, *, title: str = "") -> Figure:
    """Draws the cost of every step, the last kernel over the hidden one, and the last output over the target.

    Args:
        run: What `descend` returned.
        title: Title of the figure.
    """
    figure = canvas(MAX_WIDTH, 4.6, title=title)
    panels = figure.subplot_mosaic([["kernel", "cost"], ["output", "output"]])
    costs = panels["cost"]
    costs.semilogy(run.costs.clamp(min=1e-12).tolist(), color=ORANGE)
    costs.set(xlabel="step", ylabel="cost (log scale)")
    positions = list(range(-(len(HIDDEN) // 2), len(HIDDEN) // 2 + 1))
    panels["kernel"].bar(positions, run.kernels[-1].tolist(), width=0.55, color=BLUE, label="learned")
    panels["kernel"].plot(positions, list(HIDDEN), "D", fillstyle="none", color="black", label="hidden")
    panels["kernel"].set(xlabel="m", ylabel="W[m]")
    panels["output"].plot(run.target.tolist(), "o-", fillstyle="none", color=GREY, label="target")
    panels["output"].plot(run.outputs[-1].tolist(), "x--", color=GREEN, label="output")
    panels["output"].set(xlabel="position n")
    for name in ("kernel", "output"):
        panels[name].legend(frameon=False, fontsize=8, loc="upper left")
    for axes in panels.values():
        hide_frame(axes, "top", "right")
    steps = len(run.costs) - 1
    learned = ", ".join(f"{weight:.3g}" for weight in run.kernels[-1].tolist())
    words = f"the cost goes from {float(run.costs[0]):.3g} to {float(run.costs[-1]):.3g} in {steps} steps of gradient "
    words += f"descent; the kernel at the end is {learned}, the hidden one {', '.join(f'{w:g}' for w in HIDDEN)}"
    return describe(figure, title, words)


show_descent = shown(draw_descent)
