"""A zip of feedback pages under the names that Canvas and Moodle take back."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from autograder.collecting.choosing import Candidate, assign
from autograder.collecting.people import CANVAS, MOODLE, Roster, owner_of
from autograder.exports.sheet import NoSheet

WHERE = "Give the zip of submissions that Canvas or Moodle made, which was collected, with `--given`."


def names_in(submissions: Path | None, roster: Roster | None) -> dict[str, str]:
    """What stands in front of a page's name, by student, as the platform called what it handed out.

    Canvas finds the student by `_{user_id}_{attachment_id}_` in a file's name, Moodle by the number in a folder's.

    Raises:
        NoSheet: If the zip is none, or no platform's.
    """
    if submissions is None:
        raise NoSheet(f"Under which names does the platform know the submissions? {WHERE}")
    try:
        with zipfile.ZipFile(submissions) as archive:
            places = [PurePosixPath(name) for name in archive.namelist()]
    except (OSError, zipfile.BadZipFile):
        raise NoSheet(f"{submissions} is no zip archive that can be read. {WHERE}") from None
    found: dict[str, tuple[int, str]] = {}
    for place in places:
        owner = owner_of(place, {}) if place.parts else None
        if owner is None or owner.platform not in ("Canvas", "Moodle"):
            continue
        student = assign(Candidate(place, None, owner=owner), roster).student
        if student:
            found[student] = max(found.get(student, (-1, "")), (owner.order, _front(place)))
    if not found:
        raise NoSheet(f"{submissions} holds nothing that Canvas or Moodle named for a student of this class. {WHERE}")
    return {student: front for student, (_, front) in found.items()}


def _front(place: PurePosixPath) -> str:
    for part in place.parts:
        if MOODLE.fullmatch(part):
            return f"{part}/"
        if canvas := CANVAS.fullmatch(part):
            return part.removesuffix(canvas["file"])
    return ""


def write_zip(target: Path, pages: Mapping[str, Path], fronts: Mapping[str, str]) -> list[str]:
    """Writes the zip.

    Args:
        target: Where.
        pages: Folder of each student's pages.
        fronts: What stands in front of a page's name.

    Returns:
        Students whose pages are in it.
    """
    students = sorted(pages.keys() & {student for student, front in fronts.items() if front})
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for student in students:
            for page in sorted(pages[student].glob("*.html")):
                archive.write(page, f"{fronts[student]}{page.name}")
    return students
