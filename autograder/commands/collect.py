"""`autograder collect`: takes what a platform gives, and writes nbgrader's folder `submitted/`."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from nbgrader.utils import parse_utc
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from autograder.collecting.choosing import Candidate, Fate, assign, choose, recognise
from autograder.collecting.people import GRADESCOPE, Roster, owner_of, read_roster, submitters
from autograder.collecting.sources import Found, NoSource, read_source
from autograder.commands.course import NEEDS_A_HUMAN
from autograder.course.contract import NOTEBOOKS
from autograder.course.folders import ASSIGNMENT
from autograder.engine.grader.staging import ARCHIVES, MAX_FILES, TIMESTAMP

STANDS_OUT: tuple[Fate, ...] = ("refused", "unrecognised", "superseded", "left out")
REPORTS = frozenset({"report.pdf"})  # ours, beside the notebooks in a student's zip


def collect(
    source: Path, *, root: Path, roster: Path | None = None, dry_run: bool = False, console: Console | None = None
) -> int:
    """Sorts a download into `submitted/<student>/pset4/`, with a time stamp, and says what became of each file.

    Args:
        source: A zip of Canvas or Moodle, Gradescope's export, a folder of
            `pset4 handin` zips, or a folder of anything.
        root: Root of the nbgrader course.
        roster: Class list (CSV) with the students' ids; without it, the names that the platform gives become ids.
        dry_run: Only say what would be done.
        console: Where to say it.

    Returns:
        0; 3 if a file was refused, or nobody knows whose or what it is; 1 if nothing could be read.
    """
    console = console or Console()
    try:
        known = read_roster(roster) if roster else None
        with tempfile.TemporaryDirectory(prefix="pset4-collect-") as folder:
            candidates = _sorted_out(list(_spooled(source, Path(folder))), known)
            candidates = _compared(candidates, root)
            if not dry_run:
                _write(candidates, root)
            _say(candidates, known, dry_run, console)
    except NoSource as reason:
        console.print(str(reason), markup=False, soft_wrap=True)
        return 1
    if not any(candidate.notebook for candidate in candidates):
        console.print(f"{source} holds none of {', '.join(f'{name}.ipynb' for name in NOTEBOOKS)}.", markup=False)
        return 1
    return NEEDS_A_HUMAN if any(c.fate in ("refused", "unrecognised") for c in candidates) else 0


def _spooled(source: Path, folder: Path) -> Iterable[Candidate]:
    """The files of a download, their bytes in a folder instead of in memory."""
    files: list[tuple[Found, Path | None]] = []
    metadata = []
    for number, found in enumerate(read_source(source)):
        if found.place.name == GRADESCOPE:
            metadata.append(found)
            continue
        copy = None
        if found.content is not None:
            copy = folder / str(number)
            copy.write_bytes(found.content)
        files.append((replace(found, content=None), copy))
    people = submitters(metadata)
    for found, copy in files:
        owner = owner_of(found.place, people)
        yield Candidate(
            found.place, copy, found.modified, "refused" if found.problem else "taken", found.problem, owner
        )


def _sorted_out(candidates: Sequence[Candidate], roster: Roster | None) -> list[Candidate]:
    named = [assign(c, roster) if c.fate == "taken" else c for c in candidates]
    return choose([_recognised(c) for c in named])


def _recognised(candidate: Candidate) -> Candidate:
    if candidate.fate != "taken" or candidate.spooled is None:
        return candidate
    if candidate.is_notebook:
        assert candidate.owner is not None
        notebook = recognise(candidate.place.name, candidate.spooled.read_bytes())
        if not notebook:
            return replace(candidate, fate="unrecognised", why="none of the course's notebooks, by name or by content")
        return replace(candidate, notebook=notebook)
    if candidate.place.name in REPORTS:
        return replace(candidate, fate="left out", why="the student's own copy of the answers; the notebooks count")
    if candidate.place.suffix.lower() in ARCHIVES:
        return replace(candidate, fate="refused", why="only zip archives are opened")
    return candidate


def _compared(candidates: Sequence[Candidate], root: Path) -> list[Candidate]:
    """What was collected before stays where it is the same or newer."""
    return [_with_what_is_there(candidate, root) if candidate.notebook else candidate for candidate in candidates]


def _with_what_is_there(candidate: Candidate, root: Path) -> Candidate:
    path = _target(candidate, root)
    if candidate.fate != "taken" or candidate.spooled is None or not path.is_file():
        return candidate
    if path.read_bytes() == candidate.spooled.read_bytes():
        return replace(candidate, fate="unchanged")
    if 0 < candidate.modified < _collected_at(path.parent):
        return replace(candidate, fate="superseded", why="what was collected before is newer")
    return replace(candidate, why="replaces what was collected before")


def _collected_at(folder: Path) -> float:
    try:
        stamp = parse_utc((folder / TIMESTAMP).read_text(encoding="utf-8").strip())
        return float(stamp.replace(tzinfo=UTC).timestamp())
    except (OSError, ValueError, OverflowError):
        return 0.0


def _target(candidate: Candidate, root: Path) -> Path:
    folder = root / "submitted" / candidate.student / ASSIGNMENT
    if candidate.notebook:
        return folder / f"{candidate.notebook}.ipynb"
    assert candidate.owner is not None
    return folder / _beside_the_notebooks(candidate.owner.place)


def _beside_the_notebooks(place: PurePosixPath) -> PurePosixPath:
    """A helper's place without the archive that it came in."""
    parts = list(place.parts)
    inside = max((i for i, part in enumerate(parts) if part.lower().endswith(".zip")), default=-1)
    return PurePosixPath(*parts[inside + 1 :]) if inside + 1 < len(parts) else place


