"""All numbers of the report, from the rows of `autograder table` and the stored bundles."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from autograder.commands.report.lost import Judged, LostPoints, judged_exercises, lost_points
from autograder.commands.table import Row
from autograder.course.cells import TEST
from autograder.course.contract import EXERCISES, NOTEBOOKS
from autograder.course.late import rounded
from autograder.engine.grader.store import Bundle

BINS = 10
_ORDER = {exercise.id: place for place, exercise in enumerate(EXERCISES)}
_FORMS = {exercise.id: exercise for exercise in EXERCISES}


@dataclass(frozen=True)
class Scores:
    """Points of a class, for a histogram.

    Attributes:
        title: Of what.
        maximum: What it is worth.
        points: Of everybody who has a number.
    """

    title: str
    maximum: float
    points: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Of those who have a number; 0 if nobody has."""
        return statistics.fmean(self.points) if self.points else 0.0

    @property
    def median(self) -> float:
        """Of those who have a number; 0 if nobody has."""
        return statistics.median(self.points) if self.points else 0.0

    @property
    def bins(self) -> list[int]:
        """How many have up to a tenth of the maximum, up to two tenths, and so on."""
        counts = [0] * BINS
        for points in self.points:
            share = points / self.maximum if self.maximum else 0.0
            counts[min(BINS - 1, max(0, int(share * BINS + 1e-9)))] += 1
        return counts


@dataclass(frozen=True)
class ExerciseScores:
    """How the class did in one exercise.

    Attributes:
        id: Its id.
        title: Its name.
        maximum: What it is worth.
        bonus: Whether that comes on top.
        counts: How many have it "right", in "part", or earned "none" of it; whose answer is "waiting" for a human,
            could not be "judged"; and who has no grade at all ("open"). Together they are the class.
        mean: Of those who have a number.
    """

    id: str
    title: str
    maximum: float
    bonus: bool
    counts: Mapping[str, int]
    mean: float


@dataclass(frozen=True)
class Group:
    """Students who have something in common.

    Attributes:
        title: What.
        students: Who.
        example: One sentence, as one of them read it.
        where: In which exercise or notebook.
    """

    title: str
    students: tuple[str, ...]
    example: str = ""
    where: str = ""


@dataclass(frozen=True)
class Seconds:
    """How long a notebook took to grade.

    Attributes:
        title: Of the notebook.
        median: Half of them took less.
        most: The longest.
        whose: Whose that was.
        total: All of them, one after the other.
    """

    title: str
    median: float
    most: float
    whose: str
    total: float


@dataclass(frozen=True)
class Facts:
    """What the page shows; the attributes are its parts, in its order.

    Attributes:
        rows: The class, as the table has it.
        total: Points in the end, without the bonus.
        problems: Points of each notebook before lateness.
        exercises: Each exercise.
        misconceptions: The recognised ones, the most frequent first.
        unrecognised: Who misses the same properties of an exercise, and no misconception was recognised.
        lost: Lost points by property.
        needs: What needs a human.
        remarks: What the engine remarked.
        seconds: How long grading took, by notebook.
        unsandboxed: How many notebooks ran without a sandbox.
        seeds: Seeds of the exams.
    """

    rows: Sequence[Row]
    total: Scores
    problems: Sequence[Scores]
    exercises: Sequence[ExerciseScores]
    misconceptions: Sequence[Group]
    unrecognised: Sequence[Group]
    lost: LostPoints
    needs: Sequence[Group]
    remarks: Sequence[Group]
    seconds: Sequence[Seconds]
    unsandboxed: int
    seeds: Sequence[int]

    @property
    def notebooks(self) -> list[str]:
        """Names of the notebooks that are worth points."""
        return [name for name in NOTEBOOKS if self.rows and self.rows[0].maximum_of(name)]

    @property
    def numbers(self) -> list[Row]:
        """Who has points."""
        return [row for row in self.rows if row.has_number]

    @property
    def finals(self) -> list[Row]:
        """For whom nobody has to do anything."""
        return [row for row in self.rows if row.is_final]

    @property
    def late(self) -> list[Row]:
        """Who came late, and has points."""
        return [row for row in self.numbers if row.late and row.late.span]

    @property
    def taken_off(self) -> float:
        """What lateness costs all of them together."""
        return rounded(sum(row.taken_off for row in self.late))


def gather(rows: Sequence[Row], bundles: Sequence[Bundle], titles: Mapping[str, str]) -> Facts:
    """Counts everything.

    Args:
        rows: The class, as the table has it.
        bundles: What the engine knows of each notebook; nothing of students without a row is shown.
        titles: Names of notebooks and exercises, by name and id.
    """
    graded = {row.student: row for row in rows if row.graded}
    known = [bundle for bundle in bundles if bundle.key.student in graded]
    judged = list(judged_exercises(graded, known))
    numbers = [row for row in rows if row.has_number]
    return Facts(
        rows=rows,
        total=Scores("All problems", rows[0].maximum if rows else 0.0, tuple(row.final for row in numbers)),
        problems=[_problem(name, rows, titles) for name in NOTEBOOKS if rows and rows[0].maximum_of(name)],
        exercises=list(_exercises(rows, titles)),
        misconceptions=_misconceptions(judged),
        unrecognised=_unrecognised(judged),
        lost=lost_points(judged, graded.values()),
        needs=_needs(rows, known),
        remarks=_remarks(known),
        seconds=list(_seconds(known, titles)),
        unsandboxed=sum(not bundle.sandboxed for bundle in known),
        seeds=sorted({bundle.seed for bundle in known}),
    )


