"""The reference answers agree with torch's own convolution, pooling and automatic differentiation."""

import bank_tools
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from autograder.answers import reference
from pset4.checks.judging import expected

TOLERANCE = 1e-10
NUMBERS = st.floats(-1e3, 1e3, allow_nan=False).map(lambda value: round(value, 6))
EXAMPLES = settings(max_examples=300, deadline=None, derandomize=True)


def function(exercise):
    return bank_tools.namespace_of(reference(exercise))[bank_tools.TAKES[exercise][-1]]


conv1d = function("p1a_conv1d")
maxpool1d = function("p1b_maxpool1d")
conv1d_matrix = function("p3a_conv_matrix")
conv1d_backward_input = function("p3a_backward_input")
conv1d_backward_kernel = function("p3b_backward_kernel")
maxpool1d_backward = function("p3d_maxpool_backward")


@st.composite
def tensors(draw, low=1, high=12):
    return torch.tensor(draw(st.lists(NUMBERS, min_size=low, max_size=high)), dtype=torch.float64)


@st.composite
def kernels(draw):
    half = draw(st.integers(0, 6))
    return draw(tensors(2 * half + 1, 2 * half + 1))


@st.composite
def signals_and_sizes(draw, distinct=False):
    values = draw(st.lists(NUMBERS, min_size=1, max_size=12, unique=distinct))
    return torch.tensor(values, dtype=torch.float64), draw(st.integers(1, len(values)))


def torch_conv1d(x, kernel):
    """torch's layer correlates, so the kernel is flipped for it."""
    return F.conv1d(x.view(1, 1, -1), kernel.flip(0).view(1, 1, -1), padding=len(kernel) // 2).view(-1)


def gradients(layer, grad_out, *inputs):
    leaves = [x.clone().requires_grad_() for x in inputs]
    return torch.autograd.grad(layer(*leaves), leaves, grad_out)


def assert_close(value, right):
    scale = max(1.0, float(right.abs().max()))
    assert value.shape == right.shape
    assert value.dtype == torch.float64
    assert float((value - right).abs().max()) <= TOLERANCE * scale


@EXAMPLES
@given(tensors(), kernels())
def test_conv1d_is_torch_conv1d_with_the_kernel_flipped(x, kernel):
    assert_close(conv1d(x, kernel), torch_conv1d(x, kernel))


@EXAMPLES
@given(tensors(), kernels())
def test_conv1d_is_the_middle_of_the_full_convolution(x, kernel):
    full = torch_conv1d(F.pad(x, (len(kernel), len(kernel))), kernel)
    assert_close(conv1d(x, kernel), full[len(kernel) : len(kernel) + len(x)])


@EXAMPLES
@given(signals_and_sizes())
def test_maxpool1d_is_torch_max_pool1d(case):
    x, size = case
    assert_close(maxpool1d(x, size), F.max_pool1d(x.view(1, -1), size, stride=1).view(-1))


@EXAMPLES
@given(tensors(), kernels())
def test_the_matrix_times_the_signal_is_the_convolution(x, kernel):
    assert_close(conv1d_matrix(kernel, len(x)) @ x, torch_conv1d(x, kernel))


@EXAMPLES
@given(tensors(), kernels())
def test_backward_input_is_what_autograd_gets(grad_out, kernel):
    (right,) = gradients(lambda x: torch_conv1d(x, kernel), grad_out, torch.zeros_like(grad_out))
    assert_close(conv1d_backward_input(grad_out, kernel), right)
    assert_close(conv1d_backward_input(grad_out, kernel), conv1d_matrix(kernel, len(grad_out)).T @ grad_out)


@EXAMPLES
@given(st.data(), tensors(), st.integers(0, 6))
def test_backward_kernel_is_what_autograd_gets(data, x, half):
    grad_out = data.draw(tensors(len(x), len(x)))
    kernel = torch.zeros(2 * half + 1, dtype=torch.float64)
    (right,) = gradients(lambda w: torch_conv1d(x, w), grad_out, kernel)
    assert_close(conv1d_backward_kernel(grad_out, x, len(kernel)), right)


@EXAMPLES
@given(st.data(), signals_and_sizes(distinct=True))
def test_maxpool_backward_is_what_autograd_gets(data, case):
    x, size = case
    grad_out = data.draw(tensors(len(x) - size + 1, len(x) - size + 1))
    (right,) = gradients(lambda s: F.max_pool1d(s.view(1, -1), size, stride=1).view(-1), grad_out, x)
    assert_close(maxpool1d_backward(grad_out, x, size), right)


@EXAMPLES
@given(st.data(), signals_and_sizes())
def test_with_ties_each_window_of_maxpool_backward_gives_all_it_has_to_its_maxima(data, case):
    x, size = case
    n = data.draw(st.integers(0, len(x) - size))
    grad_out = torch.zeros(len(x) - size + 1, dtype=torch.float64)
    grad_out[n] = 1
    assert expected.wrong_shares(maxpool1d_backward(grad_out, x, size), x, slice(n, n + size)) == ""


@pytest.mark.parametrize("name", ["conv1d", "conv1d_backward_input", "maxpool1d", "conv1d_matrix"])
def test_what_checks_and_exams_expect_is_what_the_references_give(name):
    torch.manual_seed(0)
    for n, k in ((1, 1), (5, 3), (4, 4 + 3), (9, 5)):
        x, kernel = torch.randn(n, dtype=torch.float64), torch.randn(k, dtype=torch.float64)
        arguments = {"maxpool1d": (x, min(n, k)), "conv1d_matrix": (kernel, n)}.get(name, (x, kernel))
        assert_close(globals()[name](*arguments), getattr(expected, name)(*arguments))