def _write(candidates: Sequence[Candidate], root: Path) -> None:
    others: Counter[str] = Counter()
    newest: dict[Path, float] = {}
    for candidate in candidates:
        if candidate.fate not in ("taken", "unchanged") or candidate.spooled is None:
            continue
        others[candidate.student] += not candidate.notebook
        if others[candidate.student] > MAX_FILES:
            continue
        path = _target(candidate, root)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(candidate.spooled, path)
        if candidate.notebook:
            newest[path.parent] = max(newest.get(path.parent, 0.0), candidate.modified)
    for folder, seconds in newest.items():
        if seconds > _collected_at(folder):
            stamp = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC\n"
            (folder / TIMESTAMP).write_text(stamp, encoding="utf-8")


def _say(candidates: Sequence[Candidate], roster: Roster | None, dry_run: bool, console: Console) -> None:
    if not console.is_terminal:
        console = Console(file=console.file, width=200)
    table = Table("student", "file", "what became of it", "why")
    order = ("taken", "unchanged", *STANDS_OUT)
    for candidate in sorted(candidates, key=lambda c: (order.index(c.fate), c.student, str(c.place))):
        late = "marked late by the platform" if candidate.owner and candidate.owner.late and candidate.notebook else ""
        why = "; ".join(words for words in (candidate.why, late) if words)
        table.add_row(escape(candidate.student), escape(str(candidate.place)), candidate.fate, escape(why))
    console.print(table)
    students = {candidate.student for candidate in candidates if candidate.notebook and candidate.fate in order[:2]}
    counted = Counter(candidate.fate for candidate in candidates)
    summary = ", ".join(f"{counted[fate]} {fate}" for fate in order if counted[fate])
    console.print(f"{len(students)} students; files: {summary or 'none'}.", soft_wrap=True)
    if roster and (missing := [student for student in roster.ids if student not in students]):
        console.print(
            f"Nothing from {len(missing)} of the class list: {', '.join(missing)}.", markup=False, soft_wrap=True
        )
    if dry_run:
        console.print("Nothing was written (--dry-run).")
