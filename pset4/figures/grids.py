"""Tables of cells with a number in each, side by side: what the figures of small signals and matrices are made of.

Colour only repeats what the numbers say (orange is negative, blue is positive, white is zero), so every figure can be
read in black and white.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from torch import Tensor

from pset4.figures.display import canvas

Array = NDArray[np.float64]
Values = Tensor | Array | Sequence[float] | Sequence[Sequence[float]]

INK, FAINT, EDGE = "#1f2933", "#5f6b77", "#c3cad1"
COLOURS = LinearSegmentedColormap.from_list("orange to blue", ["#f2a65a", "#ffffff", "#7fb0e0"])
CELL_INCHES = 0.52
WIDEST_INCHES = 9.5
MOST_ROWS, MOST_COLUMNS = 18, 26


@dataclass(frozen=True)
class Grid:
    """A table of cells and what stands round it, in a figure whose unit is one cell.

    Attributes:
        values: (rows, columns).
        name: Heading above the cells.
        row_marks: One label to the left of each row, or none.
        column_marks: One label above each column, or none.
        row_axis: What the rows count.
        column_axis: What the columns count.
        bold: Cells (row, column) with a heavy frame.
        hatched: Cells that are not part of the signal (padding).
    """

    values: Array
    name: str = ""
    row_marks: Sequence[str] = ()
    column_marks: Sequence[str] = ()
    row_axis: str = ""
    column_axis: str = ""
    bold: frozenset[tuple[int, int]] = field(default_factory=frozenset)
    hatched: frozenset[tuple[int, int]] = field(default_factory=frozenset)

    @property
    def width(self) -> float:
        """Columns, or the name where it is longer, and the space for the labels on the left."""
        return max(float(self.values.shape[1]), 0.2 * len(self.name)) + self.left

    @property
    def left(self) -> float:
        """Space for the row labels, which grows with the longest of them."""
        marks = max((len(mark) for mark in self.row_marks), default=0)
        return (0.3 + 0.17 * marks if marks else 0.0) + (0.55 if self.row_axis else 0.0)

    @property
    def top(self) -> float:
        """Space for the name, the column axis and its labels."""
        return (0.85 if self.name else 0.1) + (0.5 if self.column_marks else 0.0) + (0.5 if self.column_axis else 0.0)

    def words(self) -> str:
        """The numbers row by row, for readers who cannot see the figure."""
        rows = [" ".join(number(value) for value in row if not np.isnan(value)) for row in self.values]
        labels = self.row_marks or [""] * len(rows)
        lines = [f"{label}: {row}" if label else row for label, row in zip(labels, rows, strict=True) if row]
        return f"{self.name}: " * bool(self.name) + "; ".join(lines)


def as_array(values: Values, *, dimensions: int, name: str) -> Array:
    """A copy of a tensor, array or list as float64 on the CPU.

    Raises:
        ValueError: If it has another number of dimensions, or is empty.
    """
    tensor = values if isinstance(values, Tensor) else torch.as_tensor(np.asarray(values))
    array: Array = tensor.detach().cpu().to(torch.float64).numpy().copy()
    if array.ndim != dimensions or not array.size:
        wanted = "a vector" if dimensions == 1 else "a matrix"
        raise ValueError(f"{name} must be {wanted} with at least one number, not an array of shape {array.shape}")
    return array


def number(value: float) -> str:
    """A number as a cell shows it: three significant digits, a real minus sign, no "-0"."""
    text = f"{value:.3g}"
    return "0" if float(text) == 0 else text.replace("-", "−")


def _largest(grids: Sequence[Grid]) -> float:
    """The value that gets the full colour: one scale for all grids of a figure."""
    finite = [np.abs(grid.values[np.isfinite(grid.values)]) for grid in grids]
    return max((float(part.max()) for part in finite if part.size), default=0.0) or 1.0


def _write(axes: Axes, x: float, y: float, text: str, size: float, colour: str = FAINT, **style: Any) -> None:
    axes.text(x, y, text, fontsize=size, color=colour, va="center", **{"ha": "center", **style})


def _draw_labels(axes: Axes, grid: Grid, x: float, y: float) -> None:
    rows, columns = grid.values.shape
    first = int(np.argmax(~np.isnan(grid.values).all(axis=1)))  # labels stand on the first row that holds a number
    over = y + first - 0.3
    for column, mark in enumerate(grid.column_marks):
        _write(axes, x + column + 0.5, over, mark, 8)
    over -= 0.5 if grid.column_marks else 0.0
    if grid.column_axis:
        _write(axes, x + columns / 2, over, f"{grid.column_axis} →", 8.5)
        over -= 0.5
    _write(axes, x + columns / 2, over - 0.1, grid.name, 10.5, INK)
    for row, mark in enumerate(grid.row_marks):
        _write(axes, x - 0.18, y + row + 0.5, mark, 8, ha="right")
    if grid.row_axis:
        _write(axes, x - grid.left + 0.3, y + rows / 2, f"← {grid.row_axis}", 8.5, rotation=90)


def _draw_cells(axes: Axes, grid: Grid, x: float, y: float, largest: float) -> None:
    for (row, column), value in np.ndenumerate(grid.values):
        if np.isnan(value):  # a gap, not a number: nothing stands there
            continue
        left, top, text = x + column, y + row, number(value)
        bold, hatched = (row, column) in grid.bold, (row, column) in grid.hatched
        face = COLOURS(0.5 + 0.5 * float(np.clip(value / largest, -1, 1)))
        hatch = "////" if hatched else None
        axes.add_patch(Rectangle((left, top), 1, 1, facecolor=face, edgecolor=EDGE, linewidth=0.8, hatch=hatch))
        if bold:
            axes.add_patch(Rectangle((left + 0.05, top + 0.05), 0.9, 0.9, fill=False, edgecolor=INK, linewidth=2.2))
        size, colour = 9 if len(text) < 6 else 7, INK if bold or text != "0" else FAINT
        behind = {"facecolor": face, "edgecolor": "none", "pad": 1.0} if hatched else None
        _write(axes, left + 0.5, top + 0.5, text, size, colour, weight="bold" if bold else "normal", bbox=behind)


def _draw_grid(axes: Axes, grid: Grid, x: float, y: float, largest: float) -> None:
    _draw_cells(axes, grid, x + grid.left, y + grid.top, largest)
    _draw_labels(axes, grid, x + grid.left, y + grid.top)


def dense_figure(values: Array, name: str, row_axis: str, column_axis: str, title: str) -> Figure:
    """A matrix with too many cells for numbers: colour, and a scale that says what it means."""
    rows, columns = values.shape
    width = WIDEST_INCHES if columns > rows else 6.0
    figure = Figure(figsize=(width, 1.0 + min(7.0, 0.8 * width * rows / columns)), layout="constrained")
    axes = figure.add_subplot()
    largest = float(np.nanmax(np.abs(values))) or 1.0
    image = axes.imshow(values, cmap=COLOURS, vmin=-largest, vmax=largest, aspect="auto", interpolation="nearest")
    axes.set(xlabel=column_axis, ylabel=row_axis, title=name)
    figure.colorbar(image, ax=axes, label="value of an entry")
    if title:
        figure.suptitle(title, fontsize=11.5, color=INK)
    figure.set_label(
        f"{title or name}: a matrix of {rows} rows and {columns} columns, entries up to {largest:.3g} in size"
    )
    return figure


def _sheet(width: float, height: float, title: str) -> tuple[Figure, Axes]:
    """A figure of `width` by `height` cells, y downwards, never wider than a notebook's cell."""
    scale = min(CELL_INCHES, WIDEST_INCHES / width)
    figure = canvas(width * scale, height * scale + (0.45 if title else 0.0), pad=0.08)
    axes = figure.add_subplot()
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    axes.axis("off")
    if title:
        axes.set_title(title, fontsize=11, color=INK, pad=10)
    return figure, axes


