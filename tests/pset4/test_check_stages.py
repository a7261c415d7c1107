"""A check is read in stages: the smallest input that is wrong, the idea, the formula; what is open stops nothing."""

import inspect
import re

import bank_tools
import pytest
import torch
import torch.nn.functional as F

from autograder.answers import all_answers, answers_for
from pset4 import checks
from pset4.checks import CheckFailed
from pset4.checks.judging.registry import attempt, same
from pset4.checks.stages import drawing
from pset4.checks.stages.staged import NoSuchHint
from pset4.checks.stages.summary import NOT_RUN, NOT_THE_EXAM, THIS_KERNEL
from pset4.checks.stages.words import EXERCISES, FURTHER, formula, idea

FORMULA = re.compile(
    r"W\[n|x_in\[n [-+−] [mj(]|grad_out\[n\] x_in|\.norm\(|divided? .*sum over|exponentials of|root of the sum|"
    "Σ|∂|argmax"
)
NUMERIC = tuple(answer for answer in all_answers() if answer.exercise[1] in "13" and not answer.right)
ALL_CHECKS = [name for name in checks.__all__ if name.startswith("p")]


@pytest.fixture(autouse=True)
def nothing_run(monkeypatch):
    monkeypatch.setattr(THIS_KERNEL, "latest", {})
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)


def conv1d(x_in, kernel):
    if len(kernel) % 2 == 0 or x_in.dim() != 1 or not len(x_in):
        raise ValueError(f"kernel of {len(kernel)} values, x_in of shape {tuple(x_in.shape)}")
    half = len(kernel) // 2
    return F.pad(x_in, (half, half)).unfold(0, len(kernel), 1) @ kernel.flip(0)


def cross_correlation(x_in, kernel):
    return conv1d(x_in, kernel.flip(0))


def stub(*_arguments):
    raise NotImplementedError("exercise p1a_conv1d is still open")


def failure_of(check, *answers, **options):
    with pytest.raises(CheckFailed) as raised:
        check(*answers, **options)
    return raised.value


def test_the_first_stage_shows_the_smallest_input_and_how_to_go_on():
    failure = failure_of(checks.p1a_conv1d, cross_correlation)
    assert failure.misconception == "cross_correlation"
    assert str(failure).startswith("With x_in = [0, 0, 1] and kernel = [1, 0, 0] your `conv1d` returns [0, 0, 0]")
    assert str(failure).splitlines()[-1] == "Next: checks.p1a_conv1d(conv1d, hint=2)"


def test_later_stages_say_the_idea_and_the_formula():
    second, third = (str(failure_of(checks.p1a_conv1d, cross_correlation, hint=stage)) for stage in (2, 3))
    assert second.startswith("The idea: ")
    assert FURTHER["p1a_conv1d", "cross_correlation"] in second
    assert second.endswith("Next: checks.p1a_conv1d(conv1d, hint=3)")
    assert third.startswith("This is the formula: x_out[n] = ")
    assert "Next" not in third


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_a_right_answer_is_told_so_at_every_stage(stage, capsys):
    checks.p1a_conv1d(conv1d, hint=stage)
    assert capsys.readouterr().out == "p1a_conv1d: all good. The hidden exam tries random signals of many lengths.\n"


@pytest.mark.parametrize("stage", [0, 4, True, "2", None])
def test_another_stage_says_which_there_are(stage):
    with pytest.raises(NoSuchHint, match=r"hint must be 1 .*, 2 .* or 3 .*, not"):
        checks.p1a_conv1d(conv1d, hint=stage)


@pytest.mark.parametrize("name", ALL_CHECKS)
def test_every_check_has_stages_and_words_for_each(name):
    assert inspect.signature(getattr(checks, name)).parameters["hint"].default == 1
    assert not FORMULA.search(idea(name))
    assert formula(name).startswith("This is the formula: ")


def test_words_belong_to_checks_and_to_diagnoses():
    assert sorted(EXERCISES) == sorted(ALL_CHECKS)
    known = {(answer.exercise, answer.misconception) for answer in all_answers()}
    assert FURTHER.keys() <= known
    assert not any(FORMULA.search(text) for text in FURTHER.values())


@pytest.mark.parametrize("answer", NUMERIC, ids=[f"{a.exercise}: {a.name}" for a in NUMERIC])
def test_the_smallest_input_is_wrong_in_the_way_that_is_told(answer):
    namespace = bank_tools.namespace_of(answer)
    failure = bank_tools.check_failure(answer, namespace=namespace)
    assert failure is not None
    assert not FORMULA.search(str(failure).split("Next: ")[0])
    if failure.smallest is None:
        return
    small = failure.smallest
    returned = attempt(namespace[small.function.name], small.arguments)
    assert isinstance(returned, Exception) or same(small.value, returned)
    assert sum(a.numel() for a in small.arguments if isinstance(a, torch.Tensor)) <= 10
    again = bank_tools.check_failure(answer, namespace=namespace)
    assert str(again) == str(failure)


