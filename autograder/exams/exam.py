"""An exam as data, and an exam under way."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from autograder.exams.student import Student
from autograder.exams.verdict import Property, Verdict, settle
from pset4.checks.calling.outcome import CallOptions, Opaque, Outcome, size_of
from pset4.checks.misconceptions import Observation, recognise

MAX_TIMEOUTS = 2
"""Calls that may run into the time limit before the rest of an exam is given up."""
MAX_BYTES = 256_000_000
"""Bytes that may come back in one exam before the rest of it is given up; right answers need less than one million."""
KEPT_BYTES, KEPT_SHARE = 1_000_000, 16
"""A result is kept for the diagnosis up to this size, or this many times the size of the input, if that is more."""


@dataclass(frozen=True)
class Exam:
    """One exercise's exam.

    Attributes:
        exercise: Its id in the contract.
        points: The contract's points; the properties' points add up to them.
        properties: What is worth points, in the order in which the student reads them.
        run: Asks the student and notes what fails.
        from_scratch: Whether the exercise must be solved without library convolution, pooling and differentiation.
        seconds: Time limit of one call.
    """

    exercise: str
    points: float
    properties: tuple[Property, ...]
    run: Callable[[Examination], None]
    from_scratch: bool = False
    seconds: float = 20.0

    def __post_init__(self) -> None:
        """Refuses an exam whose points do not add up."""
        total = sum(p.points for p in self.properties)
        if abs(total - self.points) > 1e-9:
            raise ValueError(f"the properties of {self.exercise} are worth {total:g} points, not {self.points:g}")
        for_errors = sum(p.points for p in self.properties if p.kind == "error")
        if for_errors > 0.5:
            raise ValueError(f"{self.exercise} gives {for_errors:g} points for ValueErrors; the contract allows 0.5")


EXAMS: dict[str, Exam] = {}
"""Every exam by its exercise; filled by the modules `problem*.py`."""


def exam(
    exercise: str,
    *,
    points: float,
    properties: Sequence[Property],
    from_scratch: bool = False,
    seconds: float = 20.0,
) -> Callable[[Callable[[Examination], None]], Callable[[Examination], None]]:
    """Decorator: registers the function that runs an exercise's exam."""

    def add(run: Callable[[Examination], None]) -> Callable[[Examination], None]:
        if exercise in EXAMS:
            raise ValueError(f"{exercise} has an exam already")
        EXAMS[exercise] = Exam(exercise, points, tuple(properties), run, from_scratch, seconds)
        return run

    return add


