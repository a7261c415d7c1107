"""What an attack does on its way: every image that it passes, and the first of them that already fools the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pset4.figures.progress import StepWithBar, with_bar
from pset4.images import round_to_8_bits
from pset4.networks.imagenet import class_name
from pset4.steps import L2Step
from pset4.traces import stops_shortly

Attack = Callable[..., Tensor]
BATCH = 8  # images that are classified at once: small enough for a laptop


class TracedStep:
    """An `L2Step` that keeps a copy of every image that it returns.

    Attributes:
        original: As in the step that it stands for, like `step_size` and `eps`.
        images: The images so far, one tensor for each step.
    """

    def __init__(self, step: L2Step | StepWithBar) -> None:
        """Wraps `step`."""
        self._step = step
        self.original, self.step_size, self.eps = step.original, step.step_size, step.eps
        self.images: list[Tensor] = []

    def step(self, x: Tensor, direction: Tensor) -> Tensor:
        """The step's own result; a copy of it is kept."""
        moved = self._step.step(x, direction)
        self.images.append(moved.clone())
        return moved


@dataclass(frozen=True)
class Path:
    """The way of one attack on one image, step 0 (the original) included.

    Attributes:
        images: (T + 1, 3, H, W).
        probabilities: (T + 1, K) on the CPU, what the network says of them once they are rounded to 8 bits.
        class_id: The class that the attack aimed at.
    """

    images: Tensor
    probabilities: Tensor
    class_id: int

    @property
    def l2(self) -> Tensor:
        """Distance of each image from the original, (T + 1,): L2 norm, pixels in [0, 1]."""
        distance: Tensor = torch.linalg.vector_norm(self.images - self.images[0], dim=(1, 2, 3))
        return distance.cpu()

    def smallest_success(self) -> int | None:
        """Number of the step whose image is closest to the original among those that the network takes for the target.

        Returns:
            The step, counted from 1 (0 is the original), or None if no image on the way fools the network.
        """
        fooled = self.probabilities.argmax(dim=1) == self.class_id
        if not bool(fooled.any()):
            return None
        return int(torch.where(fooled, self.l2, torch.inf).argmin())


@stops_shortly
def follow(
    attack: Attack,
    model: Callable[[Tensor], Tensor],
    x: Tensor,
    class_id: int,
    step: L2Step | StepWithBar,
    *,
    n_iter: int,
) -> Path:
    """Runs an attack once and keeps what it passes.

    Args:
        attack: Called as `attack(model, x, class_id, step, n_iter)`; it moves x by `step.step` only.
        model: Images (B, 3, H, W) in [0, 1] -> logits (B, K).
        x: One image (1, 3, H, W).
        class_id: The target.
        step: Step size and budget.
        n_iter: Steps of the attack.

    Raises:
        ValueError: If `x` is not one image.
    """
    if x.dim() != 4 or len(x) != 1:
        raise ValueError(f"x must be one image (1, 3, H, W), not a tensor of shape {tuple(x.shape)}")
    if isinstance(model, nn.Module):
        step = with_bar(step, n_iter, watch=model, title=f"attack on {class_name(class_id)}")
    traced = TracedStep(step)
    attack(model, x, class_id, traced, n_iter)
    images = torch.cat([x.detach(), *traced.images])
    return Path(images, class_probabilities(model, round_to_8_bits(images)), class_id)


def class_probabilities(model: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """What a network says of images, as numbers on the CPU.

    Args:
        model: Images (B, 3, H, W) in [0, 1] -> logits (B, K).
        images: (B, 3, H, W).

    Returns:
        (B, K), float64 on the CPU; each row sums to 1.
    """
    with torch.no_grad():
        # Apple's MPS has no float64, so the numbers go to the CPU first.
        logits = torch.cat([model(part).cpu() for part in torch.split(images.detach(), BATCH)])
    return torch.softmax(logits.double(), dim=1)
