"""What right answers to problems 1 to 3 return, from library calls that the exercises ban.

The visible checks, the hidden exams and the misconceptions compare with these. Nothing here can be handed in: every
function is a call of torch's own convolution, pooling, optimiser or automatic differentiation.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from pset4.checks.calling.specs import NetworkSpec


def correlate(x: Tensor, kernel: Tensor, padding: int) -> Tensor:
    """torch's convolution layer, which is a cross-correlation: (N,), (k,) -> (N + 2 padding - k + 1,)."""
    return F.conv1d(x[None, None], kernel[None, None], padding=padding)[0, 0]


def conv1d(x_in: Tensor, kernel: Tensor) -> Tensor:
    """Convolution with zero padding on both sides: (N,), (k,) -> (N,)."""
    return correlate(x_in, kernel.flip(0), len(kernel) // 2)


def maxpool1d(x_in: Tensor, size: int) -> Tensor:
    """Maximum of each complete window, stride 1: (N,) -> (N - size + 1,)."""
    return F.max_pool1d(x_in[None], size, stride=1)[0]


def conv1d_matrix(kernel: Tensor, n: int) -> Tensor:
    """Matrix of the convolution, (n, n): the columns are the convolved unit vectors."""
    units = torch.eye(n, dtype=kernel.dtype, device=kernel.device)
    if not n:
        return units
    return F.conv1d(units[:, None], kernel.flip(0)[None, None], padding=len(kernel) // 2)[:, 0].T


def conv1d_backward_input(grad_out: Tensor, kernel: Tensor) -> Tensor:
    """dC/dx_in of the convolution, by automatic differentiation: (N,), (k,) -> (N,)."""
    return vector_jacobian(lambda x: conv1d(x, kernel), torch.zeros_like(grad_out), grad_out)


def conv1d_backward_kernel(grad_out: Tensor, x_in: Tensor, kernel_size: int) -> Tensor:
    """dC/dW of the convolution, by automatic differentiation: (N,), (N,) -> (k,)."""
    return vector_jacobian(lambda kernel: conv1d(x_in, kernel), x_in.new_zeros(kernel_size), grad_out)


def update_kernel(kernel: Tensor, grad_kernel: Tensor, learning_rate: float) -> Tensor:
    """One step of torch's own gradient descent: (k,), (k,) -> (k,)."""
    weights = torch.nn.Parameter(kernel.detach().clone())
    weights.grad = grad_kernel.detach().clone()
    torch.optim.SGD([weights], lr=learning_rate).step()
    return weights.detach()


def maxpool1d_backward(grad_out: Tensor, x_in: Tensor, size: int) -> Tensor:
    """dC/dx_in of the pooling, by automatic differentiation: (N - size + 1,), (N,) -> (N,).

    Where a window has several maxima, torch gives its gradient to the first.
    """
    return vector_jacobian(lambda x: maxpool1d(x, size), x_in, grad_out)


def vector_jacobian(function: Callable[[Tensor], Tensor], at: Tensor, grad_out: Tensor) -> Tensor:
    """Gradient of `sum(grad_out * function(x))` at `x = at`, whatever the global gradient mode is."""
    with torch.enable_grad():
        x = at.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(function(x), x, grad_out)
    return gradient


def shares_ties(shares: Tensor, x_in: Tensor, window: slice = slice(None), *, tolerance: float = 1e-4) -> bool:
    """Whether a window's shares are >= 0, sit on its maxima and sum to 1: any such rule for ties is right.

    Args:
        shares: What each input gets for a gradient of 1 on this window, (N,).
        x_in: (N,).
        window: The window's inputs.
        tolerance: Of each of the three conditions.
    """
    maxima = torch.zeros(len(x_in), dtype=torch.bool)
    maxima[window] = (x_in[window] == x_in[window].max()).cpu()
    shares = shares.detach().cpu().double()
    elsewhere = float(shares.masked_fill(maxima, 0).abs().max())
    return elsewhere <= tolerance and float(shares.min()) >= -tolerance and abs(float(shares.sum()) - 1) <= tolerance


# A table would give the formula away no more than the exercise does: it asks for it right before.
SIZES: dict[tuple[int, int], int] = {(5, 3): 3, (10, 10): 1, (10, 1): 10, (1, 1): 1, (9, 4): 6, (32, 30): 3}


def stored_size(n_in: int, n_out: int) -> int:
    """The window size for the pairs above."""
    return SIZES[n_in, n_out]


RESNET50_INPUTS = 2048


def stored_inputs(spec: NetworkSpec) -> int:
    """Inputs of the last linear layer of the exam's networks, from the numbers that they are made with."""
    options = spec.options
    if spec.architecture == "exam_resnet50":
        return RESNET50_INPUTS
    if spec.architecture == "exam_deep_head":
        return int(options.get("last", 20))
    return 4 * int(options.get("channels", 7))


def probabilities(output: Tensor) -> Tensor:
    """What a right answer returns, by way of its logarithm: (B, K) -> (B, K)."""
    return output.log_softmax(dim=1).exp()
