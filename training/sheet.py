"""The contact sheet: one photo, attacked towards several classes on the standard twin and on the robust network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from pset4.figures.display import canvas
from pset4.figures.photos import plot_image
from pset4.networks.imagenet import class_name
from pset4.networks.small_resnet import ANIMAL_CLASSES
from training.meaning import attack_towards

TARGETS = (281, 76, 145)  # tabby, tarantula, king penguin
TILE = 1.76  # inches at 100 dpi


def draw_sheet(
    networks: Mapping[str, nn.Module],
    photo: Tensor,
    path: Path,
    *,
    targets: Sequence[int] = TARGETS,
    eps: float = 30,
    n_steps: int = 200,
) -> None:
    """Writes a PNG: a row for each network; the photo, then one attacked image for each target.

    Args:
        networks: Rows from top to bottom, by their titles.
        photo: (1, 3, 224, 224), pixels in [0, 1].
        path: File to write.
        targets: ImageNet ids.
        eps: Budget in L2 at the photo's size.
        n_steps: Gradient steps.
    """
    figure = canvas(TILE * (1 + len(targets)), (TILE + 0.25) * len(networks))
    panels = figure.subplots(len(networks), 1 + len(targets), squeeze=False)
    for row, (title, network) in zip(panels, networks.items(), strict=True):
        pictures = [(title, photo), *_attacks(network, photo, targets, eps, n_steps)]
        for axes, (caption, image) in zip(row, pictures, strict=True):
            plot_image(axes, image[0].cpu(), "", caption)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def _attacks(
    network: nn.Module, photo: Tensor, targets: Sequence[int], eps: float, n_steps: int
) -> list[tuple[str, Tensor]]:
    """Captions and attacked images."""
    wanted = torch.tensor([ANIMAL_CLASSES.index(target) for target in targets], device=photo.device)
    attacked = attack_towards(network, photo.expand(len(targets), -1, -1, -1), wanted, eps=eps, n_steps=n_steps)
    with torch.no_grad():
        probabilities = network(attacked).softmax(dim=1)[torch.arange(len(targets)), wanted]
    return [
        (f"{class_name(target)} {probability:.2f}", image)
        for target, probability, image in zip(targets, probabilities.tolist(), torch.split(attacked, 1), strict=True)
    ]