def test_most_wrong_values_have_a_smallest_input():
    wrong = [answer for exercise in bank_tools.of_problem(1, 3) for answer in answers_for(exercise) if not answer.right]
    shown = [f for f in map(bank_tools.check_failure, wrong) if f is not None and f.smallest is not None]
    assert len(shown) > 0.6 * len(wrong)


def test_what_shows_in_float64_alone_says_so():
    def crashes(x_in, kernel):
        return conv1d(x_in, kernel) if x_in.dtype == torch.float32 else [][0]

    assert "This input is float64." in str(failure_of(checks.p1a_conv1d, crashes))


# What is open


def test_an_open_function_is_told_in_one_line(capsys):
    checks.p1a_conv1d(stub)
    assert capsys.readouterr().out == "p1a_conv1d is open: write `conv1d` in the cell above.\n"


def test_an_open_variable_is_told_in_one_line(capsys):
    checks.p4b_tiger_cat(...)
    checks.p4f_images({76: ...})
    checks.p2c_corgi(..., 0.5, model=None, image=None)
    assert capsys.readouterr().out.splitlines() == [
        "p4b_tiger_cat is open: set `adversarial_tiger_cat` in the cell above.",
        "p4f_images is open: set `robust_images` in the cell above.",
        "p2c_corgi is open: set `predicted_class` in the cell above.",
    ]


def test_the_open_one_of_two_functions_is_named(capsys):
    checks.p1b_maxpool1d(stub, stub)
    assert "write `pool_size`" in capsys.readouterr().out


def test_a_function_that_calls_an_open_one_names_the_line(capsys):
    def conv1d(x_in, kernel):
        return helper(x_in)

    namespace = {}
    exec(compile("def helper(x):\n    raise NotImplementedError", "elsewhere", "exec"), namespace)
    helper = namespace["helper"]
    checks.p1a_conv1d(conv1d)
    assert re.search(
        r"`conv1d` calls what is open itself, in line \d+: `return helper\(x_in\)`\.", capsys.readouterr().out
    )


def test_an_open_exercise_has_hints_too(capsys):
    checks.p1a_conv1d(stub, hint=2)
    assert capsys.readouterr().out.splitlines()[1].startswith("The idea: ")


