"""A photo that was attacked on several networks, in one figure."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure
from torch import Tensor

from pset4.figures.display import MAX_WIDTH, canvas, describe, shown
from pset4.figures.photos import magnified_difference, measure_change, plot_image, single_image
from pset4.networks.imagenet import class_name


def draw_attacked_networks(
    original: Tensor, attacked: Mapping[str, Tensor], probabilities: Mapping[str, Tensor], *, target: int, eps: float
) -> Figure:
    """Images that were made against several networks, each with its magnified difference and what its network sees.

    Args:
        original: (1, 3, H, W), pixels in [0, 1].
        attacked: Name of a network -> the image (1, 3, H, W) that was made against it.
        probabilities: Name of a network -> what it says of that image, (K,).
        target: The class that the attacks aimed at.
        eps: Their budget.
    """
    factor = min(magnified_difference(original, image)[1] for image in attacked.values())
    title = f"Attacked to “{class_name(target)}” within eps = {eps:g}, differences × {factor:g}"
    figure = canvas(MAX_WIDTH, 2.1, title=title)
    panels = figure.subplots(1, 2 * len(attacked), squeeze=False)[0]
    words = []
    for column, (name, image) in enumerate(attacked.items()):
        row = probabilities[name]
        sees = f"{class_name(int(row.argmax()))} {float(row.max()):.2f}"
        length = f"L2 = {measure_change(original, image).l2:.2f}"
        plot_image(panels[2 * column], single_image(image), name, sees)
        plot_image(panels[2 * column + 1], magnified_difference(original, image, factor)[0], "difference", length)
        words.append(f"made against {name}, which sees {sees}, {length}")
    return describe(figure, title, "; ".join(words))


show_attacked_networks = shown(draw_attacked_networks)
