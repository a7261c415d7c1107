"""Figures of small signals and matrices, with the number written in every cell.

Colour only repeats what the numbers say (orange is negative, blue is positive, white is zero), so every figure can be
read in black and white. Whatever a figure shows of a layer it has from calling the function that it is given: a wrong
function draws its own wrong picture.

As in `pset4.figures.photos`, `draw_...` returns a matplotlib `Figure`, and `show_...` displays the same figure in a
notebook. The figure's label is its text alternative.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, ParamSpec

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from torch import Tensor

from pset4.figures.display import present

Parameters = ParamSpec("Parameters")
Array = NDArray[np.float64]
Values = Tensor | Array | Sequence[float] | Sequence[Sequence[float]]

INK, FAINT, EDGE = "#1f2933", "#5f6b77", "#c3cad1"
COLOURS = LinearSegmentedColormap.from_list("orange to blue", ["#f2a65a", "#ffffff", "#7fb0e0"])
CELL_INCHES = 0.52
WIDEST_INCHES = 9.5
MOST_ROWS, MOST_COLUMNS = 18, 26
MARKERS = "osD^v"


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


def _dense_figure(values: Array, name: str, row_axis: str, column_axis: str, title: str) -> Figure:
    """A matrix with too many cells for numbers: colour, and a scale that says what it means."""
    rows, columns = values.shape
    width = WIDEST_INCHES if columns > rows else 6.0
    figure = Figure(figsize=(width, 1.0 + min(7.0, 0.8 * width * rows / columns)), dpi=110, layout="constrained")
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


def _canvas(width: float, height: float, title: str) -> tuple[Figure, Axes]:
    """A figure of `width` by `height` cells, y downwards, never wider than a notebook's cell."""
    scale = min(CELL_INCHES, WIDEST_INCHES / width)
    figure = Figure(figsize=(width * scale, height * scale + (0.45 if title else 0.0)), dpi=110)
    figure.set_layout_engine("constrained", h_pad=0.08)
    axes = figure.add_subplot()
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    axes.axis("off")
    if title:
        axes.set_title(title, fontsize=11, color=INK, pad=10)
    return figure, axes


def _in_a_row(parts: Sequence[Grid | str], title: str) -> Figure:
    """Grids side by side, with symbols such as "=" between them; the cells of all grids are centred on one line."""
    grids = [part for part in parts if isinstance(part, Grid)]
    _require_room(grids)
    top = max(grid.top for grid in grids)
    tallest = max(grid.values.shape[0] for grid in grids)
    gap, symbol = 0.45, 0.9
    width = sum(part.width + gap if isinstance(part, Grid) else symbol for part in parts) + gap
    figure, axes = _canvas(width, top + tallest + 0.3, title)
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


def _counted(count: int, *, start: int = 0) -> list[str]:
    return [str(index) for index in range(start, start + count)]


def draw_matrix(
    matrix: Values,
    *,
    name: str = "",
    row_axis: str = "n",
    column_axis: str = "j",
    column_marks: Sequence[str] | None = None,
    above: tuple[str, Values] | None = None,
    beside: tuple[str, Values] | None = None,
    title: str = "",
) -> Figure:
    """Draws a matrix with its numbers in the cells, its rows and columns counted from 0.

    Args:
        matrix: (rows, columns), any real dtype and device. A large one (more than 18 rows or 26
            columns) is drawn as colours with a scale instead of numbers.
        name: Heading above the matrix.
        row_axis: What the rows count, such as "n".
        column_axis: What the columns count, such as "j".
        column_marks: Labels of the columns instead of 0, 1, 2, ...
        above: Name and values (columns,) of a vector that is drawn over the columns, such as the input of a layer.
        beside: Name and values (rows,) of a vector that is drawn beside the rows, such as the output of a layer.
        title: Title of the figure.

    Returns:
        The figure.

    Raises:
        ValueError: If `matrix` is not a matrix, or a vector or a list of labels does not fit it.

    Example:
        >>> figure = draw_matrix([[1.0, 0.0], [0.5, 1.0]], name="M", row_axis="n", column_axis="j")
    """
    values = as_array(matrix, dimensions=2, name="matrix")
    rows, columns = values.shape
    if rows > MOST_ROWS or columns > MOST_COLUMNS:
        return _dense_figure(values, name, row_axis, column_axis, title)
    marks = _column_marks(column_marks, columns)
    main = Grid(values, name, _counted(rows), marks, row_axis, column_axis)
    if above is not None:
        main = _with_strip(main, *above)
    parts: list[Grid | str] = [main]
    if beside is not None:
        vector = as_array(beside[1], dimensions=1, name=beside[0])
        _require_length(beside[0], len(vector), rows, "rows")
        parts.append(Grid(_as_tall_as(vector, main), beside[0]))
    return _in_a_row(parts, title)


def _column_marks(given: Sequence[str] | None, columns: int) -> list[str]:
    if given is None:
        return _counted(columns)
    _require_length("column_marks", len(given), columns, "columns")
    return list(given)


