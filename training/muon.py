"""Muon: momentum whose matrix is made orthogonal, for the weights of convolutions.

Source: Jordan et al. (2024), "Muon: an optimizer for hidden layers in neural networks". Weights keep a fixed norm, as
every convolution here meets a normalisation that would undo its scale; the learning rate is thus a relative change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


def orthogonalise(matrix: Tensor, n_iterations: int = 3) -> Tensor:
    """Moves all singular values of a matrix towards 1, by Newton-Schulz iterations that need products only.

    With X scaled to Frobenius norm 1, `X <- a X + (b X X^T + c (X X^T)^2) X`. The coefficients a, b, c (Jordan et al.)
    are made for few iterations: the singular values end between about 0.5 and 1.5, which is all that is needed here.

    Args:
        matrix: (m, n).
        n_iterations: Three are enough for the use here.

    Returns:
        (m, n).
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[0] > matrix.shape[1]
    x: Tensor = matrix.T if tall else matrix  # the product X X^T is the smaller one
    x = x / (torch.linalg.matrix_norm(x) + 1e-7)
    for _ in range(n_iterations):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Optimiser for convolution kernels (out, in, h, w), read as matrices of `out` rows.

    Args:
        parameters: The kernels.
        lr: Relative change of a kernel in one step.
        momentum: Decay of the running mean of gradients; the step looks ahead as Nesterov's does.
    """

    def __init__(self, parameters: Iterable[Tensor], *, lr: float, momentum: float = 0.9) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step from the gradients that are there; a closure is not called."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, weight.grad, group["lr"], group["momentum"], self.state[weight])

    @staticmethod
    def _update(weight: Tensor, gradient: Tensor, lr: float, momentum: float, state: dict[str, Any]) -> None:
        velocity = state.setdefault("velocity", torch.zeros_like(weight))
        velocity.lerp_(gradient, 1 - momentum)
        direction = gradient.lerp(velocity, momentum)
        weight.sub_(orthogonalise(direction.flatten(1)).view_as(weight), alpha=lr)
        # The norm of an orthogonal matrix of this shape.
        weight.mul_(min(weight.flatten(1).shape) ** 0.5 / weight.norm())
