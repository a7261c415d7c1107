"""Problem 2: right answers of the bank get full marks, wrong ones lose what they declare and are told why."""

from __future__ import annotations

import contextlib
import dataclasses
import re

import bank_tools
import pytest
from mutants import mutants

from autograder.answers import Answer, answers_for, reference
from autograder.exams import EXAMS

EXERCISES = bank_tools.of_problem(2)
ANSWERS = [answer for exercise in EXERCISES for answer in answers_for(exercise)]
RIGHT = [answer for answer in ANSWERS if answer.right]
WRONG = [answer for answer in ANSWERS if not answer.right]
SEEDS = (1, 7)


def named(answers: list[Answer]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("answer", answers, ids=[f"{a.exercise}: {a.name}" for a in answers])


@named(RIGHT)
def test_a_right_answer_gets_full_marks_and_a_content_check(answer: Answer) -> None:
    for seed in SEEDS:
        verdict = bank_tools.verdict_on(answer, seed=seed)
        assert verdict.points == EXAMS[answer.exercise].points, verdict.report()
        assert verdict.misconception == ""
    assert bank_tools.check_failure(answer) is None


@named(WRONG)
def test_a_wrong_answer_loses_what_it_declares_and_is_told_why(answer: Answer) -> None:
    verdict = bank_tools.verdict_on(answer)
    assert set(verdict.missed) == answer.loses, verdict.report()
    assert verdict.misconception == answer.misconception, verdict.report()


def test_the_visible_check_finds_every_wrong_answer_and_knows_almost_all() -> None:
    visible = [answer for answer in WRONG if answer.checked]
    failures = {answer: bank_tools.check_failure(answer) for answer in visible}
    assert [answer.name for answer, failure in failures.items() if failure is None] == []
    known = [
        answer for answer, failure in failures.items() if failure and failure.misconception == answer.misconception
    ]
    print(f"\nproblem 2: {len(RIGHT)} right, {len(WRONG)} wrong; the checks know {len(known)} of {len(visible)}")
    assert len(known) >= 0.95 * len(WRONG)


def test_there_are_enough_right_answers() -> None:
    for exercise in EXERCISES:
        assert sum(answer.exercise == exercise for answer in RIGHT) >= 3


# What a mutant that keeps full marks may have changed, and why it computes the same.
EQUIVALENT = {
    "-> `pass`": "the docstring is gone, nothing else",
    ".topk(k)`": "the last dimension, which topk takes by default, is the one that was named",
    "strict": "the lists have one length, so that zip has nothing to complain of",
    "`True` -> `False`": "the same: `strict`",
    "zip(": "the same: `strict` left out",
}


@pytest.mark.parametrize("exercise", EXERCISES)
def test_mutants_of_the_reference_lose_points_unless_they_are_equivalent(exercise: str) -> None:
    answer, made, surviving = reference(exercise), 0, []
    for mutant in mutants(answer.source):
        made += 1
        with contextlib.suppress(Exception):  # a cell that raises hands in nothing
            verdict = bank_tools.verdict_on(dataclasses.replace(answer, source=mutant.source))
            if verdict.points == EXAMS[exercise].points:
                surviving.append(mutant.what)
    unexplained = [what for what in surviving if not any(reason in what for reason in EQUIVALENT)]
    print(f"\n{exercise}: {made} mutants, {len(surviving)} keep full marks, {len(unexplained)} of them unexplained")
    assert made >= 5
    assert unexplained == []


def test_no_reason_shows_a_hidden_value() -> None:
    for answer in WRONG:
        verdict = bank_tools.verdict_on(answer)
        reasons = "".join(result.reason for result in verdict.results if result.reason != verdict.diagnosis)
        assert not re.search(r"\d\.\d{3}|tensor\(", reasons), reasons