def _problem(name: str, rows: Sequence[Row], titles: Mapping[str, str]) -> Scores:
    points = tuple(row.by_notebook(name) for row in rows if not row.is_open(name))
    return Scores(titles.get(name, name), rows[0].maximum_of(name), points)


def _exercises(rows: Sequence[Row], titles: Mapping[str, str]) -> Iterator[ExerciseScores]:
    """Every exercise that is worth something, in the contract's order."""
    maxima = rows[0].maxima if rows else {}
    for cell in sorted(maxima, key=lambda cell: _ORDER.get(cell.removesuffix(TEST), len(_ORDER))):
        name, most = cell.removesuffix(TEST), maxima[cell]
        if most:
            points = [row.by_cell[cell] for row in rows if cell in row.by_cell]
            counts = Counter(_ending(row, cell, most) for row in rows)
            bonus = name in _FORMS and _FORMS[name].bonus
            mean = statistics.fmean(points) if points else 0.0
            yield ExerciseScores(name, titles.get(name, name), most, bonus, counts, mean)


def _ending(row: Row, cell: str, most: float) -> str:
    if cell in row.by_cell:
        return "right" if row.by_cell[cell] >= most else "part" if row.by_cell[cell] > 0 else "none"
    return "waiting" if cell in row.waiting else "judged" if cell in row.ungraded else "open"


def _misconceptions(judged: Iterable[Judged]) -> list[Group]:
    found: dict[tuple[str, str], list[Judged]] = {}
    for one in judged:
        if one.verdict.misconception:
            found.setdefault((one.verdict.exercise, one.verdict.misconception), []).append(one)
    return _by_size(
        Group(name.replace("_", " "), _whose(ones), _usual(one.verdict.diagnosis for one in ones), exercise)
        for (exercise, name), ones in found.items()
    )


def _unrecognised(judged: Iterable[Judged]) -> list[Group]:
    """Errors without a name, by what they do: those that miss the same properties stand together."""
    found: dict[tuple[str, tuple[str, ...]], list[Judged]] = {}
    for one in judged:
        if one.ran and one.verdict.missed and not one.verdict.misconception:
            found.setdefault((one.verdict.exercise, one.verdict.missed), []).append(one)
    return _by_size(
        Group("misses: " + "; ".join(missed), _whose(ones), _usual(one.reason for one in ones), exercise)
        for (exercise, missed), ones in found.items()
    )


def _whose(ones: Iterable[Judged]) -> tuple[str, ...]:
    return tuple(sorted(one.student for one in ones))


def _usual(texts: Iterable[str]) -> str:
    """The text that occurs most often; of several, the first."""
    counts = Counter(texts)
    return counts.most_common(1)[0][0] if counts else ""


def _needs(rows: Sequence[Row], bundles: Sequence[Bundle]) -> list[Group]:
    """Who has no grade, what could not be judged and why, and which written answers wait."""
    reasons = {(b.key.student, one): why for b in bundles for one, why in b.ungraded.items()}
    found: dict[tuple[int, str, str, str], list[str]] = {}
    for row in rows:
        if not row.graded:
            why = row.problem if row.problem != row.status else ""
            found.setdefault((0, row.status, why, ""), []).append(row.student)
        for cell in row.ungraded:
            name = cell.removesuffix(TEST)
            why = reasons.get((row.student, name), "")
            found.setdefault((1, "could not be judged", why, name), []).append(row.student)
        for cell in row.waiting:
            found.setdefault((2, "written answers to be read", "", cell), []).append(row.student)
    ordered = sorted(found.items(), key=lambda one: (one[0][0], _ORDER.get(one[0][3], 0), -len(one[1])))
    return [Group(title, tuple(whose), why, where) for (_, title, why, where), whose in ordered]


def _remarks(bundles: Iterable[Bundle]) -> list[Group]:
    found: dict[tuple[str, str], list[str]] = {}
    for bundle in bundles:
        for remark in bundle.remarks:
            found.setdefault((bundle.key.notebook, remark), []).append(bundle.key.student)
    return _by_size(Group(remark, tuple(whose), where=name) for (name, remark), whose in found.items())


def _by_size(groups: Iterable[Group]) -> list[Group]:
    return sorted(groups, key=lambda group: (-len(group.students), _ORDER.get(group.where, -1), group.title))


def _seconds(bundles: Sequence[Bundle], titles: Mapping[str, str]) -> Iterator[Seconds]:
    for name in NOTEBOOKS:
        taken = [(b.seconds, b.key.student) for b in bundles if b.key.notebook == name and b.seconds > 0]
        if taken:
            times = [seconds for seconds, _ in taken]
            longest, whose = max(taken)
            yield Seconds(titles.get(name, name), statistics.median(times), longest, whose, sum(times))
