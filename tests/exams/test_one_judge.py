"""The visible check and the hidden exam of an exercise call the same judges."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import bank_tools
import pytest

from autograder.answers import reference
from pset4.checks import judging


def judges_called(run: Callable[[], object]) -> set[str]:
    """Names of the judges that were entered meanwhile, with their modules."""
    seen = set()

    def look(frame: Any, event: str, _argument: object) -> None:
        module, name = frame.f_globals.get("__name__", ""), frame.f_code.co_name
        if event == "call" and module.startswith(judging.__name__) and name.startswith("judge"):
            seen.add(f"{module.removeprefix(judging.__name__)}.{name}")

    # Where banned calls are watched, the watch has the hook to itself for the time of the student's call.
    sys.setprofile(look)
    try:
        run()
    finally:
        sys.setprofile(None)
    return seen


@cache
def namespace_of(exercise: str) -> dict[str, Any]:
    return bank_tools.namespace_of(reference(exercise))


# What only one of the two tries: further devices, and how several windows with ties add up.
ONLY_IN_THE_EXAM = {"judge_devices", "judge_rule", "judge_ties"}


@pytest.mark.parametrize("exercise", bank_tools.TAKES)
def test_check_and_exam_call_the_same_judges(exercise: str) -> None:
    answer, namespace = reference(exercise), namespace_of(exercise)
    checked = judges_called(lambda: bank_tools.check_failure(answer, namespace=namespace))
    examined = judges_called(lambda: bank_tools.verdict_on(answer, namespace=namespace))
    assert checked
    assert {name for name in examined if name.split(".")[-1] not in ONLY_IN_THE_EXAM} == checked


def test_no_check_and_no_exam_judges_by_itself() -> None:
    for module in [
        m for name, m in sys.modules.items() if name.startswith(("pset4.checks.problem", "autograder.exams.problem"))
    ]:
        own = [
            name
            for name, value in vars(module).items()
            if name.startswith("judge") and value.__module__ == module.__name__
        ]
        assert set(own) <= {"judge_ties", "judge_photo_in_parts"}, module.__name__