def _require_length(name: str, given: int, wanted: int, what: str) -> None:
    if given != wanted:
        raise ValueError(f"{name} holds {given} entries, but the matrix has {wanted} {what}")


def _with_strip(grid: Grid, name: str, vector: Values) -> Grid:
    """The grid with one more row of cells on top, a gap below it, and the vector's name as that row's label."""
    strip = as_array(vector, dimensions=1, name=name)
    _require_length(name, len(strip), grid.values.shape[1], "columns")
    gap = np.full((1, len(strip)), np.nan)
    values = np.concatenate([strip[None], gap, grid.values])
    return Grid(values, grid.name, [name, "", *grid.row_marks], grid.column_marks, grid.row_axis, grid.column_axis)


def _as_tall_as(vector: Array, grid: Grid) -> Array:
    """The vector as a column, with gaps above it where the grid has a strip."""
    gaps = np.full(grid.values.shape[0] - len(vector), np.nan)
    return np.concatenate([gaps, vector])[:, None]


def draw_matrices(
    matrices: Mapping[str, Values],
    *,
    row_axis: str = "",
    column_axis: str = "",
    column_marks: Sequence[str] | None = None,
    title: str = "",
) -> Figure:
    """Draws several matrices side by side, on one colour scale, each under its name.

    Args:
        matrices: Name -> (rows, columns).
        row_axis: What the rows of all of them count.
        column_axis: What the columns of all of them count.
        column_marks: Labels of the columns of all of them instead of 0, 1, 2, ...
        title: Title of the figure.

    Raises:
        ValueError: If there is none, one of them is not a matrix, or the labels do not fit.
    """
    if not matrices:
        raise ValueError('matrices is empty; give at least one, as in show_matrices({"M": M})')
    grids: list[Grid | str] = []
    for name, matrix in matrices.items():
        values = as_array(matrix, dimensions=2, name=name)
        marks = _column_marks(column_marks, values.shape[1])
        grids.append(Grid(values, name, _counted(len(values)), marks, row_axis, column_axis))
    return _in_a_row(grids, title)


def draw_product(
    matrix: Values,
    vector: Values,
    *,
    names: tuple[str, str, str] = ("M", "x_in", "x_out"),
    row: int | None = None,
    title: str = "",
) -> Figure:
    """Draws `matrix @ vector = result`, each with its numbers.

    Args:
        matrix: (rows, columns).
        vector: (columns,).
        names: Names of the matrix, the vector and the result.
        row: A row to frame, in the matrix and in the result: that row times the vector is that result.
        title: Title of the figure.

    Raises:
        ValueError: If the shapes do not fit, or there is no such row.
    """
    left = as_array(matrix, dimensions=2, name=names[0])
    right = as_array(vector, dimensions=1, name=names[1])
    rows, columns = left.shape
    _require_length(names[1], len(right), columns, "columns")
    if row is not None and not 0 <= row < rows:
        raise ValueError(f"row must be in 0..{rows - 1}, not {row}")
    framed = frozenset() if row is None else frozenset((row, column) for column in range(columns))
    result_framed = frozenset() if row is None else frozenset({(row, 0)})
    parts: list[Grid | str] = [
        Grid(left, names[0], _counted(rows), _counted(columns), bold=framed),
        "@",
        Grid(right[:, None], names[1]),
        "=",
        Grid((left @ right)[:, None], names[2], bold=result_framed),
    ]
    return _in_a_row(parts, title)


def draw_signals(signals: Mapping[str, Values], *, title: str = "", axis: str = "position n") -> Figure:
    """Draws 1-D signals under each other over one axis of positions, each with a marker of its own.

    Args:
        signals: Name -> (N,); lengths may differ.
        title: Title of the figure.
        axis: Label of the horizontal axis.

    Raises:
        ValueError: If there is none, or one of them is not a vector.
    """
    if not signals:
        raise ValueError('signals is empty; give at least one, as in show_signals({"x_in": x_in})')
    arrays = {name: as_array(values, dimensions=1, name=name) for name, values in signals.items()}
    figure = Figure(figsize=(8.5, 0.4 + 1.35 * len(arrays)), dpi=110, layout="constrained")
    panels = np.atleast_1d(figure.subplots(len(arrays), 1, sharex=True))
    for index, (axes, (name, values)) in enumerate(zip(panels, arrays.items(), strict=True)):
        _draw_signal(axes, name, values, MARKERS[index % len(MARKERS)])
    panels[-1].set_xlabel(axis, fontsize=9)
    if title:
        figure.suptitle(title, fontsize=11.5, color=INK)
    ranges = [f"{name}: {len(a)} values from {number(a.min())} to {number(a.max())}" for name, a in arrays.items()]
    figure.set_label(f"{title or 'Signals'}. {'; '.join(ranges)}")
    return figure


def _draw_signal(axes: Axes, name: str, values: Array, marker: str) -> None:
    positions = np.arange(len(values))
    axes.vlines(positions, 0, values, color="#5b8db8", linewidth=1.4)
    axes.plot(positions, values, marker, color="#2b5f8a", markersize=4.5)
    axes.axhline(0, color=FAINT, linewidth=0.8)
    axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=10)
    axes.tick_params(labelsize=8)
    axes.margins(x=0.02, y=0.18)
    axes.spines[["top", "right"]].set_visible(False)


