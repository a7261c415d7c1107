"""Hidden exams: they decide the points, and say why.

A hidden test cell holds two lines:

    from autograder.exams import grade
    grade("p1a_conv1d", globals())
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Sequence
from typing import Any

import torch

from autograder.exams.exam import EXAMS, Exam, Examination, exam
from autograder.exams.verdict import Property, PropertyResult, Verdict, settle
from pset4.checks.calling.local import LocalStudent, silence
from pset4.checks.calling.outcome import CallOptions, Opaque, Outcome, Student
from pset4.checks.calling.torch_state import neutral_torch

DEFAULT_SEED = 230_101
"""Seed of the hidden inputs where the course sets none (environment variable `PSET4_EXAM_SEED`)."""

for _module in pkgutil.iter_modules(__path__):
    if _module.name.startswith("problem") or _module.name == "right":
        importlib.import_module(f"{__name__}.{_module.name}")


def examine(exercise: str, student: Student, *, seed: int, devices: Sequence[str] = ("cpu",)) -> Verdict:
    """Runs one exercise's exam.

    Args:
        exercise: Its id in the contract.
        student: The submission.
        seed: Decides the hidden inputs; the same seed and student give the same verdict.
        devices: Devices on which the exam runs.

    Raises:
        KeyError: If there is no such exam.
    """
    if exercise not in EXAMS:
        raise KeyError(f"there is no exam for {exercise!r}; there are {', '.join(sorted(EXAMS))}")
    examination = Examination(EXAMS[exercise], student, seed=seed, devices=devices)
    with neutral_torch():
        EXAMS[exercise].run(examination)
        return examination.verdict()


def grade(exercise: str, namespace: dict[str, Any]) -> float:
    """What a hidden test cell calls: examines the notebook, prints the report, returns the points.

    It never raises: nbgrader would give 0 for an error, and full marks for a result that is not a number.

    Args:
        exercise: Its id in the contract.
        namespace: The notebook's `globals()`.

    Returns:
        Points in [0, the exercise's maximum].
    """
    try:
        with silence(), LocalStudent(namespace) as student:
            verdict = examine(exercise, student, seed=seed_from_environment(), devices=available_devices())
    except Exception as error:
        print(f"{exercise}: the exam itself failed ({type(error).__name__}: {error}). Please tell your instructor.")
        return 0.0
    print(verdict.report())
    return float(verdict.points)


def seed_from_environment() -> int:
    """The course's seed for this submission, or `DEFAULT_SEED`."""
    try:
        return int(os.environ.get("PSET4_EXAM_SEED", ""))
    except ValueError:
        return DEFAULT_SEED


def available_devices() -> tuple[str, ...]:
    """The CPU, and CUDA where there is one."""
    return ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)


__all__ = [
    "DEFAULT_SEED",
    "EXAMS",
    "CallOptions",
    "Exam",
    "Examination",
    "LocalStudent",
    "Opaque",
    "Outcome",
    "Property",
    "PropertyResult",
    "Student",
    "Verdict",
    "available_devices",
    "exam",
    "examine",
    "grade",
    "seed_from_environment",
    "settle",
]
