"""Where points were lost: by property, as far as the exams' verdicts are what the database holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from autograder.commands.table import Row
from autograder.course.cells import TEST
from autograder.engine.grader.store import Bundle
from autograder.exams.verdict import NOTHING_YET, Verdict

CENT = 0.005


@dataclass(frozen=True)
class Judged:
    """A verdict with what the database holds of it.

    Attributes:
        student: Whose.
        verdict: The exam's.
        points: What the database holds.
        most: What the exercise is worth there.
        ran: Whether there was a notebook to run.
    """

    student: str
    verdict: Verdict
    points: float
    most: float
    ran: bool

    @property
    def scale(self) -> float:
        """What a point of the exam is worth in the course."""
        return self.most / self.verdict.max_points if self.verdict.max_points else 0.0

    @property
    def by_hand(self) -> bool:
        """Whether a human gave other points than the exam."""
        return abs(self.verdict.points * self.scale - self.points) > CENT

    @property
    def reason(self) -> str:
        """Of the heaviest loss, in a sentence."""
        lost = [result for result in self.verdict.results if not result.held and result.reason != NOTHING_YET]
        return max(lost, key=lambda result: result.max_points - result.points).reason if lost else ""


@dataclass(frozen=True)
class LostProperty:
    """Points that one property cost the class.

    Attributes:
        exercise: Of which exercise.
        name: The property.
        points: All of them together.
        students: How many students.
        reason: The most frequent one.
    """

    exercise: str
    name: str
    points: float
    students: int
    reason: str


@dataclass(frozen=True)
class LostPoints:
    """All points that were lost in exercises which a machine judges; the parts make up `total`.

    Attributes:
        properties: By property, the heaviest first.
        not_run: Because a notebook was missing or unreadable.
        by_hand: In exercises whose points a human set.
        elsewhere: In exercises without a stored verdict, as in nbgrader's own way of grading.
        total: What the table's points say.
    """

    properties: Sequence[LostProperty] = field(default_factory=tuple)
    not_run: float = 0.0
    by_hand: float = 0.0
    elsewhere: float = 0.0
    total: float = 0.0


def judged_exercises(graded: Mapping[str, Row], bundles: Iterable[Bundle]) -> Iterator[Judged]:
    """The verdicts whose exercises have points in the database."""
    for bundle in bundles:
        row = graded[bundle.key.student]
        for exercise, verdict in bundle.verdicts.items():
            cell = exercise + TEST
            if cell in row.by_cell:
                ran = bundle.status not in ("unreadable", "not handed in")
                yield Judged(row.student, verdict, row.by_cell[cell], row.maxima.get(cell, 0.0), ran)


def lost_points(judged: Sequence[Judged], rows: Iterable[Row]) -> LostPoints:
    """Splits what was lost by where it was lost.

    Args:
        judged: The verdicts.
        rows: All students who are graded.
    """
    points: Counter[tuple[str, str]] = Counter()
    reasons: dict[tuple[str, str], Counter[str]] = {}
    for one in judged:
        for result in one.verdict.results if one.ran and not one.by_hand else ():
            if not result.held:
                key = (one.verdict.exercise, result.name)
                points[key] += one.scale * (result.max_points - result.points)  # type: ignore[assignment]
                reasons.setdefault(key, Counter())[result.reason] += 1
    properties = [
        LostProperty(*key, float(lost), reasons[key].total(), _usual(reasons[key])) for key, lost in points.items()
    ]
    not_run = sum(one.most - one.points for one in judged if not one.ran and not one.by_hand)
    by_hand = sum(one.most - one.points for one in judged if one.by_hand)
    total = sum(
        row.maxima.get(cell, 0.0) - got for row in rows for cell, got in row.by_cell.items() if cell.endswith(TEST)
    )
    elsewhere = total - not_run - by_hand - sum(one.points for one in properties)
    heaviest = sorted(properties, key=lambda one: (-one.points, one.exercise, one.name))
    return LostPoints(heaviest, not_run, by_hand, elsewhere if abs(elsewhere) > CENT else 0.0, total)


def _usual(reasons: Counter[str]) -> str:
    """The most frequent reason; that a property counts only after another says least."""
    telling = Counter({reason: number for reason, number in reasons.items() if reason != NOTHING_YET})
    return (telling or reasons).most_common(1)[0][0]
