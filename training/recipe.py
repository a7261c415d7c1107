"""How the networks are trained: every number of it, and how the numbers change in the course of the training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

Anchors = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Recipe:
    """The settings of a training run; the defaults are those of the shipped robust network.

    The schedules are anchors `(epoch, value)`. Training begins with small images, a low-cost way to learn most of
    what there is to learn, and without the adversary, whose budget then grows.

    Attributes:
        eps: Budget of the adversary in L2 at 64 x 64 pixels; 0 trains the standard twin.
        budget: Share of `eps` in force, linear between anchors. At a smaller size the budget shrinks with the side, as
            the norm of a picture's change does when the picture is scaled.
        sides: Height and width of the images, constant from one anchor to the next.
        rate: Factor of both learning rates, linear between anchors. The last anchor ends the training.
        batch_size: Photos of one step.
        muon_lr: Peak learning rate of the convolutions in the stages (Muon, a relative change).
        sgd_lr: Peak learning rate of all other parameters (SGD, Nesterov momentum 0.9).
        weight_decay: L2 penalty of the weights of stem and head.
        label_smoothing: Probability that the target spreads over all classes.
        ema_decay: Decay of the running mean of the weights, which is what ships.
        seed: Seed of the first weights and of every random choice.
    """

    eps: float = 1.0
    budget: Anchors = ((2, 0), (8, 1))
    sides: tuple[tuple[float, int], ...] = ((0, 32), (7, 40), (13, 48), (20, 64))
    rate: Anchors = ((0, 0), (1.5, 1), (26, 0))
    batch_size: int = 128
    muon_lr: float = 0.05
    sgd_lr: float = 0.1
    weight_decay: float = 5e-4
    label_smoothing: float = 0.1
    ema_decay: float = 0.995
    seed: int = 0

    @property
    def epochs(self) -> int:
        """Passes over the training photos."""
        return round(self.rate[-1][0])

    def eps_at(self, epoch: float) -> float:
        """Budget at 64 x 64 pixels."""
        return self.eps * between(self.budget, epoch)

    def rate_at(self, epoch: float) -> float:
        """Factor of the learning rates."""
        return between(self.rate, epoch)

    def side_at(self, epoch: float) -> int:
        """Height and width of the training images."""
        return next(side for start, side in reversed(self.sides) if epoch >= start)

    def stretched(self, epochs: int) -> Recipe:
        """The same course of the training in another number of epochs.

        Raises:
            ValueError: If `epochs` is not positive.
        """
        if epochs < 1:
            raise ValueError(f"epochs must be a positive integer, not {epochs}")
        factor = epochs / self.epochs
        return replace(
            self,
            budget=tuple((epoch * factor, value) for epoch, value in self.budget),
            sides=tuple((epoch * factor, side) for epoch, side in self.sides),
            rate=tuple((epoch * factor, value) for epoch, value in self.rate),
        )

    @classmethod
    def from_json(cls, table: dict[str, Any]) -> Recipe:
        """The recipe that `dataclasses.asdict` and JSON made a table of."""
        return cls(**{name: _tuples(value) for name, value in table.items()})


# The recipes of the shipped weights: they differ in the adversary alone.
SHIPPED = {"l2": Recipe(), "none": Recipe(eps=0.0)}


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def between(anchors: Anchors, position: float) -> float:
    """Linear interpolation, constant before the first and after the last anchor."""
    if position <= anchors[0][0]:
        return anchors[0][1]
    for (left, low), (right, high) in pairwise(anchors):
        if position <= right:
            return low + (high - low) * (position - left) / (right - left)
    return anchors[-1][1]
