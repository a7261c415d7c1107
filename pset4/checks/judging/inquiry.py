"""One exercise under judgement: the student's functions are asked, and what is found wrong is kept.

Visible checks and hidden exams are inquiries of two kinds, and the judges in this folder serve both. A check brings
public inputs and raises the first thing that is wrong; an exam brings hidden inputs and takes points.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pset4.checks.calling.outcome import CallOptions, Opaque, Outcome, Student, size_of
from pset4.checks.judging.registry import Observation, recognise
from pset4.checks.judging.symptoms import Symptom

MAX_BYTES = 256_000_000
"""Bytes that may come back in one inquiry before the rest of it is given up; right answers need less than a million."""
KEPT_BYTES, KEPT_SHARE = 1_000_000, 16
"""A result is kept for the diagnosis up to this size, or this many times the size of the input, if that is more."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        property: The property that it speaks against.
        name: Name of the diagnosis, or "" if the sentence is none.
        text: A sentence for the student; "" stands for the property's own.
    """

    property: str
    name: str = ""
    text: str = ""


class Inquiry:
    """Asks the student, and keeps what was observed.

    Attributes:
        exercise: Its id in the contract.
        student: The submission.
        public: Whether the student may see inputs and results.
        devices: Devices on which the judges try the functions; the first is the CPU.
        found: What is wrong, in the order in which it was found.
        observations: Calls with valid input, for the diagnosis.
        banned: Banned calls, in order.
    """

    public = False
    max_timeouts = 2
    """Calls that may run into the time limit before the rest is given up."""

    def __init__(
        self, exercise: str, student: Student, *, options: CallOptions, devices: Sequence[str] = ("cpu",)
    ) -> None:
        self.exercise, self.student, self.devices = exercise, student, tuple(devices)
        self.found: list[Finding] = []
        self.observations: list[Observation] = []
        self.banned: list[str] = []
        self._options = options
        self._diagnosis = ("", "")
        self._stopped: Counter[str] = Counter()  # calls that ran out of time, by function
        self._bytes = 0

    def ask(
        self, function: str, *arguments: Any, valid: bool = True, special: bool = False, device: str = "cpu"
    ) -> Outcome:
        """Calls the student's function.

        Args:
            function: Its name.
            arguments: Data or specifications.
            valid: Whether the contract allows this input. Only such calls are used for the diagnosis.
            special: Whether the input leaves a choice, so that right answers may differ.
            device: Where specifications are built.
        """
        if given_up := self._given_up():
            return given_up
        outcome = self.student.call(function, arguments, replace(self._options, device=device))
        self._stopped[function] += outcome.error == "Timeout"
        self._bytes += sum(map(size_of, (outcome.value, outcome.arguments_after, outcome.first_direction)))
        self.banned.extend(name for name in outcome.banned if name not in self.banned)
        if valid:
            value = _without_excess(outcome.value, arguments)
            self.observations.append(Observation(function, arguments, value, outcome.error, special))
        return outcome

    def _given_up(self) -> Outcome | None:
        """What a call comes to that is not made any more."""
        if self._stopped.total() >= self.max_timeouts:
            return Outcome(error="Timeout", message="not called again after several calls took too long")
        if self._bytes > MAX_BYTES:
            message = f"not called again after its results had more than {MAX_BYTES / 1e6:.0f} MB in all"
            return Outcome(error="TooLarge", message=message)
        return None

    def fail(self, name: str, text: str = "", *, symptom: str = "") -> None:
        """Notes that a property is missed.

        Args:
            name: The property.
            text: What was seen; "" stands for the property's own sentence.
            symptom: Name of the diagnosis that `text` is, should no misconception be recognised.
        """
        self.found.append(Finding(name, symptom, text))

    def note(self, name: str, symptom: Symptom | None) -> None:
        """Fails a property if there is a symptom."""
        if symptom:
            self.fail(name, symptom.text, symptom=symptom.name)

    def holds(self, name: str) -> bool:
        """Whether nothing has spoken against a property so far."""
        return all(finding.property != name for finding in self.found)

    def sentence(self, _name: str) -> str:
        """What a right answer does, in the words of a property; "" where none are known."""
        return ""

    def diagnose(self, misconception: str, text: str) -> None:
        """Sets a diagnosis that the observed values alone would not give; the first one is kept."""
        if not self.diagnosed:
            self._diagnosis = (misconception, text)

    @property
    def diagnosed(self) -> bool:
        """Whether a judge has set a diagnosis."""
        return bool(self._diagnosis[0])

    def recognised(self) -> tuple[str, str]:
        """Name and words of the diagnosis: set by a judge, else a known misconception, else nothing."""
        if self.diagnosed:
            return self._diagnosis
        known = recognise(self.exercise, self.observations)
        return (known.name, known.describe()) if known else ("", "")

    def remarks(self) -> list[str]:
        """Why calls were stopped or not made, for whoever grades."""
        remarks = []
        for function, times in (+self._stopped).items():
            calls = "one of its calls" if times == 1 else f"{times} of its calls"
            remarks.append(f"`{function}` was stopped after {self._options.seconds:g} s in {calls}")
        if self._stopped.total() >= self.max_timeouts:
            calls = f"{self.max_timeouts} calls that took too long"
            remarks.append(f"after {calls}, nothing more of this exercise was called")
        if self._bytes > MAX_BYTES:
            remarks.append(f"results had more than {MAX_BYTES / 1e6:.0f} MB in all, and nothing more was called")
        return remarks


def _without_excess(value: Any, arguments: Sequence[Any]) -> Any:
    """The value, or a small stand-in for one that is far larger than any answer: all of an inquiry's are kept."""
    size = size_of(value)
    if size <= max(KEPT_BYTES, KEPT_SHARE * size_of(arguments)):
        return value
    return Opaque(f"{type(value).__name__} of {size} bytes")
