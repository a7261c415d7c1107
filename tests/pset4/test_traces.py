"""Errors of students' code are told by their own line, without the stack of the course's code."""

import re

import pytest
import torch

from pset4.checks import CheckFailed, p1a_conv1d
from pset4.figures.display import NoFigure
from pset4.figures.gradients import library_conv1d, three_ways
from pset4.figures.paths import follow
from pset4.figures.signals import show_convolution
from pset4.steps import L2Step
from pset4.traces import CodeStopped, NotAnswered, ShortTrace, is_open


def conv1d(x_in, kernel):
    return x_in[100]


def attack(model_fn, x, class_id, step, n_iter):
    raise KeyError("lost")


def lines_of(error: ShortTrace) -> list[str]:
    return error._render_traceback_()


def test_a_figure_names_the_line() -> None:
    with pytest.raises(NoFigure) as raised:
        show_convolution(conv1d, x_in=[1.0, 2.0, 3.0], kernel=[1.0, 2.0, 1.0], n=0)
    assert re.match(
        r"NoFigure: `show_convolution` draws nothing: .* in line \d+: `return x_in\[100\]`",
        " ".join(lines_of(raised.value)),
    )
    assert len(lines_of(raised.value)) <= 3


def test_a_figure_of_a_wrong_result_has_no_stack_either() -> None:
    with pytest.raises(NoFigure, match=r"draws nothing\. ValueError: conv1d was given 3 numbers") as raised:
        show_convolution(lambda x_in, kernel: None, x_in=[1.0, 2.0, 3.0], kernel=[1.0, 2.0, 1.0], n=0)
    assert len(lines_of(raised.value)) <= 3


def test_a_table_and_a_path_name_the_line() -> None:
    kernel = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    with pytest.raises(CodeStopped, match=r"in line \d+: `return x_in\[100\]`\nIndexError"):
        three_ways(lambda x: library_conv1d(x, kernel), lambda g: conv1d(g, kernel), torch.ones(4), output=1)
    x = torch.rand(1, 3, 8, 8)
    with pytest.raises(CodeStopped, match="KeyError"):
        follow(attack, lambda x: x.flatten(1), x, 0, L2Step(x, 0.1, 1.0), n_iter=2)


def test_errors_of_the_course_itself_are_raised_as_they_are() -> None:
    with pytest.raises(ValueError, match="must"):
        three_ways(lambda x: x, lambda g: g[:1], torch.ones(4), output=1)


def test_a_check_names_the_line() -> None:
    with pytest.raises(CheckFailed, match=r"It comes from line \d+: `return x_in\[100\]`"):
        p1a_conv1d(conv1d)


@pytest.mark.parametrize("value", [..., {76: ...}, [1, ...], (..., 0.5)])
def test_what_the_notebook_came_with_is_open(value: object) -> None:
    assert is_open(value)


@pytest.mark.parametrize("value", [None, 0, "", {}, {...: 1}, [], [[...]], torch.zeros(2), [torch.zeros(2)], conv1d])
def test_everything_else_is_an_answer(value: object) -> None:
    assert not is_open(value)


def test_what_is_not_answered_is_not_implemented() -> None:
    assert issubclass(NotAnswered, NotImplementedError)
