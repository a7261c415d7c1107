"""Whose fault an error is: what a submission's process says about something that this machine should have is ours.

A module that the grader can find and the sandbox cannot, for example, is not something that a student did wrong. A
student can fake every such error; it wins nothing but a human's look.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.machinery import PathFinder
from typing import Any

from pset4.checks.calling.outcome import USUAL_CALL, CallOptions, Outcome, Student

_MISSING_MODULE = re.compile(r"^No module named '([\w.]{1,200})'")
_MISSING_NAME = re.compile(r"^cannot import name '\w+' from '([\w.]{1,200})'")
_GPU = re.compile(r"CUDA out of memory|CUDA error|CUDA-capable device|CUDNN_STATUS|CUBLAS_STATUS|CUDA driver")
_UNDEFINED = re.compile(r"^name '(\w{1,200})' is not defined")


def our_fault(error: str, message: str) -> str:
    """Why an error is the grader's or the machine's fault, or "".

    Args:
        error: Name of the exception's type.
        message: What it says.
    """
    if _GPU.search(message):
        # Others use it, too; and after some of its errors nothing works any more in a process that has met one.
        return f"the GPU failed, or had too little memory left ({error})"
    if error not in ("ModuleNotFoundError", "ImportError"):
        return ""
    found = _MISSING_MODULE.match(message) or _MISSING_NAME.match(message)
    if found and _can_be_found(found.group(1)):
        return f"the module {found.group(1)!r} is installed, but could not be imported in the sandbox ({error})"
    return ""


def _can_be_found(module: str) -> bool:
    """Whether this process finds a module; nothing is imported, since a stranger wrote the name."""
    path = None
    parts = module.split(".")
    for number in range(len(parts)):
        try:
            spec = PathFinder.find_spec(".".join(parts[: number + 1]), path)
        except (ImportError, ValueError):
            return False
        if spec is None:
            return False
        if number + 1 < len(parts):
            if spec.submodule_search_locations is None:
                return False
            path = list(spec.submodule_search_locations)
    return True


def undefined_name(error: str, message: str) -> str:
    """The name that a `NameError` misses, or ""."""
    found = _UNDEFINED.match(message) if error == "NameError" else None
    return found.group(1) if found else ""


class Witness:
    """A submission as an exam sees it; what went wrong in its calls is noted.

    Attributes:
        outcomes: Every outcome that is no returned value.
        missing: Names that the exam asked for and the notebook does not define.
    """

    def __init__(self, student: Student) -> None:
        self._student = student
        self.outcomes: list[Outcome] = []
        self.missing: list[str] = []

    def call(self, function: str, arguments: Sequence[Any], options: CallOptions = USUAL_CALL) -> Outcome:
        """Calls the student's function of that name."""
        return self._noted(function, self._student.call(function, arguments, options))

    def value(self, name: str) -> Outcome:
        """The student's variable of that name, as data."""
        return self._noted(name, self._student.value(name))

    def _noted(self, name: str, outcome: Outcome) -> Outcome:
        if outcome.error:
            self.outcomes.append(outcome)
        if outcome.error == "MissingName":
            self.missing.append(name)
        return outcome

    @property
    def fault(self) -> str:
        """Why what was seen is our fault, or ""."""
        return next(filter(None, (our_fault(o.error, o.message) for o in self.outcomes)), "")

    @property
    def undefined(self) -> set[str]:
        """Names that the student's code missed while it was called."""
        return {name for o in self.outcomes if (name := undefined_name(o.error, o.message))}
