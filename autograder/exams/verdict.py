"""Exams as data: named properties with points, and the verdict that a submission gets on them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["value", "edge", "form", "error"]
SLIP_KEEPS = 1 / 3
"""What a property is still worth where one slip that is recognised explains why it is missed."""
NOTHING_YET = "counts only once some values are right"


@dataclass(frozen=True)
class Property:
    """One thing that a right answer does.

    Attributes:
        name: Short and in the student's terms: "kernel is flipped".
        points: What it is worth.
        missed: One sentence for the student who misses it; it never shows a hidden input or reference value.
        kind: "value" decides what is computed. "edge" (values that much else gets right, too, such as windows of one
            value), "form" (shape, dtype, input not changed) and "error" (raises `ValueError`) count only if a "value"
            property of the same function holds, or is missed by one slip.
        function: The student's function that it is about, where an exercise asks for several.
    """

    name: str
    points: float
    missed: str
    kind: Kind = "value"
    function: str = ""


@dataclass(frozen=True)
class PropertyResult:
    """How one property came out. `reason` is empty where it is held; one that is not may keep some of its points."""

    name: str
    points: float
    max_points: float
    held: bool
    reason: str = ""


@dataclass(frozen=True)
class Verdict:
    """Points and reasons for one exercise.

    Attributes:
        exercise: Its id in the contract, such as "p1a_conv1d".
        results: One for each property, in the exam's order.
        diagnosis: The misconception that was recognised, in words, or "".
        misconception: Its name in `pset4`'s registry, or "".
        remarks: What a grader should know ("time limit in ...").
    """

    exercise: str
    results: tuple[PropertyResult, ...]
    diagnosis: str = ""
    misconception: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def max_points(self) -> float:
        """Points of the exercise."""
        return round(sum(result.max_points for result in self.results), 6)

    @property
    def points(self) -> float:
        """Sum over the properties that are held; finite and in [0, max_points]."""
        return round(sum(result.points for result in self.results), 6)

    @property
    def missed(self) -> tuple[str, ...]:
        """Names of the properties that lost points."""
        return tuple(result.name for result in self.results if not result.held)

    def report(self) -> str:
        """The text that the student reads: score, each lost property with its reason, the diagnosis."""
        lines = [f"{self.exercise}: {self.points:g} of {self.max_points:g} points"]
        if self.diagnosis:
            lines.append(folded(self.diagnosis, "  "))
        for result in self.results:
            mark = "held" if result.held else "part" if result.points else "lost"
            lines.append(f"  [{mark}] {result.name} ({result.points:g} of {result.max_points:g})")
            if result.reason:
                lines.append(folded(result.reason, "         "))
        lines.extend(folded(f"note: {remark}", "  ") for remark in self.remarks)
        return "\n".join(lines)


def folded(text: str, indent: str) -> str:
    """The text in lines that a feedback page shows without scrolling."""
    lines = textwrap.wrap(
        text, 100, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines) or indent


@dataclass(frozen=True)
class Slip:
    """One slip from a right answer, which was recognised by what the function returns.

    Attributes:
        function: The function that shows it; "" stands for the only one.
    """

    function: str = ""


def settle(
    exercise: str,
    properties: Sequence[Property],
    failures: dict[str, str],
    *,
    diagnosis: str = "",
    misconception: str = "",
    zeroed: str = "",
    slip: Slip | None = None,
    remarks: Sequence[str] = (),
) -> Verdict:
    """Turns the failures that an exam found into a verdict.

    Args:
        exercise: Its id.
        properties: All properties of the exam, in order.
        failures: Reason of the first failure for each property that is missed.
        diagnosis: The recognised misconception, in words.
        misconception: Its name.
        zeroed: Where not empty, the whole exercise earns nothing, for this reason (a banned call).
        slip: What keeps a third of the points that are missed.
        remarks: Passed on to the verdict.

    Raises:
        KeyError: If a failure names a property that the exam does not have.
    """
    unknown = set(failures) - {p.name for p in properties}
    if unknown:
        raise KeyError(f"{exercise} has no property named {sorted(unknown)}")

    def explained(p: Property) -> bool:
        return slip is not None and (not p.function or slip.function in ("", p.function))

    def counts(p: Property) -> bool:
        own = [other for other in properties if other.function == p.function and other.kind == "value"]
        return p.kind == "value" or explained(p) or any(other.name not in failures for other in own)

    def result(p: Property) -> PropertyResult:
        if zeroed:
            return PropertyResult(p.name, 0.0, p.points, False, zeroed)
        if p.name in failures:
            kept = round(SLIP_KEEPS * p.points, 2) if explained(p) else 0.0
            return PropertyResult(p.name, kept, p.points, False, failures[p.name] or p.missed)
        if not counts(p):
            return PropertyResult(p.name, 0.0, p.points, False, NOTHING_YET)
        return PropertyResult(p.name, p.points, p.points, True)

    return Verdict(exercise, tuple(result(p) for p in properties), diagnosis, misconception, tuple(remarks))
