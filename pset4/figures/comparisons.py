"""Figures of a wrong result: what a function was given, what it returned, and what it should have returned.

They are drawn like the worked examples, with a heavy frame round the first place where the two results differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from pset4.figures.display import shown
from pset4.figures.grids import Array, Grid, Values, as_array, in_a_row, number

YOURS, RIGHT = "yours ✗", "right ✓"


def first_difference(yours: Array, right: Array) -> tuple[int, ...] | None:
    """The first place where two results differ, or where one of them has no value; None if they are equal."""
    shape = tuple(max(sizes) for sizes in zip(yours.shape, right.shape, strict=True))
    scale = max(1.0, float(np.nanmax(np.abs(right), initial=0.0)))
    differ = ~(np.abs(_filled(yours, shape) - _filled(right, shape)) <= 1e-4 * scale)
    places = np.argwhere(differ)
    return tuple(int(index) for index in places[0]) if len(places) else None


def _filled(values: Array, shape: tuple[int, ...]) -> Array:
    """The values in a larger array, with NaN in the places that they do not have."""
    padded = np.full(shape, np.nan)
    padded[tuple(slice(size) for size in values.shape)] = values
    return padded


def _words(result: str, place: tuple[int, ...] | None, yours: Array, right: Array) -> str:
    if place is None:
        return f"{result}: yours and the right one"
    index = ", ".join(map(str, place))
    values = [
        number(float(values[place])) if all(i < n for i, n in zip(place, values.shape, strict=True)) else "missing"
        for values in (yours, right)
    ]
    return f"First difference: {result}[{index}]. Yours {values[0]}, right {values[1]}"


def _titled(parts: Sequence[Grid | str], title: str) -> Figure:
    """The grids in a row, in a figure that is wide enough for its title."""
    figure = in_a_row(parts, title)
    figure.set_figwidth(max(figure.get_figwidth(), 0.09 * len(title)))
    return figure


def draw_vectors(given: Mapping[str, Values], yours: Values, right: Values, *, result: str, axis: str = "") -> Figure:
    """Draws vectors under each other, and below them a wrong result and the right one.

    Args:
        given: Name -> (N,), what the function was given; lengths may differ.
        yours: (M',) what it returned.
        right: (M,) what it should have returned.
        result: Name of the result.
        axis: What the columns count.
    """
    mine, other = (as_vector(values, result) for values in (yours, right))
    place = first_difference(mine, other)
    inputs = [as_array(values, dimensions=1, name=name) for name, values in given.items()]
    columns = max(map(len, [*inputs, mine, other]))
    rows = [*inputs, np.array([]), mine, other]
    marks = [*given, "", f"{result}, {YOURS}", f"{result}, {RIGHT}"]
    last = len(rows) - 1
    bold = frozenset() if place is None else frozenset({(last - 1, place[0]), (last, place[0])})
    table = np.stack([_filled(row, (columns,)) for row in rows])
    grid = Grid(table, "", marks, [str(n) for n in range(columns)], "", axis, bold)
    return _titled([grid], _words(result, place, mine, other))


show_vectors = shown(draw_vectors)


def draw_wrong_convolution(
    x_in: Values, kernel: Values, yours: Values, right: Values, *, weights: Sequence[float] | None = None
) -> Figure:
    """Draws how a wrong output of a convolution came about: the padded input, the weights that were used, products.

    Args:
        x_in: (N,).
        kernel: (k,).
        yours: (N,) what the function returned.
        right: (N,) what it should have returned.
        weights: (N + k - 1,) the weight with which the function lets each value of the padded input into the first
            output that differs; None if its outputs are no weighted sums.
    """
    signal, taps, mine, other = (
        as_array(values, dimensions=1, name=name)
        for values, name in ((x_in, "x_in"), (kernel, "kernel"), (yours, "x_out"), (right, "x_out"))
    )
    place, reach = first_difference(mine, other), len(taps) // 2
    outside, gap = np.full(reach, np.nan), np.full(len(signal) + 2 * reach, np.nan)
    padded = np.pad(signal, reach)
    rows, marks = [padded], ["x_in"]
    if weights is not None and place is not None:
        used = np.asarray(weights, dtype=np.float64)
        rows += [used, padded * used]
        marks += ["times your weight", "product"]
    rows += [gap, *(np.concatenate([outside, values, outside]) for values in (mine, other))]
    marks += ["", f"x_out, {YOURS}", f"x_out, {RIGHT}"]
    last = len(rows) - 1
    bold = frozenset() if place is None else frozenset({(last - 1, place[0] + reach), (last, place[0] + reach)})
    hatched = frozenset((0, j) for j in range(len(padded)) if not reach <= j < len(padded) - reach)
    columns = [str(j - reach) for j in range(len(padded))]
    grid = Grid(np.stack(rows), "", marks, columns, "", "position", bold, hatched)
    beside = Grid(_filled(taps[None], (len(rows), len(taps))), "kernel", column_marks=_offsets(reach))
    return _titled([beside, grid], _words("x_out", place, mine, other))


show_wrong_convolution = shown(draw_wrong_convolution)


def _offsets(reach: int) -> list[str]:
    """Which weight each value of a kernel is: W[m] for m from -reach to reach."""
    return [f"W[{m}]".replace("-", "−") for m in range(-reach, reach + 1)]


def draw_wrong_pooling(x_in: Values, size: int, yours: Values, right: Values) -> Figure:
    """Draws the complete windows of a stride-1 pooling, and beside them a wrong result and the right one.

    Args:
        x_in: (N,).
        size: Inputs in a window.
        yours: (M',) what the function returned.
        right: (N - size + 1,) what it should have returned.
    """
    signal = as_array(x_in, dimensions=1, name="x_in")
    mine, other = (as_vector(values, "x_out") for values in (yours, right))
    place, positions = first_difference(mine, other), np.arange(len(signal))
    windows = [np.where((positions >= m) & (positions < m + size), signal, np.nan) for m in range(len(other))]
    count = max(len(mine), len(other))
    windows += [np.full(len(signal), np.nan)] * (count - len(other))
    table = np.concatenate([signal[None], np.full((1, len(signal)), np.nan), np.stack(windows)])
    marks = ["x_in", "", *(f"window {m}" for m in range(len(other))), *[""] * (count - len(other))]
    inputs = Grid(table, "", marks, [str(n) for n in range(len(signal))], "", "position")
    bold = frozenset() if place is None else frozenset({(place[0] + 2, 0)})
    columns = [
        Grid(_filled(np.concatenate([[np.nan] * 2, values])[:, None], (count + 2, 1)), name, bold=bold)
        for name, values in ((YOURS, mine), (RIGHT, other))
    ]
    return _titled([inputs, "→", *columns], _words("x_out", place, mine, other))


show_wrong_pooling = shown(draw_wrong_pooling)


def draw_wrong_matrix(yours: Values, right: Values, *, name: str, row_axis: str, column_axis: str) -> Figure:
    """Draws a wrong matrix and the right one side by side.

    Args:
        yours: (rows', columns') what the function returned.
        right: (rows, columns) what it should have returned.
        name: Name of the matrix.
        row_axis: What its rows count.
        column_axis: What its columns count.
    """
    mine, other = (as_array(values, dimensions=2, name=name) for values in (yours, right))
    place = first_difference(mine, other)
    bold = frozenset() if place is None else frozenset({(place[0], place[1])})
    grids: list[Grid | str] = [
        Grid(
            values,
            heading,
            [str(row) for row in range(len(values))],
            [str(column) for column in range(values.shape[1])],
            row_axis,
            column_axis,
            bold,
        )
        for heading, values in ((f"{name}, {YOURS}", mine), (f"{name}, {RIGHT}", other))
    ]
    return _titled(grids, _words(name, place, mine, other))


show_wrong_matrix = shown(draw_wrong_matrix)


def as_vector(values: Values, name: str) -> Array:
    """The values of a vector, which may be empty."""
    return np.array([]) if not len(values) else as_array(values, dimensions=1, name=name)
