"""Runs answers of the bank as a notebook would, for the tests of exams and checks."""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import Any

from autograder.answers import Answer
from autograder.exams import LocalStudent, Verdict, examine
from pset4 import checks
from pset4.checks import CheckFailed

# The first cell of the notebooks of problems 1 and 3, as far as answers depend on it.
FIRST_CELL = "import torch\nimport torch.nn.functional as F\nfrom torch import Tensor"

FUNCTIONS = {
    "p1a_conv1d": ("conv1d",),
    "p1b_maxpool1d": ("pool_size", "maxpool1d"),
    "p3a_conv_matrix": ("conv1d_matrix",),
    "p3a_backward_input": ("conv1d_backward_input",),
    "p3b_backward_kernel": ("conv1d_backward_kernel",),
    "p3b_update": ("update_kernel",),
    "p3d_maxpool_backward": ("maxpool1d_backward",),
}
"""The student's functions of each exercise, in the order in which its check takes them."""


def namespace_of(cells: tuple[str, ...]) -> dict[str, Any]:
    """What a notebook's namespace holds after these cells."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        for cell in (FIRST_CELL, *cells):
            exec(compile(cell, "cell", "exec"), namespace)
    return namespace


def verdict_on(answer: Answer, *, seed: int = 1) -> Verdict:
    """The exam's verdict on an answer."""
    with LocalStudent(namespace_of(answer.cells)) as student:
        return examine(answer.exercise, student, seed=seed)


def check_failure(answer: Answer) -> CheckFailed | None:
    """What the visible check says of an answer; None if it is content."""
    namespace = namespace_of(answer.cells)
    functions = [namespace.get(name) for name in FUNCTIONS[answer.exercise]]
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        try:
            getattr(checks, answer.exercise)(*functions)
        except CheckFailed as failure:
            return failure
    return None
