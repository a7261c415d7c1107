"""Late work: from the due date and a student's extension to what the points are multiplied by.

Nothing of it is stored: whoever shows points asks again, so that a date that moves and a mark that is set by hand are
followed everywhere.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

from pset4.settings import load_settings
from pset4.submission.handin import late_factor

EXTENSIONS = "extensions.csv"
EXAMPLE = "2026-10-05 23:59"
MOST_DAYS = 366
COLUMNS = ({"student_id", "due"}, {"student_id", "days"}, {"student_id", "due", "days"})


class NoLatePolicy(ValueError):
    """The extensions cannot be read as they are meant; the message names file, line and what was expected."""


def rounded(points: float) -> float:
    """Points as they are shown and handed on: two decimals, a half rounded up."""
    exact = Decimal(repr(round(points, 6)))  # sums of tenths carry an error far behind
    return float(exact.quantize(Decimal("0.01"), ROUND_HALF_UP))


@dataclass(frozen=True)
class Late:
    """When something was due and when it came.

    Attributes:
        due: The student's own due date.
        handed_in: When it was handed in; None where nobody knows, which counts as in time.
        extended: Whether the due date is an extension.
    """

    due: datetime
    handed_in: datetime | None = None
    extended: bool = False

    @property
    def by(self) -> timedelta:
        """How late it is; 0 if it came in time."""
        return max(timedelta(0), (self.handed_in or self.due) - self.due)

    @property
    def factor(self) -> float:
        """What points are multiplied by, with two decimals, so that everybody can redo the sum."""
        return rounded(late_factor(self.due, self.due + self.by))

    @property
    def span(self) -> str:
        """How late in words, such as "2 d 3 h"; "" if it came in time."""
        minutes = math.ceil(self.by.total_seconds() / 60)
        parts = ((minutes // 1440, "d"), (minutes // 60 % 24, "h"), (minutes % 60, "min"))
        return " ".join([f"{number} {unit}" for number, unit in parts if number][:2])

    def words(self, points: float) -> str:
        """The sum for a student: "handed in 2 d 3 h late: 83.75 x 0.85 = 71.19"; "" if it came in time."""
        if not self.span:
            return ""
        after = f" after the extension to {self.due:%Y-%m-%d %H:%M}" if self.extended else ""
        product = f"{rounded(points):g} x {self.factor:.2f} = {final_points(points, self):g}"
        return f"handed in {self.span} late{after}: {product}"


def final_points(points: float, late: Late | None) -> float:
    """What points are worth in the end: times the late factor, rounded.

    Args:
        points: As they were earned.
        late: None where the course has no due date.
    """
    return rounded(rounded(points) * (late.factor if late else 1.0))


@dataclass(frozen=True)
class Policy:
    """The due date of the course and the students' own ones.

    Attributes:
        due: The course's.
        extensions: A student's own due date, by id.
    """

    due: datetime
    extensions: Mapping[str, datetime] = field(default_factory=dict)

    def of(self, student: str, handed_in: datetime | None) -> Late:
        """How late a student's work is.

        Args:
            student: Whose.
            handed_in: When; without a time zone it is UTC, as nbgrader's database keeps it.
        """
        if handed_in is not None and handed_in.tzinfo is None:
            handed_in = handed_in.replace(tzinfo=UTC)
        return Late(self.extensions.get(student, self.due), handed_in, student in self.extensions)


def read_policy(course: Path) -> Policy | None:
    """The due date of `pset4.toml` with the `extensions.csv` of a course; None where there is no due date.

    Raises:
        NoLatePolicy: If the extensions cannot be read, or there are some without a due date.
    """
    due, path = load_settings().due, course / EXTENSIONS
    if due is None:
        if path.exists():
            raise NoLatePolicy(
                f'{path} gives extensions, but pset4.toml has no due date. Set `due` in its section "course", '
                "or remove the file."
            )
        return None
    return Policy(due, read_extensions(path, due) if path.exists() else {})


def read_extensions(path: Path, due: datetime) -> dict[str, datetime]:
    """Reads `student_id,due` or `student_id,days`, both with further columns, such as a reason.

    Args:
        path: The file.
        due: The course's due date, whose time zone holds where a date has none, and from which days are counted.

    Returns:
        Each student's own due date.

    Raises:
        NoLatePolicy: If anything in it could be meant otherwise.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise NoLatePolicy(f"{path} cannot be read ({error}); save it as CSV in UTF-8.") from None
    delimiter = ";" if lines and lines[0].count(";") > lines[0].count(",") else ","
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter)]
    header = [name.casefold() for name in rows[0]] if rows else []
    if set(header) - {"reason", "name"} not in COLUMNS or len(set(header)) < len(header):
        raise NoLatePolicy(
            f"{path}: the first line is {delimiter.join(header)!r}; expected student_id,due or student_id,days, and "
            "reason if you like."
        )
    return _by_student(path, header, rows[1:], due)


def _by_student(path: Path, header: list[str], rows: Iterable[list[str]], due: datetime) -> dict[str, datetime]:
    found: dict[str, datetime] = {}
    for number, row in enumerate(rows, start=2):
        if not any(row):
            continue
        where = f"{path}, line {number}"
        if len(row) > len(header):
            raise NoLatePolicy(
                f"{where} has {len(row)} cells under {len(header)} names; a comma in a reason needs quotes around it."
            )
        cells = dict(zip(header, row, strict=False))
        student = cells.get("student_id", "")
        if not student:
            raise NoLatePolicy(f"{where} names no student; each line needs a student_id.")
        if student in found:
            raise NoLatePolicy(f"{where} names {student} again; each student has one line.")
        found[student] = _own_due(where, cells, due)
    return found


def _own_due(where: str, cells: Mapping[str, str], due: datetime) -> datetime:
    date, days = cells.get("due", ""), cells.get("days", "")
    if bool(date) == bool(days):
        raise NoLatePolicy(f"{where} needs either a date under due or a number under days.")
    own = due + timedelta(days=_number_of_days(where, days)) if days else _date(where, date, due)
    if own < due:
        raise NoLatePolicy(f"{where}: {date} is before the course's due date, {due:%Y-%m-%d %H:%M}.")
    return own


def _number_of_days(where: str, text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = math.nan
    if not 0 <= days <= MOST_DAYS:
        raise NoLatePolicy(f"{where}: days must be a number from 0 to {MOST_DAYS}, such as 2 or 1.5, not {text!r}.")
    return days


def _date(where: str, text: str, due: datetime) -> datetime:
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        raise NoLatePolicy(f'{where}: due must be a date and time, such as "{EXAMPLE}", not {text!r}.') from None
    if len(text) <= len("2026-10-05"):  # a day alone: until the course's time of that day
        date = datetime.combine(date.date(), due.timetz())
    return date if date.tzinfo else date.replace(tzinfo=due.tzinfo)
