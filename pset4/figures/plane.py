"""One step of an attack in a plane: an image of two pixels, and a small network with two classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle
from torch import Tensor

from pset4.figures.display import BLUE, GREEN, GREY, MAX_WIDTH, ORANGE, canvas, describe, shown
from pset4.steps import L2Step

Point = tuple[float, float]
CLASSES = ("dog", "spider")
LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Probabilities of the spider whose lines are drawn."""
SHOWN = (-0.2, 1.3)
"""What is seen of both axes: a move may leave the pixels' range [0, 1]."""


def two_logits(images: Tensor) -> Tensor:
    """The network of the plane: logits (B, 2) of the dog and of the spider, for images of two pixels (B, 2)."""
    first, second = images[:, 0], images[:, 1]
    spider = 9 * (0.75 * first + 0.45 * second - 0.72 + 0.13 * torch.sin(6 * second - 1))
    return torch.stack([torch.zeros_like(spider), spider], dim=1)


def spider_probabilities(images: Tensor) -> Tensor:
    """Probability of the spider, (B,), for images of two pixels (B, 2)."""
    return torch.softmax(two_logits(images), dim=1)[:, 1]


def probability_map(count: int = 61) -> tuple[Tensor, Tensor]:
    """Pixel values (count,) and the spider's probability where they meet, (count of pixel 2, count of pixel 1)."""
    values = torch.linspace(0, 1, count, dtype=torch.float64)
    second, first = torch.meshgrid(values, values, indexing="ij")
    plane = torch.stack([first.flatten(), second.flatten()], dim=1)
    return values, spider_probabilities(plane).view(count, count)


@dataclass(frozen=True)
class PlaneStep:
    """The three parts of one `L2Step`, for an image of two pixels.

    Attributes:
        unit: The direction at length 1, or (0, 0).
        moved: Where the move alone would lead.
        projected: What the projection makes of it.
        end: What `L2Step.step` returns.
    """

    unit: Point
    moved: Point
    projected: Point
    end: Point


def step_in_plane(
    original: Sequence[float], x: Sequence[float], direction: Sequence[float], *, step_size: float, eps: float
) -> PlaneStep:
    """One step of an `L2Step` on an image of two pixels, part by part.

    Args:
        original: The photo, the centre of the ball: two pixels in [0, 1].
        x: Where the step begins, two pixels.
        direction: Two numbers; their length does not matter.
        step_size: As for `L2Step`.
        eps: As for `L2Step`.
    """
    step = L2Step(_as_image(original), step_size=step_size, eps=eps)
    end = step.step(_as_image(x), _as_image(direction)).flatten()[:2]
    # The step itself returns its end only; its parts are those of its docstring.
    start, centre, way = (torch.tensor(point, dtype=torch.float64) for point in (x, original, direction))
    if not bool(way.any()):
        return PlaneStep((0.0, 0.0), _point(start), _point(start), _point(end))
    scaled = way / way.abs().max()  # the square of a tiny number is 0
    unit = scaled / scaled.norm()
    moved = start + step_size * unit
    offset = moved - centre
    projected = centre + offset * min(1.0, eps / max(float(offset.norm()), 1e-12))
    return PlaneStep(_point(unit), _point(moved), _point(projected), _point(end))


def _as_image(point: Sequence[float]) -> Tensor:
    return torch.tensor([*point, 0.0], dtype=torch.float64).view(1, 3, 1, 1)


def _point(values: Tensor) -> Point:
    first, second = values.tolist()
    return first, second


def draw_step(
    original: Sequence[float], x: Sequence[float], direction: Sequence[float], *, step_size: float, eps: float
) -> Figure:
    """Draws one step in a plane of two pixels, over the map of what a small network sees there.

    Args:
        original: The photo, the centre of the ball.
        x: Where the step begins.
        direction: Where to go; its length does not matter.
        step_size: As for `L2Step`.
        eps: As for `L2Step`.
    """
    step = step_in_plane(original, x, direction, step_size=step_size, eps=eps)
    figure = canvas(MAX_WIDTH * 0.62, 4.6)
    axes = figure.subplots()
    values, probabilities = probability_map()
    grid, heights = values.numpy(), probabilities.numpy()
    axes.contourf(grid, grid, heights, levels=[0.5, 1], colors=[ORANGE], alpha=0.22, hatches=["//"])
    lines = axes.contour(grid, grid, heights, levels=LEVELS, colors=GREY, linewidths=0.8)
    axes.clabel(lines, fmt="%.1f", fontsize=8)
    axes.add_patch(Rectangle((0, 0), 1, 1, fill=False, linewidth=1.2))
    axes.add_patch(Circle((original[0], original[1]), eps, fill=False, linestyle="--", linewidth=1.2))
    start = (x[0], x[1])
    parts = [("1 move", start, step.moved, BLUE, "-"), ("2 project", step.moved, step.projected, ORANGE, "--")]
    parts.append(("3 clamp", step.projected, step.end, GREEN, ":"))
    for name, begin, end, colour, dash in parts:
        if max(abs(a - b) for a, b in zip(begin, end, strict=True)) < 1e-3:
            continue
        arrow = {"arrowstyle": "-|>", "color": colour, "linestyle": dash, "linewidth": 2, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", end, begin, arrowprops=arrow)
        aside: dict[str, Any] = {"xytext": (-7, 6), "ha": "right"} if name == "1 move" else {"xytext": (7, 0)}
        middle = [(a + b) / 2 for a, b in zip(begin, end, strict=True)]
        axes.annotate(name, (middle[0], middle[1]), textcoords="offset points", **aside, fontsize=9, color=colour)
    for point, mark, name in ((original, "s", "photo $x_0$"), (x, "o", "x"), (step.end, "D", "new x")):
        axes.plot(point[0], point[1], mark, color="black", fillstyle="none", label=name)
    axes.set(xlim=SHOWN, ylim=SHOWN, aspect="equal", xlabel="pixel 1", ylabel="pixel 2")
    figure.legend(loc="outside right upper", frameon=False, fontsize=9)
    words = (
        f"from {_words(start)} the move leads to {_words(step.moved)}, the projection into the ball of radius {eps:g} "
    )
    words += f"round {_words(original)} to {_words(step.projected)}, and the clamp to {_words(step.end)}"
    return describe(figure, "One step of an attack on an image of two pixels", words)


show_step = shown(draw_step)


def _words(point: Sequence[float]) -> str:
    return f"({point[0]:.2f}, {point[1]:.2f})"
