"""Figures of matrices and signals: the numbers are in the cells, and layers are measured, not assumed."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pset4.figures import signals as matrix_figures
from pset4.figures.gradients import library_conv1d, library_maxpool1d
from pset4.figures.grids import COLOURS, FAINT, INK, number
from pset4.figures.signals import (
    draw_convolution,
    draw_matrices,
    draw_matrix,
    draw_pooling,
    draw_product,
    draw_signals,
)

M = torch.tensor([[2.0, 1.0, 0.0], [3.0, 2.0, 1.0], [0.0, 3.0, 2.0]])


def cross_correlation(x_in, kernel):
    return library_conv1d(x_in, kernel.flip(0))


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def frames(figure: Figure) -> list[Rectangle]:
    """The heavy frames round cells."""
    return [patch for axes in figure.axes for patch in axes.patches if not patch.get_fill()]


def hatched(figure: Figure) -> list[Rectangle]:
    return [patch for axes in figure.axes for patch in axes.patches if patch.get_hatch()]


def luminance(colour) -> float:
    """Relative luminance (WCAG 2.2)."""
    channels = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return float(np.dot([0.2126, 0.7152, 0.0722], channels))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (-0.0, "0"), (2.0, "2"), (-1.5, "−1.5"), (1 / 3, "0.333"), (12345.6, "1.23e+04")],
)
def test_numbers_are_short_and_have_a_real_minus_sign(value, text):
    assert number(value) == text


@pytest.mark.parametrize("value", np.linspace(-1, 1, 21))
def test_numbers_can_be_read_on_the_colour_of_their_cell(value):
    ink = FAINT if value == 0 else INK
    lighter, darker = sorted((luminance(COLOURS(0.5 + value / 2)), luminance(ink)), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5


def test_every_entry_of_a_matrix_is_written_in_its_cell():
    figure = draw_matrix(M, name="M", row_axis="output n", column_axis="input j")
    words = texts(figure)
    assert {"M", "← output n", "input j →"} <= set(words)
    assert words.count("3") == 2  # the entries; rows and columns are counted 0, 1, 2
    assert words.count("2") == 3 + 2  # three entries, one row label, one column label


def test_columns_can_have_names():
    assert {"W[-1]", "W[0]", "W[1]"} <= set(texts(draw_matrix(M, column_marks=["W[-1]", "W[0]", "W[1]"])))
    assert texts(draw_matrices({"a": M, "b": M}, column_marks=["p", "q", "r"])).count("q") == 2


def test_input_and_output_can_stand_round_a_matrix():
    figure = draw_matrix(torch.eye(3)[:2], name="P", above=("x_in", [7.0, 8.0, 9.0]), beside=("x_out", [7.0, 8.0]))
    words = texts(figure)
    assert {"P", "x_in", "x_out"} <= set(words)
    assert words.count("7") == words.count("8") == 2
    assert words.count("9") == 1


def test_a_large_matrix_has_a_scale_instead_of_numbers():
    figure = draw_matrix(torch.randn(40, 50), name="M", row_axis="n", column_axis="j")
    assert len(figure.axes) == 2
    assert figure.axes[1].get_ylabel() == "value of an entry"
    assert texts(figure) == []
    assert "40 rows and 50 columns" in figure.get_label()


@pytest.mark.parametrize(
    "figure",
    [
        draw_matrix(torch.randn(18, 26), name="M"),
        draw_matrix(torch.randn(100, 10)),
        draw_product(torch.randn(5, 5), torch.randn(5)),
        draw_signals({name: torch.randn(60) for name in "abcd"}),
        draw_convolution(library_conv1d, torch.randn(9), torch.randn(5), n=2),
        draw_pooling(library_maxpool1d, torch.randn(9), 3),
    ],
)
def test_no_figure_is_wider_than_a_notebook_cell(figure):
    assert figure.get_size_inches()[0] <= 9.5
    assert figure.get_size_inches()[1] <= 9.5


def test_a_product_shows_all_three_and_frames_one_row():
    figure = draw_product(M, [1.0, 0.0, 5.0], names=("M", "x", "y"), row=2)
    assert {"M", "x", "y", "@", "="} <= set(texts(figure))
    assert "[y: 2; 8; 10]" in figure.get_label()
    assert len(frames(figure)) == 3 + 1


def test_signals_have_labelled_axes_and_different_markers():
    figure = draw_signals({"x_in": torch.randn(8), "x_out": torch.randn(5)}, title="two", axis="time n")
    assert [axes.get_ylabel() for axes in figure.axes] == ["x_in", "x_out"]
    assert figure.axes[-1].get_xlabel() == "time n"
    assert len({axes.lines[0].get_marker() for axes in figure.axes}) == 2


@pytest.mark.parametrize(("layer", "weights"), [(library_conv1d, "−1 2 1"), (cross_correlation, "1 2 −1")])
def test_the_weights_of_a_convolution_are_those_of_the_given_function(layer, weights):
    figure = draw_convolution(layer, [1.0, 2.0, 3.0, 4.0], [1.0, 2.0, -1.0], n=2)
    assert f"times weight: {weights};" in figure.get_label()


def test_padding_is_hatched_and_the_output_is_framed():
    figure = draw_convolution(library_conv1d, [1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0, 5.0], n=0)
    assert len(hatched(figure)) == 4
    assert len(frames(figure)) == 1


def test_a_sum_that_does_not_give_the_output_is_shown_as_it_is():
    figure = draw_convolution(lambda x, w: library_conv1d(x, w) + 1, [1.0, 2.0, 3.0], [0.0, 1.0, 0.0], n=1)
    assert "x_out[1] = 3" in figure.get_label()
    assert "x_out[1] = 3, the sum of the products = 3" not in figure.get_label()


@pytest.mark.parametrize(("x_in", "size", "winners"), [([3, -1, 5, 2], 2, 3), ([5, 5, 1], 2, 3), ([-3, -1, -2], 3, 1)])
def test_every_maximum_of_every_window_is_framed(x_in, size, winners):
    figure = draw_pooling(library_maxpool1d, torch.tensor(x_in, dtype=torch.float32), size)
    assert len(frames(figure)) == winners


def test_an_average_pooling_has_no_winners():
    figure = draw_pooling(lambda x, size: x.unfold(0, size, 1).mean(1), [1.0, 2.0, 4.0], 2)
    assert frames(figure) == []


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: draw_matrix([1.0, 2.0]), r"matrix must be a matrix .* \(2,\)"),
        (lambda: draw_matrix(torch.zeros(0, 3)), r"\(0, 3\)"),
        (lambda: draw_matrix(M, column_marks=["a"]), "1 entries, but the matrix has 3 columns"),
        (lambda: draw_matrix(M, above=("x_in", [1.0])), "x_in holds 1 entries"),
        (lambda: draw_matrix(M, beside=("x_out", [1.0])), "x_out holds 1 entries"),
        (lambda: draw_matrices({}), "empty"),
        (lambda: draw_matrices({"A": torch.zeros(30, 2)}), "30 rows"),
        (lambda: draw_product(M, [1.0, 2.0]), "x_in holds 2 entries"),
        (lambda: draw_product(M, [1.0, 2.0, 3.0], row=3), r"0\.\.2, not 3"),
        (lambda: draw_signals({}), "empty"),
        (lambda: draw_signals({"x": M}), "x must be a vector"),
        (lambda: draw_convolution(library_conv1d, [1.0], [1.0], n=1), r"0\.\.0"),
        (lambda: draw_convolution(lambda x, w: x[1:], [1.0, 2.0], [1.0], n=0), r"not \(1,\)"),
        (lambda: draw_convolution(lambda x, w: None, [1.0, 2.0], [1.0], n=0), "NoneType"),
        (lambda: draw_pooling(lambda x, size: x.max(), [1.0, 2.0], 2), "the result of maxpool1d must be a vector"),
    ],
)
def test_bad_input_is_named(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()


def test_inputs_are_not_changed():
    x_in, kernel = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 2.0, 3.0])

    def greedy(x, w):
        result = library_conv1d(x, w)
        x.zero_()
        w.zero_()
        return result

    draw_convolution(greedy, x_in, kernel, n=1)
    assert x_in.tolist() == kernel.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("name", ["matrix", "matrices", "product", "signals", "convolution", "pooling"])
def test_every_figure_can_be_shown(name):
    shown = getattr(matrix_figures, f"show_{name}")
    drawn = getattr(matrix_figures, f"draw_{name}")
    assert shown.__name__ == f"show_{name}"
    assert shown.__doc__ == drawn.__doc__


def test_showing_displays_the_figure_with_its_text_alternative(monkeypatch):
    seen = []
    monkeypatch.setattr("IPython.display.display", seen.append)
    assert matrix_figures.show_matrix(M, name="M") is None
    [picture] = seen
    assert picture.data.startswith(b"\x89PNG")
    assert picture.alt == "[M: 0: 2 1 0; 1: 3 2 1; 2: 0 3 2]"
