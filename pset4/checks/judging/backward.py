"""Judges of problem 3 that look at more than one value of a result: the update's direction and length, and ties."""

from __future__ import annotations

import torch
from torch import Tensor

from pset4.checks.judging.expected import wrong_shares
from pset4.checks.judging.functions import MAXPOOL1D_BACKWARD, UPDATE_KERNEL
from pset4.checks.judging.inquiry import Inquiry
from pset4.checks.judging.registry import as_double
from pset4.checks.judging.symptoms import kept_symptom, precision_symptom, shape_symptom
from pset4.checks.judging.values import SHAPE, close, difference, in_double, real, tensor_of

DOWNHILL = "step against the gradient"
SCALED = "step is the gradient times the learning rate"
TIES = "ties"
# float32 keeps only some digits of a step that is small beside the kernel.
STEP_TOLERANCE = 1e-3


def judge_update(inquiry: Inquiry, kernel: Tensor, gradient: Tensor, rate: float, where: str = "") -> None:
    """Judges direction and length of one step of gradient descent apart."""
    arguments = (kernel, gradient, rate)
    outcome = inquiry.ask(UPDATE_KERNEL.name, *arguments)
    value = tensor_of(inquiry, UPDATE_KERNEL, DOWNHILL, arguments, outcome, where)
    if value is None:
        inquiry.fail(SCALED, next(found.text for found in inquiry.found if found.property == DOWNHILL))
        return
    found = shape_symptom(UPDATE_KERNEL.name, value, kernel)
    if found:
        for name in (DOWNHILL, SCALED, SHAPE):
            inquiry.note(name, found)
        return
    right = UPDATE_KERNEL.right(*in_double(arguments))
    origin = as_double(kernel)
    for name in _missed(real(value) - origin, right - origin, gradient):
        shown = difference(inquiry, UPDATE_KERNEL, name, arguments, value, right, slice(None), where)
        symptom = {DOWNHILL: "other_direction", SCALED: "other_length"}[name]
        inquiry.fail(name, shown if inquiry.public else inquiry.sentence(name), symptom=symptom)
    inquiry.note(SHAPE, kept_symptom(UPDATE_KERNEL.name, value, kernel))
    if close(value, right):
        inquiry.note(SHAPE, precision_symptom(UPDATE_KERNEL.name, value, right))


def _missed(step: Tensor, right: Tensor, gradient: Tensor) -> list[str]:
    """Which of the two properties a step misses; where there is no gradient, there is only a length."""
    if not bool(gradient.any()):
        return [] if close(step, right) else [SCALED]
    cosine = float(torch.nn.functional.cosine_similarity(step, right, dim=0))
    missed = [] if cosine > 1 - STEP_TOLERANCE else [DOWNHILL]
    as_long = abs(float(step.norm() - right.norm())) <= STEP_TOLERANCE * float(right.norm())
    return missed if as_long else [*missed, SCALED]


def judge_window(inquiry: Inquiry, gradient: Tensor, x_in: Tensor) -> None:
    """Judges the shares of one window over the whole signal, with ties: any rule for them is right.

    Args:
        inquiry: The check or exam.
        gradient: What the window receives, (1,).
        x_in: (N,), with equal maxima.
    """
    shares = ask_for_ties(inquiry, gradient, x_in, len(x_in))
    if shares is not None:
        _judge_shares(inquiry, shares / float(gradient), x_in, slice(None))


def judge_rule(inquiry: Inquiry, grad_out: Tensor, x_in: Tensor, size: int) -> None:
    """Judges the shares of each window by itself, and that gradients of several windows are their sum."""
    total = torch.zeros(len(x_in), dtype=torch.float64)
    for n in range(len(grad_out)):
        alone = torch.zeros_like(grad_out)
        alone[n] = grad_out[n]
        part = ask_for_ties(inquiry, alone, x_in, size)
        if part is None:
            return
        _judge_shares(inquiry, part / float(grad_out[n]), x_in, slice(n, n + size))
        total += part
    together = ask_for_ties(inquiry, grad_out, x_in, size)
    if together is not None and not close(together, total):
        text = "with ties, the gradients of several windows must add up as they do without."
        inquiry.fail(TIES, text, symptom="ties_do_not_add_up")


def ask_for_ties(inquiry: Inquiry, grad_out: Tensor, x_in: Tensor, size: int) -> Tensor | None:
    """The gradient in float64, or None (and `TIES` missed) if there is none of the right shape."""
    function, arguments = MAXPOOL1D_BACKWARD, (grad_out, x_in, size)
    outcome = inquiry.ask(function.name, *arguments, special=True)
    value = tensor_of(inquiry, function, TIES, arguments, outcome, TIES)
    if value is None:
        return None
    found = shape_symptom(function.name, value, x_in)
    if found:
        inquiry.fail(TIES, found.text)
        return None
    return real(value)


def _judge_shares(inquiry: Inquiry, shares: Tensor, x_in: Tensor, window: slice) -> None:
    """Fails `TIES` unless the shares are >= 0, sit on the window's maxima, and sum to 1."""
    name = wrong_shares(shares, x_in, window)
    if not name:
        return
    much = "more" if float(shares.sum()) > 1 else "less"
    what = {
        "negative_share": "some inputs get a share with the wrong sign",
        "shares_do_not_sum_to_one": f"{much} comes out of a window than went in",
        "share_for_others": "inputs that are no maximum of the window get a share",
    }[name]
    shown = f" {_show_shares(shares, x_in)}" if inquiry.public else ""
    inquiry.fail(TIES, f"where a window has several equal maxima, {what}.{shown}", symptom=name)


def _show_shares(shares: Tensor, x_in: Tensor) -> str:
    given = [round(share, 4) for share in shares.tolist()]
    return f"With x_in = {x_in.tolist()}, a window over all of it shares its gradient as {given}."
