"""Problem 2: right answers of the bank get full marks, wrong ones lose what they declare and are told why."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
from typing import Any

import bank_tools
import pytest
from mutants import mutants

from autograder.answers import Answer, answers_for, reference
from autograder.exams import EXAMS, LocalStudent, Verdict, examine
from pset4 import checks
from pset4.attacked_photo import judging_network, judging_photo
from pset4.checks import CheckFailed
from pset4.imagenet import class_name
from pset4.networks import load_model

STUDENT_NAMES = {
    "p2a_last_layer": ("last_layer_inputs",),
    "p2b_probabilities": ("output2prob",),
    "p2b_top_predictions": ("top_predictions",),
    "p2c_corgi": ("predicted_class", "predicted_probability"),
}
ANSWERS = [answer for exercise in STUDENT_NAMES for answer in answers_for(exercise)]
RIGHT = [answer for answer in ANSWERS if answer.right]
WRONG = [answer for answer in ANSWERS if not answer.right]
SEEDS = (1, 7)


def named(answers: list[Answer]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("answer", answers, ids=[f"{a.exercise}: {a.name}" for a in answers])


def namespace_of(answer: Answer) -> dict[str, Any]:
    """What the notebook's namespace holds after the answer's cells, as far as problem 2 needs it."""
    cells = ["from torch import nn", reference("p2b_probabilities").source, reference("p2b_top_predictions").source]
    namespace = bank_tools.namespace_of(tuple(cells))
    if answer.exercise == "p2c_corgi":
        namespace |= {"pretrained": judging_network("standard"), "corgi": judging_photo(), "class_name": class_name}
        namespace["random_network"] = load_model("random", "cpu", verbose=False)
    else:
        # Only `output2prob` may be called by another exercise's answer.
        del namespace["top_predictions"]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        for cell in answer.cells:
            exec(compile(cell, "cell", "exec"), namespace)
    return namespace


def verdict_on(answer: Answer, seed: int = 1) -> Verdict:
    with LocalStudent(namespace_of(answer)) as student:
        return examine(answer.exercise, student, seed=seed)


def check_failure(answer: Answer) -> CheckFailed | None:
    namespace = namespace_of(answer)
    given = [namespace.get(name) for name in STUDENT_NAMES[answer.exercise]]
    keywords = {}
    if answer.exercise == "p2c_corgi":
        keywords = {"model": judging_network("standard"), "image": judging_photo()}
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            getattr(checks, answer.exercise)(*given, **keywords)
        except CheckFailed as failure:
            return failure
    return None


@named(RIGHT)
def test_a_right_answer_gets_full_marks_and_a_content_check(answer: Answer) -> None:
    for seed in SEEDS:
        verdict = verdict_on(answer, seed)
        assert verdict.points == EXAMS[answer.exercise].points, verdict.report()
        assert verdict.misconception == ""
    assert check_failure(answer) is None


@named(WRONG)
def test_a_wrong_answer_loses_what_it_declares_and_is_told_why(answer: Answer) -> None:
    verdict = verdict_on(answer)
    assert set(verdict.missed) == answer.loses, verdict.report()
    assert verdict.misconception == answer.misconception, verdict.report()


def test_the_visible_check_finds_every_wrong_answer_and_knows_nine_in_ten() -> None:
    visible = [answer for answer in WRONG if answer.checked]
    failures = {answer: check_failure(answer) for answer in visible}
    assert [answer.name for answer, failure in failures.items() if failure is None] == []
    known = [
        answer for answer, failure in failures.items() if failure and failure.misconception == answer.misconception
    ]
    print(f"\nproblem 2: {len(RIGHT)} right, {len(WRONG)} wrong; the checks know {len(known)} of {len(visible)}")
    assert len(known) >= 0.9 * len(WRONG)


def test_there_are_enough_right_answers() -> None:
    for exercise in STUDENT_NAMES:
        assert sum(answer.exercise == exercise for answer in RIGHT) >= 3


# What a mutant that keeps full marks may have changed, and why it computes the same.
EQUIVALENT = {
    "-> `pass`": "the docstring is gone, nothing else",
    ".topk(k)`": "the last dimension, which topk takes by default, is the one that was named",
    "strict": "the lists have one length, so that zip has nothing to complain of",
    "`True` -> `False`": "the same: `strict`",
    "zip(": "the same: `strict` left out",
}


@pytest.mark.parametrize("exercise", STUDENT_NAMES)
def test_mutants_of_the_reference_lose_points_unless_they_are_equivalent(exercise: str) -> None:
    answer, made, surviving = reference(exercise), 0, []
    for mutant in mutants(answer.source):
        made += 1
        with contextlib.suppress(Exception):  # a cell that raises hands in nothing
            verdict = verdict_on(dataclasses.replace(answer, source=mutant.source))
            if verdict.points == EXAMS[exercise].points:
                surviving.append(mutant.what)
    unexplained = [what for what in surviving if not any(reason in what for reason in EQUIVALENT)]
    print(f"\n{exercise}: {made} mutants, {len(surviving)} keep full marks, {len(unexplained)} of them unexplained")
    assert made >= 5
    assert unexplained == []


def test_no_reason_shows_a_hidden_value() -> None:
    for answer in WRONG:
        verdict = verdict_on(answer)
        reasons = "".join(result.reason for result in verdict.results if result.reason != verdict.diagnosis)
        assert not re.search(r"\d\.\d{3}|tensor\(", reasons), reasons
