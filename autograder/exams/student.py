"""What an exam may ask of a submission, wherever the submission's code runs.

An exam never touches the student's namespace. It calls the student's functions through a `Student`, with plain data or
with specifications (`pset4.checks.calling.specs`), and judges the `Outcome`. `LocalStudent` calls them in this process
(stock nbgrader); the sandboxed engine brings its own `Student`, which calls them in another process.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from pset4.checks.calling.outcome import PLAIN, CallOptions, Outcome


class Student(Protocol):
    """A submission that can be asked to call its functions."""

    def call(self, function: str, arguments: Sequence[Any], options: CallOptions = PLAIN) -> Outcome:
        """Calls the student's function of that name; specifications among the arguments are built first."""
        ...

    def value(self, name: str) -> Outcome:
        """The student's variable of that name, as data."""
        ...
