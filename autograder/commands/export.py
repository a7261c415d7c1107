"""`autograder export`: points go to where they are shown; and `nbgrader export` with the same numbers."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbgrader.api import Gradebook, MissingEntry
from nbgrader.plugins import CsvExportPlugin
from rich.console import Console

from autograder.collecting.people import Roster, read_roster
from autograder.collecting.sources import NoSource
from autograder.commands.course import NEEDS_A_HUMAN
from autograder.commands.places import DATABASE
from autograder.commands.table import NOT_YET, Row, read_rows
from autograder.course.contract import NOTEBOOKS
from autograder.course.folders import ASSIGNMENT, REPOSITORY
from autograder.course.late import EXTENSIONS, NoLatePolicy, read_policy, rounded
from autograder.engine.grader.store import CannotStore
from autograder.exports import canvas, feedback_zip, moodle
from autograder.exports.filling import Filled, Points
from autograder.exports.gradescope import write_autograder
from autograder.exports.sheet import NoSheet, Sheet, read_sheet
from pset4.settings import load_settings

COLUMNS = (
    *("assignment", "duedate", "timestamp", "student_id", "last_name", "first_name", "email"),
    *("raw_score", "late_submission_penalty", "score", "max_score", "bonus", "status"),
)
NOT_HANDED_IN = "not handed in"
FORMULA = ("=", "+", "-", "@", "\t", "\r")
ROSTER = "roster.csv"


@dataclass(frozen=True)
class Wish:
    """What is exported, and how; see `export`."""

    root: Path
    given: Path | None
    output: Path
    roster: Path | None = None
    column: str = ""
    scale: float | None = None
    add_bonus: bool = False
    per_problem: bool = False
    dry_run: bool = False

    def write(self, content: bytes) -> None:
        """Writes the file, unless this is only a trial."""
        if not self.dry_run:
            self.output.write_bytes(content)


def export(
    to: str,
    *,
    root: Path,
    given: Path | None = None,
    output: Path | None = None,
    roster: Path | None = None,
    column: str = "",
    scale: float | None = None,
    add_bonus: bool = False,
    per_problem: bool = False,
    force: bool = False,
    dry_run: bool = False,
    console: Console | None = None,
) -> int:
    """Writes a file that a platform takes back. What was downloaded is read and never changed.

    Args:
        to: "canvas" (fills in the gradebook), "moodle" (fills in the worksheet), "feedback" (a zip of pages for both),
            "gradescope" (the autograder's zip) or "nbgrader" (a table).
        root: Root of the nbgrader course.
        given: What was downloaded: gradebook, worksheet, or the zip of submissions for the pages.
        output: The file that is written; by default beside `given`, else in the course.
        roster: The class list; by default `roster.csv` of the course, if it is there.
        column: Title of the column with the points, where it does not follow from the course's name.
        scale: What the maximum becomes, such as 100; None leaves points as they are.
        add_bonus: Whether bonus points are added; otherwise they go to a column of their own, if Canvas has one.
        per_problem: Whether Canvas's columns of the single problems are filled in, too.
        force: Whether points go out although somebody waits for a human: those so far, and none for whoever has no
            score.
        dry_run: Only say what would be written.
        console: Where to say it.

    Returns:
        0; 3 if somebody in it waits for a human, or is not found; 1 if nothing was written.
    """
    console = console or Console()
    try:
        target = _target(to, root, given, output)
        wish = Wish(root, given, target, roster, column, scale, add_bonus, per_problem, dry_run)
        _demand_sense(wish)
        rows = [] if to == "gradescope" else _rows(root, force, console)
        notes = WRITERS[to](wish, rows, console)
    except (NoSheet, NoSource, NoLatePolicy, CannotStore) as reason:
        console.print(str(reason), markup=False, soft_wrap=True)
        return 1
    except OSError as error:
        words = f"{error.filename or target} cannot be written ({error.strerror}); name another file with --output."
        console.print(words, markup=False, soft_wrap=True)
        return 1
    for note in notes:
        console.print(f"- {note}", markup=False, soft_wrap=True)
    console.print(f"{'would write' if dry_run else 'wrote'} {target}", markup=False, soft_wrap=True)
    return NEEDS_A_HUMAN if notes or not all(row.is_final for row in rows) else 0


def _target(to: str, root: Path, given: Path | None, output: Path | None) -> Path:
    """The file that is written."""
    if to not in WRITERS:
        raise NoSheet(f"There is no export to {to!r}; there is: {', '.join(WRITERS)}.")
    beside = root if given is None else given.parent
    names = {"nbgrader": "grades.csv", "gradescope": "gradescope_autograder.zip", "feedback": "feedback_pages.zip"}
    target = output or beside / names.get(to, f"{given.stem if given else to}_filled_in.csv")
    if given is not None and target.resolve() == given.resolve():
        raise NoSheet(f"{given} stays as it was downloaded; name another file with --output.")
    return target


def _demand_sense(wish: Wish) -> None:
    if wish.scale is not None and not 0 < wish.scale <= 10_000:
        raise NoSheet(f"--scale is what the maximum becomes, such as 100, and not {wish.scale:g}.")
    if wish.scale is not None and wish.per_problem:
        raise NoSheet("--scale changes the maximum of the whole; leave it out, or --per-problem.")


def _rows(root: Path, force: bool, console: Console) -> list[Row]:
    """Everybody who handed in.

    Raises:
        NoSheet: If nobody is graded, or somebody waits for a human and nobody said that this does not matter.
    """
    if not (root / DATABASE).exists():
        raise NoSheet(
            f"{root} holds no graded course (there is no {DATABASE}). Name its folder with --course, or grade first."
        )
    rows = read_rows(root)
    for student in _strangers(root, rows):
        console.print(f"{EXTENSIONS} names {student}, who handed in nothing.", markup=False, soft_wrap=True)
    waiting = [row for row in rows if not row.is_final]
    for row in waiting:
        console.print(f"- {row.student}: {row.status}", markup=False, soft_wrap=True)
    if waiting and not force:
        raise NoSheet(
            f"Nothing was written: {len(waiting)} of {len(rows)} have no final points. Grade, set the marks in "
            "Formgrader, or give --force: then the points so far go out, and nothing for whoever has no score."
        )
    if not rows:
        raise NoSheet(f"Nobody has handed in: there is nothing in {root / 'submitted'}.")
    return rows


def _strangers(root: Path, rows: list[Row]) -> list[str]:
    policy = read_policy(root)
    return sorted(policy.extensions.keys() - {row.student for row in rows}) if policy else []


def _class(wish: Wish) -> Roster:
    """The class list, or what nbgrader knows of its students."""
    path = wish.roster or wish.root / ROSTER
    if wish.roster or path.exists():
        return read_roster(path)
    with Gradebook(f"sqlite:///{wish.root / DATABASE}") as gradebook:
        names = ("id", "last_name", "first_name", "email")
        people = [{name: getattr(student, name) or "" for name in names} for student in gradebook.students]
    return Roster(people, "id")


def _points(wish: Wish, rows: list[Row]) -> Points:
    """Everybody's points in the end; nobody's where a machine could not give them."""
    of = {row.student: rounded(row.final + wish.add_bonus * row.final_bonus) for row in rows if row.has_number}
    return Points(of, rows[0].maximum, wish.scale)


def _to_canvas(wish: Wish, rows: list[Row], console: Console) -> list[str]:
    sheet = read_sheet(wish.given, canvas.WHERE)
    names = (load_settings().course_name, ASSIGNMENT)
    wanted: dict[tuple[str, ...], Points] = {names: _points(wish, rows)}
    scored = [row for row in rows if row.has_number]
    if wish.per_problem:
        for number, notebook in enumerate(NOTEBOOKS, start=1):
            titles = tuple(f"{name} {word}{number}" for name in names for word in ("Problem ", "P"))
            of = {row.student: row.final_of(notebook) for row in scored}
            wanted[(*titles, notebook)] = Points(of, rows[0].maximum_of(notebook))
    if not wish.add_bonus:
        wanted[tuple(f"{name} bonus" for name in names)] = Points({row.student: row.final_bonus for row in scored})
    filled = canvas.fill_canvas(sheet, wanted, _class(wish), column=wish.column)
    return _written(wish, sheet, filled, rows, console)


def _to_moodle(wish: Wish, rows: list[Row], console: Console) -> list[str]:
    sheet = read_sheet(wish.given, moodle.WHERE)
    filled = moodle.fill_moodle(sheet, _points(wish, rows), _class(wish), column=wish.column)
    return _written(wish, sheet, filled, rows, console)


def _written(wish: Wish, sheet: Sheet, filled: Filled, rows: list[Row], console: Console) -> list[str]:
    wish.write(sheet.content())
    scored = {row.student for row in rows if row.has_number}
    console.print(f"{len(filled.students)} of {len(scored)} students with points have a line.")
    if filled.others:
        console.print(f"left as they are, nobody's who handed in: {'; '.join(filled.others)}", markup=False)
    if filled.kept:
        console.print(f"left as they are, no grade wanted: {', '.join(filled.kept)}", markup=False)
    missing = sorted(scored - filled.students)
    return [*filled.notes, *([f"no line for {', '.join(missing)}: complete {ROSTER}"] if missing else [])]


def _to_feedback(wish: Wish, rows: list[Row], console: Console) -> list[str]:
    known = _class(wish) if wish.roster or (wish.root / ROSTER).exists() else None
    fronts = feedback_zip.names_in(wish.given, known)
    pages = {row.student: row.feedback for row in rows if row.feedback}
    if not pages:
        raise NoSheet(f"There are no pages in {wish.root / 'feedback'}: write them with `autograder feedback` first.")
    students = sorted(pages.keys() & fronts.keys())
    if not wish.dry_run:
        feedback_zip.write_zip(wish.output, {student: pages[student] for student in students}, fronts)
    console.print(f"pages of {len(students)} students")
    without = [row.student for row in rows if row.feedback is None]
    unknown = sorted(pages.keys() - fronts.keys())
    return [
        *([f"no page for {', '.join(without)}"] if without else []),
        *([f"{wish.given} has no submission of {', '.join(unknown)}"] if unknown else []),
    ]


def _to_gradescope(wish: Wish, _rows: list[Row], console: Console) -> list[str]:
    if not wish.dry_run:
        written = write_autograder(wish.output, REPOSITORY)
        console.print(f"{written} files, with exams and answers: hand it to nobody but Gradescope.")
    return []


def _to_nbgrader(wish: Wish, _rows: list[Row], _console: Console) -> list[str]:
    if not wish.dry_run:
        with Gradebook(f"sqlite:///{wish.root / DATABASE}") as gradebook:
            CourseExport(to=str(wish.output)).write(gradebook, wish.root)
    return []


WRITERS: Mapping[str, Callable[[Wish, list[Row], Console], list[str]]] = {
    "canvas": _to_canvas,
    "moodle": _to_moodle,
    "feedback": _to_feedback,
    "gradescope": _to_gradescope,
    "nbgrader": _to_nbgrader,
}


class CourseExport(CsvExportPlugin):  # type: ignore[misc]
    """nbgrader's columns, and two more: the bonus, and what a score is worth; open scores are empty, and never 0."""

    def export(self, gradebook: Gradebook) -> None:
        """Writes the table."""
        try:
            self.write(gradebook, Path(self.parent.coursedir.root))
        except (CannotStore, NoLatePolicy) as reason:
            self.log.error("%s", reason)
            raise SystemExit(1) from None

    def write(self, gradebook: Gradebook, course: Path) -> None:
        """Writes the table of the course in a folder."""
        lines = [
            line
            for assignment in gradebook.assignments
            if not self.assignment or assignment.name in map(str, self.assignment)
            for line in self._lines(gradebook, assignment, course)
        ]
        with Path(self.to or "grades.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows({name: harmless(value) for name, value in line.items()} for line in lines)

    def _lines(self, gradebook: Gradebook, assignment: Any, course: Path) -> Iterator[dict[str, Any]]:
        rows = {row.student: row for row in read_rows(course)} if assignment.name == ASSIGNMENT else {}
        people = {student.id: student for student in gradebook.students}
        for student in sorted(people.keys() | rows.keys()):
            if self.student and student not in map(str, self.student):
                continue
            person, row = people.get(student), rows.get(student)
            yield {
                "assignment": assignment.name,
                "duedate": row.late.due if row and row.late else assignment.duedate,
                "student_id": student,
                **{name: getattr(person, name, None) for name in ("last_name", "first_name", "email")},
                "max_score": row.maximum if row else assignment.max_score,
                **_score(gradebook, assignment.name, student, row),
            }


def harmless(value: Any) -> Any:
    """The value, or text that a spreadsheet would take for a formula with an apostrophe in front."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _score(gradebook: Gradebook, assignment: str, student: str, row: Row | None) -> dict[str, Any]:
    """Score, penalty and what they are worth; `row` is None for a student without a folder."""
    try:
        submission = gradebook.find_submission(assignment, student)
    except MissingEntry:
        if row is not None:
            return {"status": NOT_YET}
        nothing = dict.fromkeys(("raw_score", "late_submission_penalty", "score", "bonus"), 0.0)
        return nothing | {"status": NOT_HANDED_IN}
    if row is None:  # another assignment
        penalty = submission.late_submission_penalty or 0.0
        score = max(0.0, submission.score - penalty)
        points = {"raw_score": submission.score, "late_submission_penalty": penalty, "score": score, "status": "graded"}
    elif row.has_number:
        points = {"raw_score": rounded(row.total), "late_submission_penalty": row.taken_off, "score": row.final}
        points |= {"bonus": row.final_bonus, "status": row.status}
    else:
        points = {"status": row.status}
    return {"timestamp": submission.timestamp, **points}
