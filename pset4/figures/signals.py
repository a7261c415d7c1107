"""Figures of problems 1 and 3: matrices, signals, and how a layer's outputs come about.

Whatever a figure shows of a layer it has from calling the function that it is given: a wrong function draws its own
wrong picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from pset4.figures.display import shown
from pset4.figures.grids import (
    FAINT,
    INK,
    MOST_COLUMNS,
    MOST_ROWS,
    Array,
    Grid,
    Values,
    as_array,
    dense_figure,
    in_a_row,
    number,
)

Layer = Callable[[Tensor, Tensor], Any]
MARKERS = "osD^v"


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
        return dense_figure(values, name, row_axis, column_axis, title)
    marks = _column_marks(column_marks, columns)
    main = Grid(values, name, _counted(rows), marks, row_axis, column_axis)
    if above is not None:
        main = _with_strip(main, *above)
    parts: list[Grid | str] = [main]
    if beside is not None:
        vector = as_array(beside[1], dimensions=1, name=beside[0])
        _require_length(beside[0], len(vector), rows, "rows")
        parts.append(Grid(_as_tall_as(vector, main), beside[0]))
    return in_a_row(parts, title)


show_matrix = shown(draw_matrix)


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
    return in_a_row(grids, title)


show_matrices = shown(draw_matrices)


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
    return in_a_row(parts, title)


show_product = shown(draw_product)


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
    figure = Figure(figsize=(8.5, 0.4 + 1.35 * len(arrays)), layout="constrained")
    panels = np.atleast_1d(figure.subplots(len(arrays), 1, sharex=True))
    for index, (axes, (name, values)) in enumerate(zip(panels, arrays.items(), strict=True)):
        _draw_signal(axes, name, values, MARKERS[index % len(MARKERS)])
    panels[-1].set_xlabel(axis, fontsize=9)
    if title:
        figure.suptitle(title, fontsize=11.5, color=INK)
    ranges = [f"{name}: {len(a)} values from {number(a.min())} to {number(a.max())}" for name, a in arrays.items()]
    figure.set_label(f"{title or 'Signals'}. {'; '.join(ranges)}")
    return figure


show_signals = shown(draw_signals)


def _draw_signal(axes: Axes, name: str, values: Array, marker: str) -> None:
    positions = np.arange(len(values))
    axes.vlines(positions, 0, values, color="#5b8db8", linewidth=1.4)
    axes.plot(positions, values, marker, color="#2b5f8a", markersize=4.5)
    axes.axhline(0, color=FAINT, linewidth=0.8)
    axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=10)
    axes.tick_params(labelsize=8)
    axes.margins(x=0.02, y=0.18)
    axes.spines[["top", "right"]].set_visible(False)


def draw_convolution(conv1d: Layer, x_in: Values, kernel: Values, *, n: int, title: str = "") -> Figure:
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
    return in_a_row([grid], title or sums)


show_convolution = shown(draw_convolution)


def _measured_weights(conv1d: Layer, taps: Array, length: int, n: int) -> Array:
    """Weight of each of `length` inputs in output `n`: what the function makes of signals with a single 1."""
    return np.array([_call(conv1d, unit, taps)[n] for unit in np.eye(length)])


def _call(conv1d: Layer, signal: Array, taps: Array) -> Array:
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
    return in_a_row([inputs, "→", outputs], title)


show_pooling = shown(draw_pooling)
