"""An exercise that is as it was released earns nothing, and is called unanswered, not wrong."""

from __future__ import annotations

import pytest

from autograder.exams import examine
from pset4.checks.calling.local import LocalStudent


@pytest.mark.parametrize(
    ("exercise", "variables"),
    [
        ("p2c_corgi", {"predicted_class": ..., "predicted_probability": ...}),
        ("p4b_tiger_cat", {"adversarial_tiger_cat": ...}),
        ("p4e_robust", {"robust_example": ...}),
    ],
)
def test_a_variable_that_holds_its_dots_is_not_set(exercise: str, variables: dict[str, object]) -> None:
    with LocalStudent(variables) as student:
        outcomes = [student.value(name) for name in variables]
        verdict = examine(exercise, student, seed=1)
    assert [outcome.error for outcome in outcomes] == ["MissingName"] * len(variables)
    assert verdict.points == 0
    said = verdict.report()
    assert "not set" in said or "does not define" in said


def test_a_function_that_says_that_it_is_open_is_not_written() -> None:
    def conv1d(x_in: object, kernel: object) -> None:
        raise NotImplementedError("exercise p1a_conv1d is still open")

    with LocalStudent({"conv1d": conv1d}) as student:
        verdict = examine("p1a_conv1d", student, seed=1)
    assert verdict.points == 0
    assert "not written yet" in verdict.report()
