"""A gradient three ways: who agrees, and where finite differences are not to be trusted."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pset4.figures.gradients import ThreeWays, library_conv1d, library_maxpool1d, rows_of_backward, three_ways

KERNEL = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
SIGNAL = torch.tensor([2.0, -1.0, 3.0, 0.5], dtype=torch.float64)
TIED = torch.tensor([3.0, 5.0, 5.0, 1.0], dtype=torch.float64)


def by_autograd(forward, point):
    """The backward function of any forward function."""

    def backward(grad_out: Tensor) -> Tensor:
        x = point.clone().double().requires_grad_()
        return torch.autograd.grad(forward(x), x, grad_out)[0]

    return backward


def pooled_in_pairs(x: Tensor) -> Tensor:
    return library_maxpool1d(x, 2)


def to_every_maximum(grad_out: Tensor) -> Tensor:
    """The matrix P whose rows have a one at every maximum of a window of two, ties included."""
    windows = TIED.unfold(0, 2, 1)
    result = torch.zeros_like(TIED)
    for m, window in enumerate(windows):
        result[m : m + 2] += grad_out[m] * (window == window.max())
    return result


def split_evenly(grad_out: Tensor) -> Tensor:
    result = torch.zeros_like(TIED)
    for m, window in enumerate(TIED.unfold(0, 2, 1)):
        winners = (window == window.max()).double()
        result[m : m + 2] += grad_out[m] * winners / winners.sum()
    return result


def convolution(point=SIGNAL, backward=None, **options) -> ThreeWays:
    def forward(x):
        return library_conv1d(x, KERNEL)

    return three_ways(forward, backward or by_autograd(forward, point), point, **(options or {"output": 1}))


def test_library_layers_are_those_of_problem_1():
    kernel = torch.tensor([1.0, 0.0, -1.0])
    assert library_conv1d(torch.tensor([1.0, 2.0, 3.0]), kernel).tolist() == [2.0, 2.0, -2.0]
    assert library_conv1d(torch.tensor([2.0]), torch.tensor([5.0, 6.0, 7.0])).tolist() == [12.0]
    assert library_maxpool1d(torch.tensor([-3.0, -1.0, -2.0]), 2).tolist() == [-1.0, -1.0]


@settings(max_examples=30, deadline=None)
@given(
    x=st.lists(st.integers(-9, 9), min_size=1, max_size=9),
    kernel=st.lists(st.integers(-5, 5), min_size=1, max_size=7).filter(lambda values: len(values) % 2 == 1),
    data=st.data(),
)
def test_all_three_agree_on_a_linear_layer(x, kernel, data):
    point, taps = torch.tensor(x, dtype=torch.float64), torch.tensor(kernel, dtype=torch.float64)
    output = data.draw(st.integers(0, len(x) - 1))

    def forward(values):
        return library_conv1d(values, taps)

    result = three_ways(forward, by_autograd(forward, point), point, output=output)
    assert result.agrees
    assert all(result.trusted)
    assert result.together is None
    torch.testing.assert_close(result.by_differences, result.by_autograd, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("scale", [0.1, 1.0, 1e6])
def test_a_smooth_curve_has_no_kinks_and_is_judged_at_its_own_scale(scale):
    point = scale * torch.tensor([0.3, -1.2, 2.0], dtype=torch.float64)

    def judged(factor: float) -> ThreeWays:
        return three_ways(lambda x: (x / scale) ** 2, lambda g: factor * g * point / scale**2, point, output=2)

    assert all(judged(2.0).trusted)
    assert judged(2.0).agrees
    assert not judged(2.01).agrees
    assert not judged(0.0).agrees


def test_where_nothing_depends_on_the_input_only_zero_agrees():
    for factor, agrees in ((0.0, True), (1e-6, False)):
        result = three_ways(lambda x: 0 * x + 7, lambda g, factor=factor: factor * g, SIGNAL, output=0)
        assert result.agrees is agrees


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("the layer forwards", lambda g: library_conv1d(g, KERNEL)),
        ("the wrong sign", lambda g: -library_conv1d(g, KERNEL.flip(0))),
        ("twice too large", lambda g: 2 * library_conv1d(g, KERNEL.flip(0))),
        ("nothing at all", torch.zeros_like),
    ],
)
def test_a_wrong_formula_is_said_to_differ(name, wrong):
    result = convolution(backward=wrong)
    assert not result.agrees, name
    assert "differs" in str(result)


def test_the_right_formula_agrees():
    result = convolution(backward=lambda g: library_conv1d(g, KERNEL.flip(0)))
    assert result.agrees
    assert "differs" not in str(result)


def test_ties_are_not_trusted_and_the_slopes_are_named():
    result = three_ways(pooled_in_pairs, split_evenly, TIED, output=1)
    assert result.trusted == (True, False, False, True)
    assert result.slopes.tolist() == [[0, 0], [0, 1], [0, 1], [0, 0]]
    assert str(result).count("(not trusted)") == 2
    assert "x_in[1] has the slope 0 downwards and 1 upwards" in str(result)


@pytest.mark.parametrize("backward", [split_evenly, by_autograd(pooled_in_pairs, TIED)])
def test_any_fair_rule_for_ties_is_possible(backward):
    result = three_ways(pooled_in_pairs, backward, TIED, output=1)
    assert result.agrees
    assert result.together == (1.0, 1.0, 1.0)


def test_the_full_gradient_to_every_maximum_shows_when_they_move_together():
    result = three_ways(pooled_in_pairs, to_every_maximum, TIED, output=1)
    assert not result.agrees
    assert result.together == (2.0, 1.0, 1.0)
    assert result.verdicts[-1] == "differs"


def test_a_slope_outside_the_kink_differs():
    result = three_ways(pooled_in_pairs, lambda g: torch.tensor([0.0, 3.0, -2.0, 0.0]), TIED, output=1)
    assert [verdict.split(":")[0] for verdict in result.verdicts] == [
        "agrees",
        "differs",
        "differs",
        "agrees",
        "agrees",
    ]
    assert not result.agrees


def test_a_kink_closer_than_the_step_is_found():
    near = torch.tensor([1.0, 1.0 + 1e-7], dtype=torch.float64)
    result = three_ways(pooled_in_pairs, by_autograd(pooled_in_pairs, near), near, output=0)
    assert result.trusted == (False, False)


def test_a_single_kink_has_no_common_direction():
    at_zero = torch.tensor([0.0, 1.0])
    result = three_ways(torch.relu, lambda g: g * torch.tensor([0.0, 1.0]), at_zero, output=0)
    assert result.trusted == (False, True)
    assert result.together is None


def test_a_weighted_cost_uses_all_outputs():
    grad_out = torch.tensor([1.0, 0.0, 2.0, -1.0])
    result = convolution(grad_out=grad_out, backward=lambda g: library_conv1d(g, KERNEL.flip(0)))
    assert result.agrees
    assert "[1, 0, 2, -1]" in result.cost


def test_a_forward_pass_in_single_precision_is_judged_with_patience():
    point = torch.tensor([0.1, 0.7, -0.3])
    result = three_ways(lambda x: x.float() ** 3, lambda g: 3 * g * point.double() ** 2, point, output=1)
    assert all(result.trusted)
    assert result.agrees


def test_the_table_is_html_with_escaped_text_and_signs():
    html = three_ways(pooled_in_pairs, to_every_maximum, TIED, output=1, name="<x>")._repr_html_()
    assert "&lt;x&gt;[0]" in html
    assert "<x>" not in html
    assert "✗" in html and "✓" in html
    assert html.count("<tr>") == 1 + 4 + 1
    assert html.count("<th scope") == 5


def test_names_of_the_entries_can_be_given():
    result = convolution(output=0, names=("a", "b", "c", "d"))
    assert [row[0] for row in result.rows()] == ["a", "b", "c", "d"]


def test_the_point_is_not_changed():
    point = SIGNAL.clone()
    convolution(point)
    assert torch.equal(point, SIGNAL)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": 0, "grad_out": torch.ones(4)}, "either"),
        ({"output": 4}, r"0\.\.3, not 4"),
        ({"output": -1}, "not -1"),
        ({"grad_out": torch.ones(3)}, "4 outputs"),
        ({"output": 0, "names": ("a",)}, "1 names"),
        ({"output": 0, "point": torch.ones(2, 2)}, r"\(2, 2\)"),
        ({"output": 0, "backward": lambda g: g[:2]}, "4 numbers"),
        ({"output": 0, "backward": lambda g: None}, "NoneType"),
    ],
)
def test_bad_input_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        convolution(**options)


def test_neither_output_nor_grad_out_is_an_error():
    with pytest.raises(ValueError, match="either"):
        three_ways(pooled_in_pairs, split_evenly, TIED)


def test_rows_of_backward_are_the_jacobian():
    def forward(x):
        return library_maxpool1d(library_conv1d(x, KERNEL), 2)

    rows = rows_of_backward(by_autograd(forward, SIGNAL), n_out=3)
    torch.testing.assert_close(rows, torch.autograd.functional.jacobian(forward, SIGNAL))


@pytest.mark.parametrize(("backward", "n_out"), [(lambda g: g, 0), (lambda g: 1.0, 2), (lambda g: g[None], 2)])
def test_rows_of_backward_refuses_what_is_not_a_gradient(backward, n_out):
    with pytest.raises(ValueError, match="must"):
        rows_of_backward(backward, n_out)
