"""One step of projected gradient descent in the L2 ball (Madry et al., 2018, section 2.1; foolbox's `L2PGD`)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def l2_norms(images: Tensor) -> Tensor:
    """L2 norm of each image over all its pixels and channels.

    Args:
        images: (B, ...).

    Returns:
        (B, 1, ..., 1), so that it broadcasts against `images`.
    """
    # Scaled by the largest entry first: squares of tiny or huge gradients would leave float32's range.
    flat = images.flatten(1)
    largest = flat.abs().amax(dim=1, keepdim=True)
    safe = torch.where(largest > 0, largest, torch.ones_like(largest))
    norms: Tensor = largest * (flat / safe).norm(dim=1, keepdim=True)
    return norms.view(-1, *[1] * (images.dim() - 1))


def _unit(direction: Tensor, largest: Tensor) -> Tensor:
    """Each image's direction at length 1; a zero direction stays zero. `largest` holds each one's largest entry."""
    # The largest entry goes first: a saturated softmax has gradients whose norm float32 cannot divide by.
    scaled = direction / torch.where(largest > 0, largest, 1)
    norms: Tensor = scaled.flatten(1).norm(dim=1).view_as(largest)
    return scaled / norms.clamp_min(1)


@dataclass(frozen=True)
class L2Step:
    """Moves images along a direction and keeps them close to the original.

    For each image of the batch, with `d` the direction,

        x <- x + step_size * d / ||d||_2
        x <- original + (x - original) * min(1, eps / ||x - original||_2)
        x <- clamp(x, 0, 1)

    The clamp comes last and can only shorten the distance to an original that lies in [0, 1].

    Attributes:
        original: Images (B, 3, H, W), or (1, 3, H, W) for all images of a batch; pixels in [0, 1].
        step_size: Length of one step in the L2 norm, in pixel units.
        eps: Radius of the L2 ball round the original, in pixel units.

    Raises:
        ValueError: If `step_size` or `eps` is not positive, or `original` is not a batch of images in [0, 1].

    Example:
        >>> step = L2Step(torch.full((1, 3, 8, 8), 0.5), step_size=0.5, eps=3)
        >>> x = step.step(step.original, torch.ones(1, 3, 8, 8))
        >>> round(float((x - step.original).norm()), 4)
        0.5
    """

    original: Tensor
    step_size: float
    eps: float

    def __post_init__(self) -> None:
        """Refuses settings that cannot mean anything."""
        for name in ("step_size", "eps"):
            value = getattr(self, name)
            if not 0 < float(value) < float("inf"):
                raise ValueError(f"{name} must be a positive number (L2 norm, pixels in [0, 1]), not {value!r}")
        if self.original.dim() != 4:
            shape = tuple(self.original.shape)
            raise ValueError(f"original must be a batch of images (B, 3, H, W), not a tensor of shape {shape}")
        if not bool(((self.original >= 0) & (self.original <= 1)).all()):
            raise ValueError(
                "original must hold pixels in [0, 1]; normalisation belongs to the model, not to the image"
            )

    def step(self, x: Tensor, direction: Tensor) -> Tensor:
        """One step.

        Args:
            x: Images (B, 3, H, W).
            direction: (B, 3, H, W); its length does not matter. A zero direction leaves its image where it is.

        Returns:
            New images (B, 3, H, W): a detached leaf without `requires_grad`.

        Raises:
            ValueError: If the shapes differ, or the direction is not finite.
        """
        if x.shape != direction.shape:
            raise ValueError(
                f"x and direction must have one shape, not {tuple(x.shape)} and {tuple(direction.shape)}; "
                "the direction is usually a gradient with respect to x"
            )
        if not bool(torch.isfinite(direction).all()):
            raise ValueError("direction holds NaN or infinity; look at the loss that it is the gradient of")
        with torch.no_grad():
            largest = direction.abs().amax(dim=(1, 2, 3), keepdim=True)
            moved = self._project(x + self.step_size * _unit(direction, largest)).clamp(0, 1)
            return torch.where(largest > 0, moved, x).detach()

    def _project(self, x: Tensor) -> Tensor:
        offset = x - self.original
        distance = l2_norms(offset)
        # Only what lies outside is touched: inside the ball, rounding must not move an image.
        return torch.where(distance > self.eps, self.original + offset * (self.eps / distance), x)
