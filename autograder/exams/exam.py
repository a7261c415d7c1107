"""An exam as data, and an exam under way."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from autograder.exams.slips import slip_named
from autograder.exams.verdict import Property, Verdict, settle
from pset4.checks.calling.outcome import CallOptions, Student
from pset4.checks.judging.inquiry import Finding, Inquiry


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


CAUSES = ("input_changed", "wrong_dtype", "low_precision", "wrong_device")
"""Symptoms of form that can make values wrong."""


class Examination(Inquiry):
    """One exam under way.

    Attributes:
        exam: The exam.
        random: Generator (CPU) for the hidden inputs; the same seed gives the same inputs.
    """

    def __init__(self, exam: Exam, student: Student, *, seed: int, devices: Sequence[str] = ("cpu",)) -> None:
        options = CallOptions(from_scratch=exam.from_scratch, seconds=exam.seconds)
        super().__init__(exam.exercise, student, options=options, devices=devices)
        self.exam = exam
        self._pardons: list[str] = []
        # Each exercise has its own stream, so that one exam's changes leave the others' inputs alone.
        self.random = torch.Generator().manual_seed((seed * 1_000_003 + zlib.crc32(exam.exercise.encode())) % 2**63)

    def pardon(self, why: str) -> None:
        """Notes why what is wrong costs nothing here."""
        self._pardons.append(why)
        self._diagnosis = ("", "")

    def remarks(self) -> list[str]:
        """What a grader should know."""
        return [*super().remarks(), *self._pardons]

    def sentence(self, name: str) -> str:
        """What the student reads who misses the property."""
        return next(p.missed for p in self.exam.properties if p.name == name)

    @property
    def failures(self) -> dict[str, str]:
        """First reason of each property that is missed."""
        return {name: finding.text for name, finding in self._first().items()}

    def _first(self) -> dict[str, Finding]:
        """What was found first against each property."""
        return {finding.property: finding for finding in reversed(self.found)}

    def verdict(self) -> Verdict:
        """The verdict on what was noted so far."""
        exercise, properties = self.exam.exercise, self.exam.properties
        if self.exam.from_scratch and self.banned:
            named = ", ".join(self.banned)
            return settle(
                exercise,
                properties,
                {},
                zeroed=f"this exercise must be solved from scratch, but your code called {named}",
                diagnosis=f"Not from scratch: your code calls {named}, which this exercise does not allow.",
                misconception="banned_call",
                remarks=self.remarks(),
            )
        name, text = self.recognised() if self.found else ("", "")
        if self.found and not text:
            name, text = self._headline(properties)
        return settle(
            exercise,
            properties,
            self.failures,
            diagnosis=text,
            misconception=name,
            slip=slip_named(exercise, name),
            remarks=self.remarks(),
        )

    def _headline(self, properties: Sequence[Property]) -> tuple[str, str]:
        """Name and words of what costs most, where no misconception is recognised."""
        first = self._first()
        costliest = max((p for p in properties if p.name in first), key=lambda p: p.points)
        found = first[costliest.name]
        text = found.text or costliest.missed
        cause = next((f for f in self.found if not found.name and f.name in CAUSES), None)
        return (cause.name, f"{text} {cause.text}") if cause else (found.name, text)
