"""Figures of problems 2 and 4: top-five charts, attacks side by side, rows of images, sweeps and layer norms.

Every figure comes in two forms. `draw_...` returns a matplotlib `Figure` and touches nothing else; `show_...` draws the
same figure and displays it in the notebook, with a text alternative for screen readers. Colours are those of Okabe and
Ito (2008), and no figure needs them: bars, lines and panels differ in hatching, marker or label as well.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from torch import Tensor, nn

from pset4.figures.display import present
from pset4.figures.paths import Path, class_probabilities
from pset4.networks.imagenet import class_name

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#8A8A8A"
LINE_STYLES = (("o", "-", BLUE), ("s", "--", ORANGE), ("^", ":", GREEN), ("D", "-.", GREY))
MAX_WIDTH = 8.6  # inches at 100 dpi: the text column of a notebook

Prediction = tuple[int, float]


def _canvas(size: tuple[float, float]) -> Figure:
    """An empty figure of that width and height in inches, which keeps its parts apart."""
    return Figure(figsize=size, layout=ConstrainedLayoutEngine(h_pad=0.07))


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
    difference = (_single(changed, "changed") - _single(original, "original")).double()
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
    difference = _single(changed, "changed") - _single(original, "original")
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


def _single(image: Tensor, name: str = "image") -> Tensor:
    """One image as (3, H, W) on the CPU."""
    image = image.detach().float().cpu()
    if image.dim() == 4 and len(image) == 1:
        image = image[0]
    if image.dim() != 3 or image.shape[0] != 3:
        shape = tuple(image.shape)
        raise ValueError(f"{name} must be one image (3, H, W) or (1, 3, H, W), not a tensor of shape {shape}")
    return image


def top5(model: nn.Module, image: Tensor) -> list[Prediction]:
    """The five most probable classes of one image, most probable first.

    Args:
        model: Images (B, 3, H, W) in [0, 1] -> logits (B, K).
        image: (3, H, W) or (1, 3, H, W).

    Returns:
        Five pairs (class id, probability).
    """
    return _as_predictions(class_probabilities(model, image.unsqueeze(0) if image.dim() == 3 else image), 5)


def _as_predictions(predictions: Tensor | Sequence[Prediction], k: int) -> list[Prediction]:
    if not isinstance(predictions, Tensor):
        return [(int(class_id), float(probability)) for class_id, probability in predictions][:k]
    row = predictions.detach().cpu().double().squeeze(0)
    if row.dim() != 1:
        raise ValueError(f"expected the probabilities of one image, (K,) or (1, K), not {tuple(predictions.shape)}")
    if float(row.min()) < 0 or abs(float(row.sum()) - 1) > 1e-3:
        raise ValueError(
            f"expected probabilities, which are not negative and sum to 1; these sum to {float(row.sum()):.4g} and the "
            f"smallest is {float(row.min()):.4g}. Logits must go through the softmax first"
        )
    best = row.topk(min(k, len(row)))
    return [(int(i), float(p)) for p, i in zip(best.values, best.indices, strict=True)]


def _probability_text(probability: float) -> str:
    if probability == 0 or probability >= 0.001:
        return f"{probability:.3f}"
    return f"{probability:.0e}".replace("e-0", "e-")


def _label(class_id: int, width: int = 24) -> str:
    name = textwrap.shorten(class_name(class_id), width, placeholder="…")
    return f"{name}  {class_id}"


def _plot_top5(axes: Axes, predictions: Sequence[Prediction], title: str, target: int | None) -> None:
    rows = range(len(predictions))
    for row, (class_id, probability) in zip(rows, predictions, strict=True):
        aimed_at = class_id == target
        axes.barh(
            row,
            probability,
            height=0.72,
            color=ORANGE if aimed_at else BLUE,
            hatch="//" if aimed_at else None,
            edgecolor="white",
            linewidth=0,
        )
        inside = probability > 0.8
        text = _probability_text(probability) + ("  ◀ target" if aimed_at and not inside else "")
        text = "target ▶  " + text if aimed_at and inside else text
        axes.text(
            probability - 0.015 if inside else probability + 0.015,
            row,
            text,
            va="center",
            ha="right" if inside else "left",
            color="white" if inside else "black",
            fontsize=10,
            fontweight="bold" if inside else "normal",
            bbox={"facecolor": ORANGE, "edgecolor": "none", "pad": 1.2} if aimed_at and inside else None,
        )
    axes.set_yticks(list(rows), [_label(class_id) for class_id, _ in predictions], fontsize=10)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("probability")
    axes.set_title(title, fontsize=11, loc="left")
    axes.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def draw_top5(
    predictions: Tensor | Sequence[Prediction],
    *,
    title: str = "",
    target: int | None = None,
    image: Tensor | None = None,
) -> Figure:
    """A bar chart of the five most probable classes, with names on the axis and probabilities on the bars.

    Args:
        predictions: Probabilities (K,) or (1, K), or pairs (class id, probability), most probable first.
        title: Stands above the chart.
        target: The class that an attack aimed at; its bar is hatched and says "target".
        image: The image itself, to stand on the left of the chart.

    Raises:
        ValueError: If a tensor does not hold probabilities of one image.
    """
    pairs = _as_predictions(predictions, 5)
    figure = _canvas((MAX_WIDTH if image is not None else 6.6, 2.6))
    if image is None:
        _plot_top5(figure.subplots(), pairs, title, target)
        return figure
    left, right = figure.subplots(1, 2, width_ratios=(1, 2.1))
    _plot_image(left, _single(image), "")
    _plot_top5(right, pairs, title, target)
    return figure


def show_top5(
    predictions: Tensor | Sequence[Prediction],
    *,
    title: str = "",
    target: int | None = None,
    image: Tensor | None = None,
) -> None:
    """Displays `draw_top5` of the same arguments."""
    pairs = _as_predictions(predictions, 5)
    words = ", ".join(f"{class_name(class_id)} {_probability_text(probability)}" for class_id, probability in pairs)
    present(draw_top5(pairs, title=title, target=target, image=image), f"{title or 'Top five'}: {words}")


def show_prediction(model: nn.Module, image: Tensor, *, title: str = "", target: int | None = None) -> None:
    """Displays an image beside the top-five chart of what `model` says of it.

    Args:
        model: Images (B, 3, H, W) in [0, 1] -> logits (B, K).
        image: (3, H, W) or (1, 3, H, W).
        title: Stands above the chart.
        target: The class that an attack aimed at.
    """
    show_top5(top5(model, image), title=title, target=target, image=image)


def _plot_image(axes: Axes, image: Tensor, title: str, caption: str = "") -> None:
    axes.imshow(image.permute(1, 2, 0).clamp(0, 1).numpy(), interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(caption, fontsize=9)


def _set_title(figure: Figure, title: str) -> None:
    if title:
        figure.suptitle(title, fontsize=11)


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
    figure = _canvas((MAX_WIDTH, 3.6))
    panels = figure.subplots(1, 3)
    _plot_image(panels[0], _single(original, "original"), names[0])
    _plot_image(panels[1], _single(attacked, "attacked"), names[1])
    _plot_image(panels[2], difference, f"difference × {factor:g}  (grey: no change)")
    _set_title(figure, title)
    figure.supxlabel(f"Change, with pixels in [0, 1]:  {measure_change(original, attacked)}", fontsize=10)
    return figure


def show_attack(
    original: Tensor,
    attacked: Tensor,
    *,
    title: str = "",
    names: tuple[str, str] = ("original", "attacked"),
    magnify: float | None = None,
) -> None:
    """Displays `draw_attack` of the same arguments."""
    figure = draw_attack(original, attacked, title=title, names=names, magnify=magnify)
    words = f"{names[0]}, {names[1]} and their magnified difference. {measure_change(original, attacked)}"
    present(figure, f"{title}: {words}" if title else words)


def _plot_difference(axes: Axes, original: Tensor, image: Tensor, factor: float | None = None) -> None:
    difference, factor = magnified_difference(original, image, factor)
    caption = str(measure_change(original, image)).replace(",  ", "\n")
    _plot_image(axes, difference, f"difference × {factor:g}", caption)


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
    figure = _canvas((side * len(images), n_rows * (side + 0.4) + 0.35 * bool(title)))
    panels = figure.subplots(n_rows, len(images), squeeze=False)
    for column, (image, name) in enumerate(zip(images, titles, strict=True)):
        _plot_image(panels[0, column], _single(image), name)
    if original is not None:
        changed = [image for image in images if measure_change(original, image).l2 > 0]
        factor = magnify or min((magnified_difference(original, image)[1] for image in changed), default=1.0)
        for column, image in enumerate(images):
            if measure_change(original, image).l2 > 0:
                _plot_difference(panels[1, column], original, image, factor)
            else:
                panels[1, column].axis("off")
    _set_title(figure, title)
    return figure


def show_row(
    images: Sequence[Tensor],
    titles: Sequence[str],
    *,
    original: Tensor | None = None,
    magnify: float | None = None,
    title: str = "",
) -> None:
    """Displays `draw_row` of the same arguments."""
    words = "; ".join(
        name.replace("\n", " ") + ("" if original is None else f", {measure_change(original, image)}")
        for image, name in zip(images, titles, strict=True)
    )
    figure = draw_row(images, titles, original=original, magnify=magnify, title=title)
    present(figure, f"{title or 'Images'}: {words}")


def draw_sweep(eps: Sequence[float], curves: Mapping[str, Sequence[float]], *, target: int) -> Figure:
    """Probability of the target class after an attack, against the budget of the attack.

    Args:
        eps: Budgets (L2 norm, pixels in [0, 1]), rising.
        curves: Name of a network -> probability of the target class for each budget.
        target: The class that the attacks aimed at.

    Raises:
        ValueError: If a curve has another length than `eps`.
    """
    figure = _canvas((7.2, 3.8))
    axes = figure.subplots()
    for (name, probabilities), (marker, dash, colour) in zip(curves.items(), LINE_STYLES, strict=False):
        if len(probabilities) != len(eps):
            raise ValueError(f"{name}: {len(probabilities)} probabilities for {len(eps)} budgets")
        axes.plot(list(eps), list(probabilities), marker=marker, linestyle=dash, color=colour, label=name)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(list(eps)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_ylim(-0.03, 1.03)
    axes.axhline(0.5, color=GREY, linewidth=0.8, linestyle=(0, (1, 3)))
    axes.set_xlabel("budget eps (L2 norm, pixels in [0, 1], 224 × 224; logarithmic scale)")
    axes.set_ylabel(f"probability of {class_name(target)}")
    axes.set_title(f"How large a change makes the network say “{class_name(target)}”?", fontsize=11, loc="left")
    figure.legend(frameon=False, loc="outside lower center", ncols=max(len(curves), 1), handlelength=3.5)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure


def show_sweep(eps: Sequence[float], curves: Mapping[str, Sequence[float]], *, target: int) -> None:
    """Displays `draw_sweep` of the same arguments."""
    words = "; ".join(
        f"{name}: " + ", ".join(f"{p:.2f} at eps {e:g}" for e, p in zip(eps, probabilities, strict=True))
        for name, probabilities in curves.items()
    )
    present(draw_sweep(eps, curves, target=target), f"Probability of {class_name(target)} against eps. {words}")


def draw_paths(paths: Sequence[Path]) -> Figure:
    """The target's probability and the distance from the original after each step of an attack, one line a target.

    The smallest change that fools the network is marked with a ring.

    Args:
        paths: At least one, each with its own target.

    Raises:
        ValueError: If there is no path.
    """
    if not paths:
        raise ValueError("expected at least one Path, as `follow` returns it")
    figure = _canvas((MAX_WIDTH, 3.3))
    left, right = figure.subplots(1, 2)
    for path, (marker, dash, colour) in zip(paths, LINE_STYLES, strict=False):
        name, success = class_name(path.class_id), path.smallest_success()
        for axes, values in ((left, path.probabilities[:, path.class_id]), (right, path.l2)):
            axes.plot(values.tolist(), marker=marker, markersize=4, linestyle=dash, color=colour, label=name)
            if success is not None:
                axes.plot(success, float(values[success]), "o", markersize=13, fillstyle="none", color=colour)
        if success is not None:
            distance = float(path.l2[success])
            below = {"xytext": (8, -14), "textcoords": "offset points", "fontsize": 9, "color": colour}
            right.annotate(f"{name}: {distance:.2f} at step {success}", (success, distance), **below)
    left.set_ylabel("probability of the target")
    left.set_ylim(-0.03, 1.03)
    right.set_ylabel("L2 distance from the original")
    right.set_ylim(bottom=0)
    left.legend(frameon=False, loc="upper left", handlelength=3.5)
    left.set_title("How sure is the network?  ○ first fooled here", fontsize=10, loc="left")
    right.set_title("How large is the change?", fontsize=10, loc="left")
    for axes in (left, right):
        axes.set_xlabel("step of the attack")
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    return figure


def show_paths(paths: Sequence[Path]) -> None:
    """Displays `draw_paths` of the same arguments."""
    present(draw_paths(paths), "Attacks step by step. " + "; ".join(_in_words(path) for path in paths))


def _in_words(path: Path) -> str:
    success = path.smallest_success()
    if success is None:
        return f"{class_name(path.class_id)}: no image on the way fools the network"
    return f"{class_name(path.class_id)}: smallest success at step {success}, L2 {float(path.l2[success]):.2f}"


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
    figure = _canvas((MAX_WIDTH, 2 * side + 1.2))
    panels = figure.subplots(2, columns)
    _plot_image(panels[0, 0], _single(original), "original")
    _plot_gains(panels[1, 0], results)
    for column, result in enumerate(results, start=1):
        _plot_image(panels[0, column], _single(result.image), f"layer {result.layer} excited")
        _plot_difference(panels[1, column], original, result.image)
    _set_title(figure, title)
    return figure


def _plot_gains(axes: Axes, results: Sequence[LayerResult]) -> None:
    gains = [result.after / result.before for result in results]
    bars = axes.bar([f"{result.layer}" for result in results], gains, color=BLUE, width=0.6)
    axes.bar_label(bars, [f"× {gain:.3g}" for gain in gains], fontsize=9)
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set_ylim(0, max([*gains, 1]) * 1.18)
    axes.set_title("gain of the norm", fontsize=10)
    axes.set_xlabel("layer", fontsize=9)
    axes.set_box_aspect(1)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def show_layer_norms(original: Tensor, results: Sequence[LayerResult], *, title: str = "") -> None:
    """Displays `draw_layer_norms` of the same arguments."""
    words = "; ".join(f"layer {r.layer}: norm of the features {r.before:.3g} -> {r.after:.3g}" for r in results)
    present(draw_layer_norms(original, results, title=title), f"{title}: {words}" if title else words)
