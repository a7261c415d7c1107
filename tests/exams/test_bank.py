"""The bank of problems 1 and 3: right answers get full marks, wrong ones lose what they declare, and are told why."""

from collections import Counter

import bank_tools
import pytest

from autograder.answers import BANK, answers_for, reference
from autograder.answers.bank import parse
from autograder.exams import EXAMS
from pset4.checks.judging.registry import misconceptions_for

EXERCISES = bank_tools.of_problem(1, 3)
ANSWERS = [answer for answer in BANK if answer.exercise in EXERCISES]
RIGHT = [answer for answer in ANSWERS if answer.right]
WRONG = [answer for answer in ANSWERS if not answer.right]

# Diagnoses that need no imitation: they hold for any exercise.
SYMPTOMS = {
    "banned_call",
    "crashes",
    "empty_value_error",
    "other_length",
    "share_for_others",
    "negative_share",
    "shares_do_not_sum_to_one",
    "values_and_positions",
    "input_changed",
    "low_precision",
    "missing_function",
    "needs_contiguous",
    "no_value_error",
    "not_a_tensor",
    "not_an_integer",
    "returns_nothing",
    "too_slow",
    "unclear_value_error",
    "wrong_dtype",
}


def named(answers):
    return pytest.mark.parametrize("answer", answers, ids=[f"{a.exercise}: {a.name}" for a in answers])


@named(RIGHT)
def test_a_right_answer_gets_full_marks(answer):
    for seed in (1, 20):
        verdict = bank_tools.verdict_on(answer, seed=seed)
        assert verdict.points == EXAMS[answer.exercise].points, verdict.report()
        assert verdict.misconception == ""


@named(WRONG)
def test_a_wrong_answer_loses_what_it_declares_and_is_told_why(answer):
    verdict = bank_tools.verdict_on(answer)
    assert set(verdict.missed) == answer.loses, verdict.report()
    assert verdict.misconception == answer.misconception, verdict.report()
    assert verdict.points == answer.points < verdict.max_points


@named(RIGHT)
def test_the_visible_check_is_content_with_a_right_answer(answer):
    assert bank_tools.check_failure(answer) is None


def test_the_visible_check_finds_every_wrong_answer_and_knows_almost_all():
    failures = {answer: bank_tools.check_failure(answer) for answer in WRONG}
    assert [a.name for a, failure in failures.items() if failure is None] == []
    known = [a for a, failure in failures.items() if failure.misconception == a.misconception]
    print(f"\nvisible checks: {len(known)} of {len(WRONG)} wrong answers get their own diagnosis")
    assert len(known) >= 0.95 * len(WRONG)


def test_there_are_enough_answers():
    right, wrong = Counter(a.exercise for a in RIGHT), Counter(a.exercise for a in WRONG)
    for exercise in EXERCISES:
        print(f"\n{exercise}: {right[exercise]} right, {wrong[exercise]} wrong", end="")
        assert right[exercise] >= (8 if EXAMS[exercise].points >= 6 else 3)
    assert len(WRONG) >= 100
    assert all(reference(exercise).right for exercise in EXERCISES)


def test_answers_differ():
    for exercise in EXERCISES:
        sources = [answer.cells for answer in answers_for(exercise)]
        names = [answer.name for answer in answers_for(exercise)]
        assert len(set(sources)) == len(sources)
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("exercise", EXERCISES)
def test_every_misconception_has_an_answer_and_every_diagnosis_exists(exercise):
    registered = {misconception.name for misconception in misconceptions_for(exercise)}
    declared = {answer.misconception for answer in WRONG if answer.exercise == exercise}
    assert registered - declared == set()
    assert declared - registered <= SYMPTOMS


@pytest.mark.parametrize("exercise", EXERCISES)
def test_every_misconception_shows_a_counter_example(exercise):
    for misconception in misconceptions_for(exercise):
        text = misconception.describe()
        assert text.startswith("With "), misconception.name
        assert "instead of" in text
        assert "nan" not in text and "inf" not in text.split(":")[0]


def test_zeros_earn_nothing():
    for exercise in EXERCISES:
        for answer in answers_for(exercise):
            if answer.name == "zeros":
                points = bank_tools.verdict_on(answer).points
                # In p1b, pool_size is another function, and right there.
                assert points == (1.25 if exercise == "p1b_maxpool1d" else 0)


def test_a_bank_file_with_a_wrong_answer_that_loses_nothing_is_refused():
    with pytest.raises(ValueError, match="need a line `- loses"):
        parse("p1a_conv1d", "## Wrong: something\n\n```python\npass\n```\n")
    with pytest.raises(ValueError, match="no ```python block"):
        parse("p1a_conv1d", "## Right: something\n")


def test_cells_before_the_answer_cell_are_kept_apart():
    code = "\n\n```python\n{}\n```\n\n"
    text = (
        "## Cell: shared" + code.format("def shared(): ...")
        + "## Right: two cells" + code.format("a = 1") + code.format("shared()")
    )  # fmt: skip
    (answer,) = parse("p1a_conv1d", text)
    assert answer.source == "shared()"
    assert answer.extra_cells == ("def shared(): ...", "a = 1")
