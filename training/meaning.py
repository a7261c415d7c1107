"""Whether an attack changes an image's *meaning*: what an independent network thinks of the attacked image.

A network is attacked towards a target class. If the perturbation draws features of that class, another network, of
another architecture and trained on other data, must find the class more probable than before.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax

from pset4.networks.network import Network, efficientnet_network
from pset4.networks.small_resnet import ANIMAL_CLASSES, resize
from pset4.steps import L2Step, l2_norms
from training.photos import Photos

# What 30 at 224 x 224, the budget of the notebook, is at 64 x 64.
EPS = 30 * 64 / 224


def judge(network: Network, x: Tensor) -> Tensor:
    """Log-probabilities (B, 57) of the animals among ImageNet's 1000 classes, for images (B, 3, H, W) of any size."""
    return log_softmax(network(resize(x, 224)), dim=1)[:, list(ANIMAL_CLASSES)]


def attack_towards(network: nn.Module, x: Tensor, targets: Tensor, *, eps: float, n_steps: int) -> Tensor:
    """Images within `eps` of `x` (L2) in which the network sees the targets: descends the cross-entropy."""
    step = L2Step(x, step_size=2.5 * eps / n_steps, eps=eps)
    attacked = x
    for _ in range(n_steps):
        attacked = attacked.detach().requires_grad_()
        loss = cross_entropy(network(attacked), targets, reduction="sum")
        attacked = step.step(attacked, -torch.autograd.grad(loss, attacked)[0])
    return attacked


def same_norm(x: Tensor, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Shortens, image by image, the longer of two perturbations of `x` to the length of the shorter."""
    lengths = [l2_norms(attacked - x).clamp(min=1e-12) for attacked in (one, other)]
    shorter = torch.minimum(*lengths)
    one, other = (x + (a - x) * (shorter / length) for a, length in zip((one, other), lengths, strict=True))
    return one, other


def draw_targets(labels: Tensor, n_targets: int, seed: int) -> Tensor:
    """Different target classes for each photo, never its own: (N,) -> (N, n_targets)."""
    generator = torch.Generator().manual_seed(seed)
    shifts = torch.stack([torch.randperm(len(ANIMAL_CLASSES) - 1, generator=generator)[:n_targets] for _ in labels]) + 1
    return (labels[:, None] + shifts) % len(ANIMAL_CLASSES)


def measure_meaning(
    robust: nn.Module,
    twin: nn.Module,
    photos: Photos,
    device: torch.device,
    *,
    n_targets: int = 5,
    eps: float = EPS,
    n_steps: int = 40,
) -> dict[str, Any]:
    """Gain of the target's log-probability under the judge, for images that attack either network.

        gain = log p(target | attacked) - log p(target | photo)

    Both networks are attacked with the same photo, target, budget and steps, and the two perturbations are given the
    same norm.

    Returns:
        For each network the mean and the standard deviation of the gain over all images, and how often the judge
        calls the target the most probable animal; the mean norm; the paired difference with its p-value.
    """
    independent = efficientnet_network().to(device)
    targets = draw_targets(photos.labels, n_targets, seed=0)
    measured: list[tuple[Tensor, Tensor, Tensor]] = []  # gains, hits and norms of ten photos
    for images, classes in zip(torch.split(photos.pixels(), 10), torch.split(targets, 10), strict=True):
        originals, wanted = images.repeat_interleave(n_targets, 0).to(device), classes.flatten().to(device)
        attacked = [attack_towards(network, originals, wanted, eps=eps, n_steps=n_steps) for network in (robust, twin)]
        one, other = same_norm(originals, *attacked)
        with torch.no_grad():
            before = judge(independent, images.to(device)).repeat_interleave(n_targets, 0)
            after = torch.stack([judge(independent, one), judge(independent, other)], dim=1)  # (B, 2, 57)
        gains = (after - before[:, None])[torch.arange(len(wanted)), :, wanted]  # (B, 2)
        hits = after.argmax(dim=2) == wanted[:, None]
        measured.append((gains.cpu(), hits.cpu(), l2_norms(one - originals).flatten().cpu()))
    gains, hits, norms = (torch.cat(parts) for parts in zip(*measured, strict=True))
    return _summary(gains, hits, n_targets) | {"eps": eps, "norm": norms.mean().item(), "steps": n_steps}


def _summary(gains: Tensor, hits: Tensor, n_targets: int) -> dict[str, Any]:
    difference = gains[:, 0] - gains[:, 1]  # (photos * targets,)
    # The targets of one photo are not independent of each other: the test is over photos.
    by_photo = difference.view(-1, n_targets).mean(dim=1)
    table = {
        name: {
            "mean": gains[:, i].mean().item(),
            "spread": gains[:, i].std().item(),
            "called_the_target": hits[:, i].float().mean().item(),
        }
        for i, name in enumerate(("robust", "standard"))
    }
    return table | {
        "photos": len(by_photo),
        "targets": n_targets,
        "difference": {"mean": difference.mean().item(), "spread": difference.std().item()},
        "robust_gains_more": (difference > 0).float().mean().item(),
        "p_value": sign_flip_test(by_photo),
    }


def sign_flip_test(differences: Tensor, *, n_flips: int = 100_000, seed: int = 0) -> float:
    """Two-sided p-value of paired differences having mean 0, by random flips of their signs (Fisher, 1935).

    Args:
        differences: (N,).
        n_flips: Random flips; the smallest p-value that can come out is 1 / (n_flips + 1).
        seed: Seed of the flips.
    """
    generator = torch.Generator().manual_seed(seed)
    observed = differences.mean().abs()
    extreme = 0
    for _ in range(0, n_flips, 10_000):
        signs = torch.randint(2, (10_000, len(differences)), generator=generator) * 2 - 1
        extreme += int(((signs * differences).mean(dim=1).abs() >= observed - 1e-12).sum())
    return (extreme + 1) / (n_flips + 1)