def in_a_row(parts: Sequence[Grid | str], title: str) -> Figure:
    """Grids side by side, with symbols such as "=" between them; the cells of all grids are centred on one line."""
    grids = [part for part in parts if isinstance(part, Grid)]
    _require_room(grids)
    top = max(grid.top for grid in grids)
    tallest = max(grid.values.shape[0] for grid in grids)
    gap, symbol = 0.45, 0.9
    width = sum(part.width + gap if isinstance(part, Grid) else symbol for part in parts) + gap
    figure, axes = _sheet(width, top + tallest + 0.3, title)
    x, largest = gap, _largest(grids)
    for part in parts:
        if isinstance(part, Grid):
            y = top - part.top + (tallest - part.values.shape[0]) / 2
            _draw_grid(axes, part, x, y, largest)
            x += part.width + gap
        else:
            _write(axes, x + (symbol - gap) / 2, top + tallest / 2, part, 16, INK)
            x += symbol
    words = " ".join(f"[{part.words()}]" if isinstance(part, Grid) else part for part in parts)
    figure.set_label(f"{title}. {words}" if title else words)
    return figure


def _require_room(grids: Sequence[Grid]) -> None:
    columns = sum(grid.values.shape[1] for grid in grids)
    rows = max(grid.values.shape[0] for grid in grids)
    if columns > MOST_COLUMNS or rows > MOST_ROWS:
        raise ValueError(
            f"{rows} rows and {columns} columns of cells are too many for numbers in them (at most {MOST_ROWS} and "
            f"{MOST_COLUMNS}); draw a smaller example, or one large matrix alone with show_matrix"
        )
