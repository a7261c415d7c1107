"""Is an attacked photo a success? Decided from the image alone, with the course's own photo, budget and network."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from pset4.checks.judging.trials import TOLERANCE, describe
from pset4.images import load_corgi, round_to_8_bits
from pset4.networks.imagenet import class_name
from pset4.networks.network import Network, NetworkName, load_model
from pset4.steps import l2_norms

TARANTULA, TIGER_CAT = 76, 282
STANDARD_EPS, ROBUST_EPS = 3.0, 30.0


@cache
def judging_network(name: NetworkName, device: str = "cpu") -> Network:
    """A network of the course; it is loaded once for each process, as is the photo."""
    return load_model(name, device, verbose=False)


@cache
def judging_photo(device: str = "cpu") -> Tensor:
    """The original of all attacks, (1, 3, 224, 224)."""
    return load_corgi(device, verbose=False)


@dataclass(frozen=True)
class AttackedPhoto:
    """What an image that was handed in shows.

    Attributes:
        target: The class that it should be taken for.
        eps: The budget.
        problem: Why it is not an image within the budget, or "".
        kind: The problem's kind: "type", "shape", "not finite", "range", "budget" or "".
        l2: Distance from the original.
        change: Natural logarithm of the target's probability, after minus before.
        rank: How many classes are more probable than the target, after rounding to 8 bits.
        rank_exact: The same before rounding.
        best: The most probable class after rounding to 8 bits.
    """

    target: int
    eps: float
    problem: str = ""
    kind: str = ""
    l2: float = 0.0
    change: float = 0.0
    rank: int = 1000
    rank_exact: int = 1000
    best: int = -1

    @property
    def in_budget(self) -> bool:
        """Whether it is a finite image of the photo's shape, in [0, 1] and within the budget."""
        return not self.problem

    @property
    def closer(self) -> bool:
        """Whether it is in the budget, and the target gained e-fold and is among the five most probable classes.

        A change of any direction moves all probabilities a little; an attack multiplies its target's many times.
        """
        return self.in_budget and self.change > 1 and self.rank < 5

    @property
    def success(self) -> bool:
        """Whether it is in the budget, and the target is the most probable class after rounding to 8 bits."""
        return self.in_budget and self.rank == 0

    def sentence(self) -> str:
        """What the student should know."""
        if self.problem:
            return self.problem
        wanted = f"class {self.target} ({class_name(self.target)})"
        if self.success:
            return f"the network takes it for {wanted}; L2 distance from the photo {self.l2:.3f}, budget {self.eps:g}"
        if self.rank_exact == 0:
            return f"{wanted} is the most probable class until the image is rounded to 8 bits, as a file would be"
        return f"the network takes it for class {self.best} ({class_name(self.best)}), not for {wanted}"


def look_at(value: Any, network: Network, original: Tensor, *, target: int, eps: float) -> AttackedPhoto:
    """Looks at what a student handed in as an attacked photo.

    Args:
        value: Anything; right is a tensor (1, 3, H, W) with pixels in [0, 1].
        network: Pixels -> logits.
        original: The photo (1, 3, H, W).
        target: Class id.
        eps: Budget in the L2 norm, with a tolerance of 1e-3.
    """
    kind, problem, distance = _problem(value, original, eps)
    if kind in {"type", "shape", "not finite"}:
        return AttackedPhoto(target, eps, problem, kind)
    image = value.detach().to(original).clamp(0, 1)
    before, exact, after = (_log_probabilities(network, x)[0] for x in (original, image, round_to_8_bits(image)))
    return AttackedPhoto(
        target,
        eps,
        problem,
        kind,
        l2=distance,
        change=float(after[target] - before[target]),
        rank=int((after > after[target]).sum()),
        rank_exact=int((exact > exact[target]).sum()),
        best=int(after.argmax()),
    )


def _problem(value: Any, original: Tensor, eps: float) -> tuple[str, str, float]:
    if not isinstance(value, Tensor):
        return "type", f"it is {describe(value)}, not a tensor (1, 3, 224, 224)", 0.0
    if value.shape != original.shape:
        return "shape", f"it has the shape {tuple(value.shape)}, not {tuple(original.shape)}", 0.0
    if not value.is_floating_point() or not bool(torch.isfinite(value).all()):
        return "not finite", "it holds NaN, infinity or whole numbers instead of pixels in [0, 1]", 0.0
    pixels = value.detach().to(original)
    distance = float(l2_norms(pixels - original))
    lowest, highest = float(pixels.min()), float(pixels.max())
    if lowest < -TOLERANCE or highest > 1 + TOLERANCE:
        return "range", f"its pixels lie in [{lowest:.3g}, {highest:.3g}]; they must stay in [0, 1]", distance
    if distance > eps + TOLERANCE:
        return "budget", f"it is {distance:.3g} away from the photo (L2 norm); the budget is {eps:g}", distance
    return "", "", distance


def _log_probabilities(network: Network, image: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.log_softmax(network(image).double(), dim=1)
