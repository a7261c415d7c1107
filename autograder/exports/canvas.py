"""Canvas's gradebook: fills in the CSV that an instructor downloaded (canvas-lms, lib/gradebook_importer.rb)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from autograder.collecting.people import Roster, plain
from autograder.exports.filling import Filled, Points, demand_maximum, fill_column, whose_lines
from autograder.exports.sheet import NoSheet, Sheet, number

WHERE = "In Canvas, open Grades, choose Export, and give the CSV with `--given`."
IDENTIFIERS = ("ID", "SIS User ID", "SIS Login ID", "Student")
ASSIGNMENT = re.compile(r"(?P<title>.+) \((?P<key>\d+)\)")
READ_ONLY = "(read only)"
HEADER_LINES = 6  # the names, what is posted by hand, the points possible
WHY = "Canvas would show a wrong percentage."


def fill_canvas(sheet: Sheet, wanted: Mapping[tuple[str, ...], Points], roster: Roster, *, column: str = "") -> Filled:
    """Fills in a gradebook, whose other cells stay as they are.

    Args:
        sheet: The gradebook.
        wanted: What is written, by the titles that its column may have. The first one has to be there.
        roster: The class.
        column: Title of the first one's column, instead.

    Raises:
        NoSheet: If it is no gradebook, has no such column, or one with another maximum.
    """
    possible = _line_of_maxima(sheet)
    header = sheet.line(0)
    by_name = [header.index(name) for name in IDENTIFIERS if name in header]
    names = {
        line: [sheet.value(line, place) for place in by_name]
        for line in range(possible + 1, len(sheet.rows))
        if any(sheet.line(line))
    }
    filled = Filled()
    lines = whose_lines(names, roster, filled)
    for number_of, (titles, points) in enumerate(wanted.items()):
        place = _column(sheet, [column] if column and not number_of else titles, demanded=not number_of)
        if place is not None:
            if READ_ONLY in header[place] + sheet.value(possible, place):
                raise NoSheet(f"{sheet.name}: Canvas ignores {header[place]!r}, which is {READ_ONLY}.")
            demand_maximum(sheet, header[place], number(sheet.value(possible, place)), points, WHY)
            fill_column(sheet, place, lines, points, filled)
    return filled


def _line_of_maxima(sheet: Sheet) -> int:
    if sheet.line(0)[:1] == ["Student"] and "ID" in sheet.line(0):
        for line in range(1, min(HEADER_LINES, len(sheet.rows))):
            if sheet.value(line, 0).strip() == "Points Possible":
                return line
    raise NoSheet(f'{sheet.name} is no gradebook of Canvas (columns Student and ID, a line "Points Possible"). {WHERE}')


def _column(sheet: Sheet, titles: Sequence[str], *, demanded: bool) -> int | None:
    """The column with one of the titles, with or without Canvas's number behind it."""
    header = sheet.line(0)
    meant = {plain(title) for title in titles}
    shown = [ASSIGNMENT.fullmatch(name) for name in header]
    found = [
        place
        for place, name in enumerate(header)
        if plain(name) in meant or ((parts := shown[place]) and plain(parts["title"]) in meant)
    ]
    if len(found) == 1:
        return found[0]
    if not found and not demanded:
        return None
    assignments = [name for name, parts in zip(header, shown, strict=True) if parts]
    candidates = [header[place] for place in found] or assignments
    raise NoSheet(
        f"{sheet.name} has {'more than one' if found else 'no'} column {' or '.join(map(repr, titles))}. Name one with "
        f"--column: {', '.join(map(repr, candidates)) or 'there is no assignment in it'}."
    )
