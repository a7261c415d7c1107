"""Whose is a file? What Canvas, Moodle, Gradescope and people themselves write into names, and the roster."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path, PurePosixPath

import yaml

from autograder.collecting.sources import Found, NoSource
from autograder.course.contract import NOTEBOOKS

# canvas-lms, lib/content_zipper.rb: sortable name, LATE, user, attachment, file name; anonymous: anon and an id
CANVAS = re.compile(r"(?P<name>[^_/]+)_(?P<late>LATE_)?(?P<key>\d+)_(?P<order>\d+)_(?P<file>.+)", re.DOTALL)
CANVAS_ANONYMOUS = re.compile(r"(?P<name>anon)_(?P<late>LATE_)?(?P<key>[^_/]+)_(?P<order>\d+)_(?P<file>.+)", re.DOTALL)
# moodle, mod/assign/classes/downloader.php; older sites end in "_"
MOODLE = re.compile(r"(?P<name>.+)_(?P<key>\d+)_assignsubmission_(?:file|onlinetext)_?", re.DOTALL)
GRADESCOPE = "submission_metadata.yml"
ID_COLUMNS = ("id", "student_id", "student id", "username", "sis login id")


@dataclass(frozen=True)
class Owner:
    """Whose a file is, as its place says.

    Attributes:
        names: What the place says of the person, the surest first: the platform's id, then the name.
        place: The file's place below what is the person's own.
        platform: "Canvas", "Moodle", "Gradescope" or "folder".
        late: Whether the platform marked it as late.
        order: Larger for what was handed in later, as far as the platform counts.
    """

    names: tuple[str, ...]
    place: PurePosixPath
    platform: str
    late: bool = False
    order: int = 0


def owner_of(place: PurePosixPath, submitters: Mapping[str, tuple[str, ...]]) -> Owner | None:
    """Whose a file of a download is; None where the place says nothing.

    Args:
        place: Where the file stands.
        submitters: Gradescope's submissions by folder.
    """
    for depth, part in enumerate(place.parts):
        rest = PurePosixPath(*place.parts[depth + 1 :])
        if part in submitters:
            return Owner(submitters[part], rest, "Gradescope")
        if found := MOODLE.fullmatch(part):
            names = (found["key"], found["name"])
            return Owner(names, rest, "Moodle")
        if found := CANVAS.fullmatch(part) or CANVAS_ANONYMOUS.fullmatch(part):
            name = f"anon_{found['key']}" if found["name"] == "anon" else found["name"]
            own = rest if rest.parts else PurePosixPath(found["file"])
            return Owner((found["key"], name), own, "Canvas", bool(found["late"]), int(found["order"]))
    return _by_folder(place)


def _by_folder(place: PurePosixPath) -> Owner | None:
    """The first folder or archive is the person's; of a lone file, what its name says besides the notebook's."""
    first, rest = place.parts[0], PurePosixPath(*place.parts[1:])
    if rest.parts:
        return Owner((re.sub(r"\.zip$", "", first, flags=re.IGNORECASE),), rest, "folder")
    stem = place.name.removesuffix(place.suffix)
    for notebook in NOTEBOOKS:
        if notebook in stem and (name := stem.replace(notebook, " ").strip(" _-()0123456789.")):
            return Owner((name,), PurePosixPath(f"{notebook}.ipynb"), "folder")
    return None


def submitters(files: Iterable[Found]) -> dict[str, tuple[str, ...]]:
    """Who handed in what, by folder, where Gradescope's export says so."""
    people: dict[str, tuple[str, ...]] = {}
    for found in files:
        if found.place.name != GRADESCOPE or found.content is None:
            continue
        try:
            table = yaml.safe_load(found.content)
            for folder, entry in table.items():
                first = (entry.get(":submitters") or entry.get("submitters"))[0]
                people[str(folder)] = tuple(str(first[key]) for key in (":sid", ":email", ":name") if first.get(key))
        except (yaml.YAMLError, AttributeError, KeyError, IndexError, TypeError):
            continue
    return people


def plain(name: str) -> str:
    """A name without what platforms change: case, accents' spelling aside, blanks and punctuation."""
    return re.sub(r"[\W_]", "", name.casefold())


class Roster:
    """The class: which names belong to which student id.

    Attributes:
        ids: The students, in the order of the file.
    """

    def __init__(self, rows: Iterable[Mapping[str, str]], id_column: str) -> None:
        """Takes the rows of a table, one student each."""
        self.ids: list[str] = []
        self._by_name: dict[str, set[str]] = {}
        for row in rows:
            student = (row.get(id_column) or "").strip()
            if not student:
                continue
            self.ids.append(student)
            for name in _names(row):
                self._by_name.setdefault(name, set()).add(student)

    def find(self, names: Iterable[str]) -> set[str]:
        """The students whom the first name means that means anybody; more than one where it is not clear."""
        return next((found for name in names if (found := self._by_name.get(plain(name), set()))), set())


def _names(row: Mapping[str, str]) -> set[str]:
    """All that a row says of a student, and a name of several words in every order of up to four."""
    values = [value for value in row.values() if value and isinstance(value, str)]
    first, last = (
        next((row[key] for key in row if key and plain(key) == kind), "") for kind in ("firstname", "lastname")
    )
    values += [f"{first} {last}", f"{last} {first}"] if first and last else []
    names = {plain(value) for value in values}
    for value in values:
        words = [word for word in re.split(r"[\s,]+", value) if word]
        if 2 <= len(words) <= 4:
            names |= {plain("".join(order)) for order in permutations(words)}
    return names - {""}


def read_roster(path: Path) -> Roster:
    """Reads a class list with a header, separated by commas, semicolons or tabs.

    The student id stands in the column "id" (or "student_id", "username", "SIS Login ID"), else in the first one.
    Every other column may hold what a platform calls the student: name, e-mail, Canvas or Moodle id.

    Raises:
        NoSource: If the file cannot be read, or two rows have the same id.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise NoSource(f"{path} cannot be read as a class list ({error}); save it as CSV in UTF-8.") from None
    lines = text.splitlines()
    delimiter = max(",;\t", key=lines[0].count) if lines else ","
    reader = csv.DictReader(lines, delimiter=delimiter)
    columns = [column for column in reader.fieldnames or [] if column]
    if not columns:
        raise NoSource(f"{path} holds no table; its first line names the columns, such as id,name,email.")
    by_name = {column.strip().casefold(): column for column in columns}
    roster = Roster(reader, next((by_name[name] for name in ID_COLUMNS if name in by_name), columns[0]))
    if odd := [student for student in roster.ids if re.search(r"[/\\+]|^\.", student)]:
        raise NoSource(f"{path}: {odd[0]!r} cannot be an id in nbgrader (no '/', no '+', no '.' in front).")
    if twice := sorted({student for student in roster.ids if roster.ids.count(student) > 1}):
        raise NoSource(f"{path} names {', '.join(twice)} more than once; each student has one line.")
    return roster
