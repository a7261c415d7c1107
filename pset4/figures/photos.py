"""Figures of images in problems 2 and 4: attacks side by side, rows of images, and what excites a layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from pset4.figures.display import BLUE, MAX_WIDTH, canvas, describe, hide_frame, shown


@dataclass(frozen=True)
class Change:
    """How far one image is from another, in pixels of [0, 1].

    Attributes:
        l2: Euclidean norm of the difference over all pixels and channels.
        linf: Largest absolute difference of a single value.
    """

    l2: float
    linf: float

    def __str__(self) -> str:
        """Both norms, the second one also in steps of an 8-bit image."""
        return f"L2 = {self.l2:.2f},  L∞ = {self.linf:.3f} ({self.linf * 255:.0f}/255)"


def measure_change(original: Tensor, changed: Tensor) -> Change:
    """L2 and L-infinity norm of `changed - original`.

    Args:
        original: (3, H, W) or (1, 3, H, W), pixels in [0, 1].
        changed: The same shape.

    Raises:
        ValueError: If one of them is not a single image, or their sizes differ.
    """
    difference = (single_image(changed, "changed") - single_image(original, "original")).double()
    return Change(float(difference.norm()), float(difference.abs().max()))


def magnified_difference(original: Tensor, changed: Tensor, factor: float | None = None) -> tuple[Tensor, float]:
    """The difference of two images as an image: `0.5 + factor * (changed - original)`, clamped to [0, 1].

    Args:
        original: (3, H, W) or (1, 3, H, W), pixels in [0, 1].
        changed: The same shape.
        factor: The magnification. Without it, the largest of 1, 2, 5, 10, 20, 50, ... that clips at most about half a
            percent of the values.

    Returns:
        The image (3, H, W), on the CPU, and the factor.
    """
    difference = single_image(changed, "changed") - single_image(original, "original")
    factor = _round_factor(difference) if factor is None else factor
    return (0.5 + factor * difference).clamp(0, 1), factor


def _round_factor(difference: Tensor) -> float:
    sizes = difference.abs().flatten()
    large = float(sizes.kthvalue(max(1, math.ceil(0.995 * sizes.numel()))).values)
    if large == 0:
        return 1.0
    exact = max(0.501 / large, 1.0)  # a little more than a half, against rounding
    power = 10.0 ** math.floor(math.log10(exact))
    return next(step * power for step in (5, 2, 1) if step * power <= exact)


def single_image(image: Tensor, name: str = "image") -> Tensor:
    """One image as (3, H, W), float32 on the CPU.

    Raises:
        ValueError: If it is anything else; the message calls it `name`.
    """
    image = image.detach().float().cpu()
    if image.dim() == 4 and len(image) == 1:
        image = image[0]
    if image.dim() != 3 or image.shape[0] != 3:
        shape = tuple(image.shape)
        raise ValueError(f"{name} must be one image (3, H, W) or (1, 3, H, W), not a tensor of shape {shape}")
    return image


def plot_image(axes: Axes, image: Tensor, title: str, caption: str = "") -> None:
    """Draws one image (3, H, W) with a title above and a caption below."""
    axes.imshow(image.permute(1, 2, 0).clamp(0, 1).numpy(), interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(caption, fontsize=9)


def draw_attack(
    original: Tensor,
    attacked: Tensor,
    *,
    title: str = "",
    names: tuple[str, str] = ("original", "attacked"),
    magnify: float | None = None,
) -> Figure:
    """Original, attacked image and magnified difference side by side; both norms stand in the caption.

    Args:
        original: (3, H, W) or (1, 3, H, W), pixels in [0, 1].
        attacked: The same shape.
        title: Stands above the panels.
        names: What the first two panels are called.
        magnify: Magnification of the difference; chosen by `magnified_difference` if not given. Give it where two
            attacks are to be compared.
    """
    difference, factor = magnified_difference(original, attacked, magnify)
    figure = canvas(MAX_WIDTH, 3.6, title=title)
    panels = figure.subplots(1, 3)
    plot_image(panels[0], single_image(original, "original"), names[0])
    plot_image(panels[1], single_image(attacked, "attacked"), names[1])
    plot_image(panels[2], difference, f"difference × {factor:g}  (grey: no change)")
    change = measure_change(original, attacked)
    figure.supxlabel(f"Change, with pixels in [0, 1]:  {change}", fontsize=10)
    return describe(figure, title, f"{names[0]}, {names[1]} and their magnified difference. {change}")


show_attack = shown(draw_attack)


def _plot_difference(axes: Axes, original: Tensor, image: Tensor, factor: float | None = None) -> None:
    difference, factor = magnified_difference(original, image, factor)
    caption = str(measure_change(original, image)).replace(",  ", "\n")
    plot_image(axes, difference, f"difference × {factor:g}", caption)


def draw_row(
    images: Sequence[Tensor],
    titles: Sequence[str],
    *,
    original: Tensor | None = None,
    magnify: float | None = None,
    title: str = "",
) -> Figure:
    """Images side by side and, if `original` is given, below each its magnified difference and the two norms.

    Below an image that equals the original, nothing stands.

    Args:
        images: At least one image, each (3, H, W) or (1, 3, H, W), pixels in [0, 1].
        titles: One for each image.
        original: What the differences are taken from.
        magnify: Magnification of all differences. Without it, the smallest of those that suit the single images, so
            that the panels of one row can be compared.
        title: Stands above the row.

    Raises:
        ValueError: If there is no image, or the number of titles differs.
    """
    if not images or len(images) != len(titles):
        raise ValueError(
            f"expected one title for each image and at least one image, not {len(images)} and {len(titles)}"
        )
    n_rows, side = (1 if original is None else 2), min(2.9, MAX_WIDTH / len(images))
    figure = canvas(side * len(images), n_rows * (side + 0.4) + 0.35 * bool(title), title=title)
    panels = figure.subplots(n_rows, len(images), squeeze=False)
    for column, (image, name) in enumerate(zip(images, titles, strict=True)):
        plot_image(panels[0, column], single_image(image), name)
    if original is not None:
        changed = [image for image in images if measure_change(original, image).l2 > 0]
        factor = magnify or min((magnified_difference(original, image)[1] for image in changed), default=1.0)
        for column, image in enumerate(images):
            if measure_change(original, image).l2 > 0:
                _plot_difference(panels[1, column], original, image, factor)
            else:
                panels[1, column].axis("off")
    words = "; ".join(
        name.replace("\n", " ") + ("" if original is None else f", {measure_change(original, image)}")
        for image, name in zip(images, titles, strict=True)
    )
    return describe(figure, title or "Images", words)


show_row = shown(draw_row)


@dataclass(frozen=True)
class LayerResult:
    """One image that was made to excite one layer.

    Attributes:
        layer: Counts from 0, the first stage after the stem.
        image: (1, 3, H, W).
        before: L2 norm of the layer's features of the original.
        after: The same for `image`.
    """

    layer: int
    image: Tensor
    before: float
    after: float


def draw_layer_norms(original: Tensor, results: Sequence[LayerResult], *, title: str = "") -> Figure:
    """The original and, for each layer, image, magnified difference and the norm of its features before and after.

    Args:
        original: (1, 3, H, W), pixels in [0, 1].
        results: One for each layer.
        title: Stands above the figure.

    Raises:
        ValueError: If there is no result.
    """
    if not results:
        raise ValueError("expected at least one LayerResult")
    columns = len(results) + 1
    side = MAX_WIDTH / columns
    figure = canvas(MAX_WIDTH, 2 * side + 1.2, title=title)
    panels = figure.subplots(2, columns)
    plot_image(panels[0, 0], single_image(original), "original")
    _plot_gains(panels[1, 0], results)
    for column, result in enumerate(results, start=1):
        plot_image(panels[0, column], single_image(result.image), f"layer {result.layer} excited")
        _plot_difference(panels[1, column], original, result.image)
    words = "; ".join(f"layer {r.layer}: norm of the features {r.before:.3g} -> {r.after:.3g}" for r in results)
    return describe(figure, title, words)


def _plot_gains(axes: Axes, results: Sequence[LayerResult]) -> None:
    gains = [result.after / result.before for result in results]
    bars = axes.bar([f"{result.layer}" for result in results], gains, color=BLUE, width=0.6)
    axes.bar_label(bars, [f"× {gain:.3g}" for gain in gains], fontsize=9)
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set_ylim(0, max([*gains, 1]) * 1.18)
    axes.set_title("gain of the norm", fontsize=10)
    axes.set_xlabel("layer", fontsize=9)
    axes.set_box_aspect(1)
    hide_frame(axes, "top", "right")


show_layer_norms = shown(draw_layer_norms)
