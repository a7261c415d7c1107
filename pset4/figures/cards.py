"""A card to keep: a photo before and after a change, and what a network sees in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from torch import Tensor

from pset4.figures.charts import Prediction, plot_top5
from pset4.figures.display import MAX_WIDTH, canvas, describe, shown
from pset4.figures.photos import plot_image, single_image
from pset4.networks.imagenet import class_name


@dataclass(frozen=True)
class Seen:
    """An image and what a network sees in it.

    Attributes:
        name: What it is, in a few words.
        image: (3, H, W) or (1, 3, H, W), pixels in [0, 1].
        guesses: Pairs (class id, probability), most probable first.
    """

    name: str
    image: Tensor
    guesses: Sequence[Prediction]


def draw_card(before: Seen, after: Seen, *, title: str = "What does the network see?") -> Figure:
    """Two images, one above the other, each beside the classes that a network sees in it.

    Args:
        before: A photo.
        after: What was made of it.
        title: Stands above.
    """
    figure = canvas(MAX_WIDTH * 0.85, 4.9, title=title)
    for row, seen in zip(figure.subplots(2, 2, width_ratios=(1, 1.9)), (before, after), strict=True):
        plot_image(row[0], single_image(seen.image), "")
        plot_top5(row[1], list(seen.guesses), seen.name, None)
    words = "; ".join(
        f"{seen.name}: " + ", ".join(f"{class_name(i)} {p:.3f}" for i, p in seen.guesses) for seen in (before, after)
    )
    return describe(figure, title, words)


show_card = shown(draw_card)
