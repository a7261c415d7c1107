"""The adversaries of training and evaluation, all in the L2 norm.

They maximise the cross-entropy of the true class. Budgets are in pixel units at the size of the images given.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from pset4.steps import l2_norms

Classifier = Callable[[Tensor], Tensor]


def unit(x: Tensor) -> Tensor:
    """Each image divided by its L2 norm; a zero image stays zero."""
    return x / l2_norms(x).clamp(min=1e-12)


def project(perturbation: Tensor, eps: float) -> Tensor:
    """Shortens what is longer than `eps` in L2."""
    return perturbation * (eps / l2_norms(perturbation).clamp(min=1e-12)).clamp(max=1)


def random_in_ball(x: Tensor, eps: float, generator: torch.Generator) -> Tensor:
    """Perturbations drawn uniformly from the L2 ball of radius `eps`, in the shape of `x`.

    In d dimensions the radius of such a point is `eps * u^(1/d)` with u uniform in [0, 1].
    """
    # Drawn on the CPU, so that a seed means the same on every device.
    direction = unit(torch.randn(x.shape, generator=generator).to(x))
    radius = torch.rand(len(x), generator=generator).to(x) ** (1 / math.prod(x.shape[1:]))
    return eps * radius.view(-1, 1, 1, 1) * direction


def logits_and_gradient(classifier: Classifier, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits at `x`, and the gradient of the cross-entropy with respect to `x` alone: no weight gets a gradient."""
    x = x.detach().requires_grad_()
    logits = classifier(x)
    loss = cross_entropy(logits, labels, reduction="sum")
    return logits.detach(), torch.autograd.grad(loss, x)[0]


def one_step(
    classifier: Classifier, x: Tensor, labels: Tensor, *, eps: float, generator: torch.Generator, step: float = 1.25
) -> Tensor:
    """The attack of the training: one long gradient step from a random start.

    Source: Wong, Rice & Kolter, "Fast is better than free" (2020), section 4, with L2 in place of Linf.

    Args:
        classifier: Images -> logits.
        x: (B, 3, H, W), pixels in [0, 1].
        labels: (B,).
        eps: Budget.
        generator: Source of the random start.
        step: Length of the step, in units of `eps`.

    Returns:
        Images within `eps` of `x` and within [0, 1].
    """
    start = random_in_ball(x, eps, generator)
    _, gradient = logits_and_gradient(classifier, (x + start).clamp(0, 1), labels)
    return (x + project(start + step * eps * unit(gradient), eps)).clamp(0, 1)


def resists_pgd(
    classifier: Classifier, x: Tensor, labels: Tensor, *, eps: float, n_steps: int, generator: torch.Generator
) -> Tensor:
    """Which images stay rightly classified along the whole path of a PGD attack.

    Steps of `2.5 eps / n_steps` from a random start (Madry et al., 2018). Every point of the path counts, and an image
    that is broken leaves the batch: this finds at least what the last point alone would find, in less time.

    Args:
        classifier: Images -> logits.
        x: (B, 3, H, W), pixels in [0, 1].
        labels: (B,).
        eps: Budget.
        n_steps: Gradient steps.
        generator: Source of the random start.

    Returns:
        (B,) bool.
    """
    standing = torch.arange(len(x), device=x.device)
    attacked = (x + random_in_ball(x, eps, generator)).clamp(0, 1)
    for _ in range(n_steps):
        logits, gradient = logits_and_gradient(classifier, attacked, labels[standing])
        right = logits.argmax(dim=1) == labels[standing]
        attacked = attacked + 2.5 * eps / n_steps * unit(gradient)
        attacked = (x[standing] + project(attacked - x[standing], eps)).clamp(0, 1)
        standing, attacked = standing[right], attacked[right]
        if not len(standing):
            break
    resists = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    if len(standing):
        with torch.no_grad():
            resists[standing] = classifier(attacked).argmax(dim=1) == labels[standing]
    return resists
