"""What right answers to problems 1 to 3 return, from library calls that the exercises ban.

The visible checks, the hidden exams and the misconceptions compare with these. Nothing here can be handed in: a
function is a call of torch's own convolution, pooling or automatic differentiation, which its exercise bans, or it
looks up what a right answer returns for the public inputs of the checks. Hidden inputs are the exams' own affair.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

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


def wrong_shares(shares: Tensor, x_in: Tensor, window: slice = slice(None), *, tolerance: float = 1e-4) -> str:
    """What is wrong with a window's shares, or "": any rule for ties is right whose shares are >= 0, sit on the
    window's maxima and sum to 1.

    Args:
        shares: What each input gets for a gradient of 1 on this window, (N,).
        x_in: (N,).
        window: The window's inputs.
        tolerance: Of each of the three conditions.

    Returns:
        "negative_share", "shares_do_not_sum_to_one", "share_for_others" or "".
    """
    maxima = torch.zeros(len(x_in), dtype=torch.bool)
    maxima[window] = (x_in[window] == x_in[window].max()).cpu()
    shares = shares.detach().cpu().double()
    if not float(shares.min()) >= -tolerance:
        return "negative_share"
    if not abs(float(shares.sum()) - 1) <= tolerance:
        return "shares_do_not_sum_to_one"
    return "" if float(shares.masked_fill(maxima, 0).abs().max()) <= tolerance else "share_for_others"


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


STORED = Path(__file__).with_name("stored_results.json")
"""What right answers return for public inputs, where any function that computed it could be handed in."""
COMPUTED: dict[str, Callable[..., Tensor]] = {}
"""How the exams compute what checks look up; nobody fills it in a student's installation."""


@cache
def _stored() -> dict[str, list[tuple[list[Any], Tensor]]]:
    rows = json.loads(STORED.read_text(encoding="utf-8"))
    return {
        name: [([_from_json(a) for a in given], torch.tensor(result, dtype=torch.float64)) for given, result in pairs]
        for name, pairs in rows.items()
    }


def _from_json(value: Any) -> Any:
    return torch.tensor(value, dtype=torch.float64) if isinstance(value, list) else value


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.shape == other.shape and bool((one.double() == other).all())
    return not isinstance(one, Tensor) and not isinstance(other, Tensor) and bool(one == other)


def looked_up(name: str) -> Callable[..., Tensor]:
    """What a right function of this name returns for public inputs.

    Raises:
        LookupError: (The function that is returned) for any other input.
    """

    def right(*arguments: Any) -> Tensor:
        if name in COMPUTED:
            return COMPUTED[name](*arguments)
        for given, result in _stored()[name]:
            if all(_equal(a, b) for a, b in zip(arguments, given, strict=True)):
                return result.clone()
        raise LookupError(f"no result of {name} is stored for this input")

    return right
