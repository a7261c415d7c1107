"""The explorer of problem 4 that shows what one step of an attack does, before the attack is written."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.path import Path
from torch import Tensor

from pset4.explore.explorer import Answer, Control, Explorer, State, show
from pset4.figures.plane import CLASSES, LEVELS, SHOWN, draw_step, probability_map, spider_probabilities, step_in_plane

STEP_SIZES = [round(0.1 * count, 6) for count in range(1, 9)]
BUDGETS = [round(0.05 * count, 6) for count in range(1, 13)]


def one_step(
    *,
    original: Sequence[float] = (0.4, 0.84),
    x: Sequence[float] = (0.12, 0.92),
    direction: Sequence[float] = (0.2, 0.1),
    step_size: float = 0.7,
    eps: float = 0.4,
) -> None:
    """Shows move, projection and clamp of an `L2Step` in a plane, for an image of two pixels, while you drag them.

    The map says what a small network with the classes dog and spider makes of every such image. Which direction to
    take is up to you.

    Args:
        original: The photo: two pixels in [0, 1].
        x: Where the step begins: two pixels in [0, 1].
        direction: The direction to begin with; its length does not matter.
        step_size: The length of the step to begin with, in 0.1, 0.2, ..., 0.8.
        eps: The radius of the ball to begin with, in 0.05, 0.1, ..., 0.6.
    """
    points = {"original": original, "x": x, "direction": direction}
    start: State = {name: [float(value) for value in point] for name, point in points.items()}
    start |= {"step_size": step_size, "eps": eps}
    controls = [
        Control("original", "values", "photo x₀", step=0.02),
        Control("x", "values", "x", step=0.02),
        Control("direction", "values", "direction", min=-0.6, max=0.6, step=0.02),
        Control("step_size", "slider", "step_size", min=STEP_SIZES[0], max=STEP_SIZES[-1], step=0.1, framed=True),
        Control("eps", "slider", "eps", min=BUDGETS[0], max=BUDGETS[-1], step=0.05, framed=True),
    ]
    explorer = Explorer(
        "step",
        "One step: drag the photo, where you are, or the direction",
        controls,
        start,
        _one_step,
        lambda: draw_step(original, x, direction, step_size=step_size, eps=eps),
        frames=[{**start, "step_size": s, "eps": e} for s, e in itertools.product(STEP_SIZES, BUDGETS)],
        constants={"map": _map(), "classes": CLASSES, "shown": SHOWN},
    )
    show(explorer, function="explore.one_step")


def _one_step(state: State) -> Answer:
    x, step_size, eps = state["x"], float(state["step_size"]), float(state["eps"])
    step = step_in_plane(state["original"], x, state["direction"], step_size=step_size, eps=eps)
    before, after = spider_probabilities(torch.tensor([x, step.end], dtype=torch.float64))
    moved_by = torch.dist(_tensor(step.moved), _tensor(state["original"]))
    return {
        "unit": _rounded(step.unit),
        "moved": _rounded(step.moved),
        "projected": _rounded(step.projected),
        "end": _rounded(step.end),
        "distance": round(float(moved_by), 4),
        "words": _words(float(before), float(after), still=step.unit == (0.0, 0.0)),
    }


def _words(before: float, after: float, *, still: bool) -> str:
    if still:
        return "A direction of length 0 leaves the image where it is."
    costs = [-float(torch.tensor(probability).log()) for probability in (before, after)]
    change = "the same" if abs(costs[0] - costs[1]) < 5e-4 else "smaller" if costs[1] < costs[0] else "larger"
    return (
        f"Probability of the {CLASSES[1]}: {before:.2f} before, {after:.2f} after. "
        f"Its cost −log prob: {costs[0]:.2f} before, {costs[1]:.2f} after, {change}."
    )


def _map() -> dict[str, Any]:
    """Lines of equal probability, and the region where the network sees a spider, as lists of points."""
    values, probabilities = probability_map()
    grid, heights = values.numpy(), probabilities.numpy()
    axes = Figure().subplots()
    lines = axes.contour(grid, grid, heights, LEVELS).get_paths()
    region = axes.contourf(grid, grid, heights, [0.5, 1]).get_paths()
    return {
        "lines": [[level, outline] for level, path in zip(LEVELS, lines, strict=True) for outline in _outlines(path)],
        "region": [outline for path in region for outline in _outlines(path)],
    }


def _outlines(path: Path) -> list[Any]:
    return [np.asarray(outline).round(3).tolist() for outline in path.to_polygons(closed_only=False)]


def _tensor(point: Sequence[float]) -> Tensor:
    return torch.tensor(point, dtype=torch.float64)


def _rounded(point: Sequence[float]) -> list[float]:
    return [round(value, 4) for value in point]
