"""Charts of problems 2 and 4: the five most probable classes, sweeps over the budget, and attacks step by step."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from torch import Tensor, nn

from pset4.figures.display import BLUE, GREEN, GREY, MAX_WIDTH, ORANGE, canvas, describe, hide_frame, shown
from pset4.figures.paths import Path, class_probabilities
from pset4.figures.photos import plot_image, single_image
from pset4.networks.imagenet import class_name

LINE_STYLES = (("o", "-", BLUE), ("s", "--", ORANGE), ("^", ":", GREEN), ("D", "-.", GREY))

Prediction = tuple[int, float]


def _five_best(predictions: Tensor | Sequence[Prediction]) -> list[Prediction]:
    if not isinstance(predictions, Tensor):
        return [(int(class_id), float(probability)) for class_id, probability in predictions][:5]
    row = predictions.detach().cpu().double().squeeze(0)
    if row.dim() != 1:
        raise ValueError(f"expected the probabilities of one image, (K,) or (1, K), not {tuple(predictions.shape)}")
    if float(row.min()) < 0 or abs(float(row.sum()) - 1) > 1e-3:
        raise ValueError(
            f"expected probabilities, which are not negative and sum to 1; these sum to {float(row.sum()):.4g} and the "
            f"smallest is {float(row.min()):.4g}. Logits must go through the softmax first"
        )
    best = row.topk(min(5, len(row)))
    return [(int(i), float(p)) for p, i in zip(best.values, best.indices, strict=True)]


def _probability_text(probability: float) -> str:
    if probability == 0 or probability >= 0.001:
        return f"{probability:.3f}"
    return f"{probability:.0e}".replace("e-0", "e-")


def _label(class_id: int, width: int = 24) -> str:
    name = textwrap.shorten(class_name(class_id), width, placeholder="…")
    return f"{name}  {class_id}"


def plot_top5(axes: Axes, predictions: Sequence[Prediction], title: str, target: int | None) -> None:
    """Draws the bars of pairs (class id, probability), with names on the axis; the target's bar is hatched."""
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
    hide_frame(axes, "top", "right", "left")


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
    pairs = _five_best(predictions)
    figure = canvas(6.6 if image is None else MAX_WIDTH, 2.6)
    if image is None:
        chart = figure.subplots()
    else:
        picture, chart = figure.subplots(1, 2, width_ratios=(1, 2.1))
        plot_image(picture, single_image(image), "")
    plot_top5(chart, pairs, title, target)
    words = ", ".join(f"{class_name(class_id)} {_probability_text(probability)}" for class_id, probability in pairs)
    return describe(figure, title or "Top five", words)


show_top5 = shown(draw_top5)


def draw_prediction(model: nn.Module, image: Tensor, *, title: str = "", target: int | None = None) -> Figure:
    """An image beside the top-five chart of what `model` says of it.

    Args:
        model: Images (B, 3, H, W) in [0, 1] -> logits (B, K).
        image: (3, H, W) or (1, 3, H, W).
        title: Stands above the chart.
        target: The class that an attack aimed at.
    """
    probabilities = class_probabilities(model, image.unsqueeze(0) if image.dim() == 3 else image)
    return draw_top5(probabilities, title=title, target=target, image=image)


show_prediction = shown(draw_prediction)


def draw_sweep(eps: Sequence[float], curves: Mapping[str, Sequence[float]], *, target: int) -> Figure:
    """Probability of the target class after an attack, against the budget of the attack.

    Args:
        eps: Budgets (L2 norm, pixels in [0, 1]), rising.
        curves: Name of a network -> probability of the target class for each budget.
        target: The class that the attacks aimed at.

    Raises:
        ValueError: If a curve has another length than `eps`.
    """
    figure = canvas(7.2, 3.8)
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
    hide_frame(axes, "top", "right")
    words = "; ".join(
        f"{name}: " + ", ".join(f"{p:.2f} at eps {e:g}" for e, p in zip(eps, probabilities, strict=True))
        for name, probabilities in curves.items()
    )
    return describe(figure, "", f"Probability of {class_name(target)} against eps. {words}")


show_sweep = shown(draw_sweep)


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
    figure = canvas(MAX_WIDTH, 3.3)
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
        hide_frame(axes, "top", "right")
    return describe(figure, "", "Attacks step by step. " + "; ".join(_in_words(path) for path in paths))


show_paths = shown(draw_paths)


def _in_words(path: Path) -> str:
    success = path.smallest_success()
    if success is None:
        return f"{class_name(path.class_id)}: no image on the way fools the network"
    return f"{class_name(path.class_id)}: smallest success at step {success}, L2 {float(path.l2[success]):.2f}"