@pytest.mark.parametrize("execution", ["validate", "autograde"])
def test_what_is_open_fails_where_it_is_graded(execution, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", execution)
    assert "not written yet" in str(failure_of(checks.p1a_conv1d, stub))
    assert failure_of(checks.p4b_tiger_cat, ...).misconception == "not_written"


def test_an_open_variable_is_missing_to_the_exam():
    with bank_tools.LocalStudent({"predicted_class": ...}) as student:
        assert student.value("predicted_class").error == "MissingName"


# The summary


def test_the_summary_shows_the_latest_outcome_of_each_check(capsys):
    assert set(checks.summary().outcomes.values()) == {NOT_RUN}
    checks.p1a_conv1d(stub)
    failure_of(checks.p1b_maxpool1d, lambda n_in, n_out: 0, None.__class__)
    checks.p4b_tiger_cat(...)
    outcomes = checks.summary().outcomes
    assert (outcomes["p1a_conv1d"], outcomes["p1b_maxpool1d"], outcomes["p4b_tiger_cat"]) == ("open", "wrong", "open")
    checks.p1a_conv1d(conv1d)
    assert checks.summary().outcomes["p1a_conv1d"] == "checked"
    assert "1 checked, 1 wrong, 1 open, 15 not run" in str(checks.summary())


def test_the_summary_is_a_table_with_signs_and_words():
    checks.p1a_conv1d(stub)
    page, text = checks.summary()._repr_html_(), str(checks.summary())
    assert page.count('scope="row"') == len(EXERCISES)
    assert "<caption" in page
    assert '<span aria-hidden="true">○</span> open' in page
    assert NOT_THE_EXAM in page
    assert NOT_THE_EXAM in text
    assert re.search(r"p1a_conv1d +1-D convolution +○ open", text)


# What a notebook draws


@pytest.fixture
def displayed(monkeypatch):
    """What a notebook would display."""
    shown = []
    monkeypatch.setattr(drawing, "in_notebook", lambda: True)
    monkeypatch.setattr("IPython.display.display", shown.append)
    return shown


def drawn(displayed, check, *answers):
    failure = failure_of(check, *answers)
    assert len(displayed) == 1, failure
    return displayed[0]


def test_a_wrong_convolution_is_drawn_with_its_own_weights(displayed):
    picture = drawn(displayed, checks.p1a_conv1d, cross_correlation)
    assert picture.format == "png"
    assert "x_out[1]. Yours 0, right 1" in picture.alt
    assert "times your weight: 0 1 0 0 0" in picture.alt


def test_what_is_no_weighted_sum_is_drawn_without_weights(displayed):
    picture = drawn(displayed, checks.p1a_conv1d, lambda x_in, kernel: conv1d(x_in, kernel).relu())
    assert "x_out, yours" in picture.alt
    assert "weight" not in picture.alt


def test_a_result_of_another_length_is_drawn_beside_the_right_one(displayed):
    picture = drawn(displayed, checks.p1a_conv1d, lambda x_in, kernel: x_in.unfold(0, len(kernel), 1) @ kernel.flip(0))
    assert "Yours missing" in picture.alt


def test_wrong_windows_are_drawn(displayed):
    def maxpool1d(x_in, size):
        return x_in.unfold(0, size, 1).clamp_min(0).amax(1)

    def pool_size(n_in, n_out):
        if not 1 <= n_out <= n_in:
            raise ValueError(f"n_in = {n_in}, n_out = {n_out}")
        return n_in - n_out + 1

    assert "window 0: −1" in drawn(displayed, checks.p1b_maxpool1d, pool_size, maxpool1d).alt


def test_a_wrong_matrix_stands_beside_the_right_one(displayed):
    picture = drawn(displayed, checks.p3a_conv_matrix, lambda kernel, n: kernel.new_zeros(n, n))
    assert "M, yours ✗" in picture.alt
    assert "M, right ✓" in picture.alt


def test_wrong_probabilities_and_a_wrong_update_are_drawn(displayed):
    assert "output[0]" in drawn(displayed, checks.p2b_probabilities, lambda output: output.softmax(0)).alt
    displayed.clear()
    assert "learning_rate" in drawn(displayed, checks.p3b_update, lambda kernel, grad, rate: kernel + rate * grad).alt


WRONG_GRADIENTS = {
    "p3a_backward_input": lambda grad_out, kernel: -cross_correlation(grad_out, kernel),
    "p3b_backward_kernel": lambda grad_out, x_in, size: grad_out.new_ones(size) * grad_out.sum() * x_in.sum(),
    "p3d_maxpool_backward": lambda grad_out, x_in, size: x_in * grad_out.sum(),
}


@pytest.mark.parametrize("name", WRONG_GRADIENTS)
def test_a_wrong_gradient_is_compared_in_three_ways(name, displayed, capsys):
    table = drawn(displayed, getattr(checks, name), WRONG_GRADIENTS[name])
    differs = next(row for row in table.rows() if row[-1].startswith("differs"))
    assert f"The first entry that differs is dC/d{differs[0]}: your formula {differs[1]}" in capsys.readouterr().out


def test_a_tie_that_is_shared_wrongly_is_compared_in_three_ways(displayed):
    answer = next(a for a in answers_for("p3d_maxpool_backward") if a.misconception == "full_gradient_to_ties")
    table = drawn(displayed, checks.p3d_maxpool_backward, bank_tools.namespace_of(answer)["maxpool1d_backward"])
    assert not table.agrees


@pytest.mark.parametrize(
    "exercise", ["p1a_conv1d", "p1b_maxpool1d", "p3a_conv_matrix", "p3b_update", "p3a_backward_input"]
)
def test_every_smallest_failure_of_the_bank_can_be_drawn(exercise, displayed):
    for answer in answers_for(exercise):
        displayed.clear()
        failure = None if answer.right else bank_tools.check_failure(answer)
        if failure and failure.smallest and isinstance(failure.smallest.value, torch.Tensor):
            same_shape = failure.smallest.value.shape == failure.smallest.right.shape
            assert displayed or not same_shape, answer.name


def test_nothing_is_drawn_while_grading_and_for_later_stages(displayed, monkeypatch):
    failure_of(checks.p1a_conv1d, cross_correlation, hint=2)
    monkeypatch.setenv("NBGRADER_EXECUTION", "validate")
    failure_of(checks.p1a_conv1d, cross_correlation)
    assert displayed == []


def test_outside_of_a_notebook_nothing_is_drawn(monkeypatch):
    monkeypatch.setattr("IPython.display.display", pytest.fail)
    assert not drawing.in_notebook()
    failure_of(checks.p1a_conv1d, cross_correlation)


def test_no_line_of_a_message_is_cut_off_by_validate():
    failure = failure_of(
        checks.p2c_corgi, "dog", 0.5, model=lambda x: torch.zeros(1, 1000), image=torch.zeros(1, 3, 8, 8)
    )
    for stage in (failure, failure_of(checks.p1a_conv1d, cross_correlation, hint=3)):
        lines = stage._render_traceback_()
        assert max(map(len, lines)) <= 83
        assert " ".join(lines).split() == f"CheckFailed: {stage}".split()
    assert "model=pretrained, image=corgi, hint=2)" in str(failure)
