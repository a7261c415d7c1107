"""Whose line is it, and what is written into it: the same for every platform's table."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from autograder.collecting.people import Roster, plain
from autograder.course.late import rounded
from autograder.exports.sheet import NoSheet, Sheet

UNTOUCHED = frozenset({"EX", "N/A"})  # Canvas: excused, not assigned


@dataclass(frozen=True)
class Points:
    """What is written into one column.

    Attributes:
        of: A student's points, by id.
        maximum: What they are out of; None where that does not matter, as for a bonus.
        scale: What the maximum becomes; None leaves points as they are.
    """

    of: Mapping[str, float]
    maximum: float | None = None
    scale: float | None = None

    @property
    def written_maximum(self) -> float | None:
        """The maximum that the column must have."""
        return self.maximum if self.scale is None else self.scale

    def written(self, student: str) -> float:
        """What stands in the student's cell."""
        points = self.of[student]
        return rounded(points * self.scale / self.maximum) if self.scale is not None and self.maximum else points


@dataclass
class Filled:
    """What became of a table.

    Attributes:
        students: Whose line was found.
        notes: What somebody has to look at: each a sentence.
        others: Lines of nobody with points, as the table names them.
        kept: Cells that say that no grade is wanted.
    """

    students: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)


def whose_lines(names_of: Mapping[int, Sequence[str]], roster: Roster, filled: Filled) -> dict[int, str]:
    """The student of each line.

    Everything that a line says of its student is looked up, and must mean the same one: a number that is one
    platform's id for a student and another's for a second one gives nobody the other's grade.

    Args:
        names_of: What each line says of its student: the platform's ids, then the name.
        roster: The class.
        filled: Lines that are not clear are noted there.
    """
    found: dict[int, str] = {}
    for line, names in names_of.items():
        meant = [students for name in _with_joined(names) if (students := roster.find([name]))]
        common = set.intersection(*meant) if meant else set()
        shown = " / ".join(name for name in names if name)
        if len(common) == 1:
            found[line] = common.pop()
        elif meant:
            either = " or ".join(sorted(common or set.union(*meant)))
            filled.notes.append(f"line {line + 1} ({shown}) may mean {either}: it stays as it is")
        else:
            filled.others.append(shown)
    several = {student for student, lines in Counter(found.values()).items() if lines > 1}
    for student in sorted(several):
        lines = [line for line in found if found[line] == student]
        filled.notes.append(
            f"lines {' and '.join(str(line + 1) for line in lines)} both mean {student}: they stay as they are"
        )
    return {line: student for line, student in found.items() if student not in several}


def _with_joined(names: Sequence[str]) -> list[str]:
    """The names, and those that `collect` makes of a name and a platform's number where there is no class list."""
    numbers = [number for name in names if (number := name.strip()).isdigit()]
    words = {form for name in names if not name.strip().isdigit() for form in _spellings(name)}
    return [*names, *(f"{word}-{number}" for word in sorted(words) for number in numbers)]


def _spellings(name: str) -> set[str]:
    """As it is, and as Canvas puts it into a file's name, with its letters reduced or left out."""
    reduced = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return {plain(text) for text in (name, reduced, re.sub(r"[^\x00-\x7f]", "", name))} - {""}


def fill_column(sheet: Sheet, column: int, lines: Mapping[int, str], points: Points, filled: Filled) -> None:
    """Writes a column; a line without points, and a cell that wants none, stays as it is."""
    comma = sheet.comma(column)
    for line, student in lines.items():
        if student not in points.of:
            continue
        filled.students.add(student)
        if sheet.value(line, column).strip().upper() in UNTOUCHED:
            filled.kept.append(f"{student} ({sheet.value(line, column).strip()})")
            continue
        text = f"{points.written(student):.2f}".rstrip("0").rstrip(".")
        sheet.fill(line, column, text.replace(".", ",") if comma else text)


def demand_maximum(sheet: Sheet, title: str, found: float | None, points: Points, why: str) -> None:
    """Refuses a column whose maximum is another one than that of the points.

    Raises:
        NoSheet: If the maxima differ.
    """
    wanted = points.written_maximum
    if found is None or wanted is None or found == wanted:
        return
    raise NoSheet(
        f"{sheet.name}: {title!r} is out of {found:g}, and the points to be written are out of {wanted:g}. {why} "
        f"Scale them (--scale {found:g}), or change the platform's maximum to {wanted:g} and download the file again."
    )