def draw_convolution(
    conv1d: Callable[[Tensor, Tensor], Any], x_in: Values, kernel: Values, *, n: int, title: str = ""
) -> Figure:
    """Draws how one output of a convolution comes about: the inputs, their weights, the products, and the sum.

    The weights are not assumed. They are measured: a signal that is 1 at one position and 0 elsewhere gives back the
    weight with which that position enters the output.

    Args:
        conv1d: The function to look into: (N,), (k,) -> (N,).
        x_in: (N,).
        kernel: (k,).
        n: The output to look at.
        title: Title of the figure.

    Raises:
        ValueError: If there is no output `n`, or `conv1d` does not return a tensor of N numbers.
    """
    signal, taps = (as_array(values, dimensions=1, name=name) for name, values in (("x_in", x_in), ("kernel", kernel)))
    if not 0 <= n < len(signal):
        raise ValueError(f"n must be in 0..{len(signal) - 1}, the positions of x_out, not {n}")
    reach = len(taps) // 2
    padded = np.pad(signal, reach)
    output = _call(conv1d, signal, taps)
    weights = _measured_weights(conv1d, taps, len(padded), n + reach)
    near = np.abs(np.arange(len(padded)) - (n + reach)) <= reach
    seen = np.where(near | (weights != 0), weights, np.nan)
    products = np.where(np.isnan(seen), np.nan, padded * weights)
    outside = np.full(reach, np.nan)
    table = np.stack([padded, seen, products, np.concatenate([outside, output, outside])])
    hatched = frozenset((0, j) for j in range(len(padded)) if not reach <= j < len(padded) - reach)
    rows = ["x_in", "times weight", "product", "x_out"]
    marks = _counted(len(padded), start=-reach)
    grid = Grid(table, "", rows, marks, "", "position", frozenset({(3, n + reach)}), hatched)
    sums = f"x_out[{n}] = {number(output[n])}, the sum of the products = {number(float(np.nansum(products)))}"
    return _in_a_row([grid], title or sums)


def _measured_weights(conv1d: Callable[[Tensor, Tensor], Any], taps: Array, length: int, n: int) -> Array:
    """Weight of each of `length` inputs in output `n`: what the function makes of signals with a single 1."""
    return np.array([_call(conv1d, unit, taps)[n] for unit in np.eye(length)])


def _call(conv1d: Callable[[Tensor, Tensor], Any], signal: Array, taps: Array) -> Array:
    output = conv1d(torch.from_numpy(signal.copy()), torch.from_numpy(taps.copy()))
    shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    if not isinstance(output, Tensor) or output.shape != signal.shape:
        raise ValueError(f"conv1d was given {len(signal)} numbers and must return a tensor of as many, not {shape}")
    return as_array(output, dimensions=1, name="x_out")


def draw_pooling(maxpool1d: Callable[[Tensor, int], Any], x_in: Values, size: int, *, title: str = "") -> Figure:
    """Draws the windows of a stride-1 pooling under its input, and frames the inputs that equal the window's output.

    Args:
        maxpool1d: The function to look into: (N,), size -> (M,).
        x_in: (N,).
        size: Inputs in a window.
        title: Title of the figure.

    Raises:
        ValueError: If `maxpool1d` does not return a vector.
    """
    signal = as_array(x_in, dimensions=1, name="x_in")
    output = as_array(maxpool1d(torch.from_numpy(signal.copy()), size), dimensions=1, name="the result of maxpool1d")
    positions = np.arange(len(signal))
    inside = [(positions >= m) & (positions < m + size) for m in range(len(output))]
    windows = np.stack([np.where(window, signal, np.nan) for window in inside])
    gap = np.full(len(signal), np.nan)
    table = np.concatenate([signal[None], gap[None], windows])
    winners = frozenset((m + 2, j) for m, j in np.argwhere(windows == output[:, None]).tolist())
    marks = ["x_in", "", *(f"window {m}" for m in range(len(output)))]
    inputs = Grid(table, "", marks, _counted(len(signal)), "", "position", winners)
    outputs = Grid(_as_tall_as(output, inputs), "x_out")
    return _in_a_row([inputs, "→", outputs], title)


def _shown(draw: Callable[Parameters, Figure]) -> Callable[Parameters, None]:
    @wraps(draw)
    def show(*arguments: Parameters.args, **options: Parameters.kwargs) -> None:
        figure = draw(*arguments, **options)
        present(figure, str(figure.get_label()))

    show.__name__ = show.__qualname__ = draw.__name__.replace("draw_", "show_")
    return show


show_matrix = _shown(draw_matrix)
show_matrices = _shown(draw_matrices)
show_product = _shown(draw_product)
show_signals = _shown(draw_signals)
show_convolution = _shown(draw_convolution)
show_pooling = _shown(draw_pooling)