class Examination:
    """One exam under way: asks the student, and keeps what was observed.

    Attributes:
        random: Generator (CPU) for the hidden inputs; the same seed gives the same inputs.
        devices: Devices on which the exam runs; the first is the CPU.
        failures: First reason of each property that is missed.
        observations: Calls with valid input, for the diagnosis.
        banned: Banned calls, in order.
        remarks: What a grader should know.
    """

    def __init__(self, exam: Exam, student: Student, *, seed: int, devices: Sequence[str] = ("cpu",)) -> None:
        self.exam, self.student, self.devices = exam, student, tuple(devices)
        # Each exercise has its own stream, so that one exam's changes leave the others' inputs alone.
        self.random = torch.Generator().manual_seed((seed * 1_000_003 + zlib.crc32(exam.exercise.encode())) % 2**63)
        self.failures: dict[str, str] = {}
        self.observations: list[Observation] = []
        self.banned: list[str] = []
        self.remarks: list[str] = []
        self._names = [p.name for p in exam.properties]
        self._symptoms: dict[str, str] = {}
        self._diagnosis = ("", "")
        self._stopped: Counter[str] = Counter()  # calls that ran out of time, by function
        self._bytes = 0

    def ask(
        self,
        function: str,
        *arguments: Any,
        valid: bool = True,
        special: bool = False,
        device: str = "cpu",
        **keywords: Any,
    ) -> Outcome:
        """Calls the student's function.

        Args:
            function: Its name.
            arguments: Positional arguments: data or specifications.
            valid: Whether the contract allows this input. Only such calls are used for the diagnosis.
            special: Whether the input leaves a choice, so that right answers may differ.
            device: Where specifications are built.
            keywords: Keyword arguments.
        """
        if given_up := self._given_up():
            return given_up
        options = CallOptions(self.exam.from_scratch, self.exam.seconds, device, keywords)
        outcome = self.student.call(function, arguments, options)
        self._stopped[function] += outcome.error == "Timeout"
        self._bytes += sum(map(size_of, (outcome.value, outcome.arguments_after, outcome.first_direction)))
        self.banned.extend(name for name in outcome.banned if name not in self.banned)
        if valid:
            value = _without_excess(outcome.value, arguments)
            self.observations.append(Observation(function, arguments, value, outcome.error, special))
        return outcome

    def _given_up(self) -> Outcome | None:
        """What a call comes to that is not made any more."""
        if self._stopped.total() >= MAX_TIMEOUTS:
            return Outcome(error="Timeout", message="not called again after several calls took too long")
        if self._bytes > MAX_BYTES:
            message = f"not called again after its results had more than {MAX_BYTES / 1e6:.0f} MB in all"
            return Outcome(error="TooLarge", message=message)
        return None

    def fail(self, name: str, reason: str = "", *, symptom: str = "") -> None:
        """Notes that a property is missed; the first reason is kept.

        Args:
            name: The property.
            reason: What was seen; "" stands for the property's own sentence.
            symptom: Name of the diagnosis that `reason` is, should no misconception be recognised.
        """
        if name not in self._names:
            raise KeyError(f"{self.exam.exercise} has no property named {name!r}")
        if name not in self.failures and symptom:
            self._symptoms[name] = symptom
        self.failures.setdefault(name, reason)

    def holds(self, name: str) -> bool:
        """Whether nothing has spoken against a property so far."""
        return name not in self.failures

    def diagnose(self, misconception: str, text: str) -> None:
        """Sets a diagnosis that the observed values alone would not give; the first one is kept."""
        if not self._diagnosis[0]:
            self._diagnosis = (misconception, text)

    def _all_remarks(self) -> list[str]:
        """What a grader should know: the exam's own remarks, and why calls were stopped or not made."""
        remarks = list(self.remarks)
        for function, times in (+self._stopped).items():
            calls = "one of its calls" if times == 1 else f"{times} of its calls"
            remarks.append(f"`{function}` was stopped after {self.exam.seconds:g} s in {calls}")
        if self._stopped.total() >= MAX_TIMEOUTS:
            remarks.append(f"after {MAX_TIMEOUTS} calls that took too long, nothing more of this exercise was called")
        if self._bytes > MAX_BYTES:
            remarks.append(f"results had more than {MAX_BYTES / 1e6:.0f} MB in all, and nothing more was called")
        return remarks

    def verdict(self) -> Verdict:
        """The verdict on what was noted so far."""
        if self.exam.from_scratch and self.banned:
            named = ", ".join(self.banned)
            reason = f"this exercise must be solved from scratch, but your code called {named}"
            return settle(
                self.exam.exercise,
                self.exam.properties,
                {},
                zeroed=reason,
                diagnosis=f"Not from scratch: your code calls {named}, which this exercise does not allow.",
                misconception="banned_call",
                remarks=self._all_remarks(),
            )
        name, text = self._recognised() if self.failures else ("", "")
        return settle(
            self.exam.exercise,
            self.exam.properties,
            self.failures,
            diagnosis=text,
            misconception=name,
            remarks=self._all_remarks(),
        )

    def _recognised(self) -> tuple[str, str]:
        """The diagnosis: set by the exam, else a known misconception, else the first symptom in the exam's order."""
        if self._diagnosis[0]:
            return self._diagnosis
        found = recognise(self.exam.exercise, self.observations)
        if found:
            return found.name, found.describe()
        return next(((self._symptoms[n], self.failures[n]) for n in self._names if n in self._symptoms), ("", ""))


def _without_excess(value: Any, arguments: Sequence[Any]) -> Any:
    """The value, or a small stand-in for one that is far larger than any answer: all of an exam's are kept."""
    size = size_of(value)
    if size <= max(KEPT_BYTES, KEPT_SHARE * size_of(arguments)):
        return value
    return Opaque(f"{type(value).__name__} of {size} bytes")
