"""Moodle's grading worksheet: fills in the CSV that an instructor downloaded (mod/assign/feedback/offline)."""

from __future__ import annotations

import re

from autograder.collecting.people import Roster, plain
from autograder.exports.filling import Filled, Points, demand_maximum, fill_column, whose_lines
from autograder.exports.sheet import NoSheet, Sheet, number

WHERE = (
    "In Moodle, allow `Offline grading worksheet` in the assignment's feedback types, choose `Download grading "
    "worksheet`, and give the CSV with `--given`."
)
# Moodle's headers are in the site's language.
GRADE = ("Grade", "Bewertung", "Note", "Calificación", "Valutazione", "Voto", "Cijfer", "Nota", "Avaliação", "Karakter")
PARTICIPANT = re.compile(r"\D+(\d+)")
WHY = "Moodle takes no grade above the maximum, and a single one above 100 can stop a whole import of grades."


def fill_moodle(sheet: Sheet, points: Points, roster: Roster, *, column: str = "") -> Filled:
    """Fills in a worksheet, whose other cells stay as they are.

    Args:
        sheet: The worksheet.
        points: What is written.
        roster: The class; it may hold Moodle's identifiers, with or without the word in front.
        column: Title or number, from 1, of the column with the grades, where its language is not known.

    Raises:
        NoSheet: If it is no worksheet, has no such column, or another maximum.
    """
    lines = [line for line in range(1, len(sheet.rows)) if any(sheet.line(line))]
    if not lines or not all(PARTICIPANT.fullmatch(sheet.value(line, 0).strip()) for line in lines):
        raise NoSheet(f'{sheet.name} is no grading worksheet (its first column says "Participant 123"). {WHERE}')
    place = _column(sheet, column)
    names = {line: _names(sheet.line(line)[:place]) for line in lines}
    filled = Filled()
    owners = whose_lines(names, roster, filled)
    for line in lines:
        demand_maximum(sheet, sheet.value(0, place), _maximum(sheet, line, place), points, WHY)
    fill_column(sheet, place, owners, points, filled)
    limit = points.written_maximum
    if limit and (above := [student for student in sorted(filled.students) if points.written(student) > limit]):
        raise NoSheet(f"{', '.join(above)} would get more than {limit:g}: {WHY} Leave the bonus apart.")
    return filled


def _names(cells: list[str]) -> list[str]:
    """What a line says of its student: identifier, its number, then names and addresses."""
    found = PARTICIPANT.fullmatch(cells[0].strip())
    return [cells[0], *([found[1]] if found else []), *cells[1:]]


def _column(sheet: Sheet, wanted: str) -> int:
    header = sheet.line(0)
    if wanted.isdigit() and 1 < int(wanted) <= len(header):
        return int(wanted) - 1
    meant = {plain(wanted)} if wanted else {plain(name) for name in GRADE}
    found = [place for place, name in enumerate(header) if place and plain(name) in meant]
    if len(found) == 1:
        return found[0]
    raise NoSheet(
        f"{sheet.name}: which column holds the grades? Name it with --column, by title or number: "
        f"{', '.join(f'{place} {name!r}' for place, name in enumerate(header, start=1))}."
    )


def _maximum(sheet: Sheet, line: int, column: int) -> float | None:
    """Moodle's maximum stands behind the grade."""
    return number(sheet.value(line, column + 1))
