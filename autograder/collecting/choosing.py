"""Which of the files that were found is a student's notebook, and which one was handed in last."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

from autograder.collecting.people import Owner, Roster, plain
from autograder.course.contract import NOTEBOOKS
from autograder.engine.grader.staging import NOTEBOOK, notebook_by_name

Fate = Literal["taken", "unchanged", "superseded", "unrecognised", "refused", "left out"]
GRADE_ID = re.compile(rb'"grade_id":\s*"p([1-9])')


@dataclass(frozen=True)
class Candidate:
    """A file that was found, and what becomes of it.

    Attributes:
        place: Where it stood in the download.
        spooled: A copy of its bytes; None where it was refused.
        modified: When it was last written, in seconds since 1970; 0 where nobody knows.
        fate: What becomes of it.
        why: Reason, for whoever reads the table.
        owner: Whose it is, as its place says.
        student: The student's id.
        notebook: Which of the course's notebooks it is; "" for other files.
    """

    place: PurePosixPath
    spooled: Path | None
    modified: float = 0.0
    fate: Fate = "taken"
    why: str = ""
    owner: Owner | None = None
    student: str = ""
    notebook: str = ""

    @property
    def is_notebook(self) -> bool:
        """Whether it goes by a notebook's name."""
        return NOTEBOOK.search(self.place.name) is not None


def recognise(file_name: str, content: bytes) -> str:
    """Which of the course's notebooks a file is, by its name, else by the cells in it; "" for none."""
    if by_name := notebook_by_name(file_name, NOTEBOOKS):
        return by_name
    counted = Counter(GRADE_ID.findall(content)).most_common(1)
    number = int(counted[0][0]) if counted else 0
    return NOTEBOOKS[number - 1] if 1 <= number <= len(NOTEBOOKS) else ""


def assign(candidate: Candidate, roster: Roster | None) -> Candidate:
    """The file with its student, or unrecognised."""
    owner = candidate.owner
    if owner is None:
        return replace(candidate, fate="unrecognised", why="neither a folder nor the file's name says whose it is")
    if roster is None:
        return replace(candidate, student=_id_of(owner))
    found = roster.find(owner.names)
    said = " / ".join(owner.names)
    if len(found) == 1:
        return replace(candidate, student=next(iter(found)))
    if found:
        return replace(candidate, fate="unrecognised", why=f"{said}: the class list has {' and '.join(sorted(found))}")
    return replace(candidate, fate="unrecognised", why=f"{said}: nobody of that name in the class list")


def _id_of(owner: Owner) -> str:
    """A student id where there is no class list: the name, and the platform's number, which tells namesakes apart."""
    name = re.sub(r"[^\w-]+", "-", owner.names[-1].strip().casefold()).strip("-_") or "unnamed"
    key = plain(owner.names[0])
    return name if len(owner.names) == 1 or key in name else f"{name}-{key}"


def choose(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Of several files for one notebook of one student, the one that was handed in last."""
    best: dict[tuple[str, str], Candidate] = {}
    for candidate in candidates:
        if candidate.fate == "taken" and candidate.notebook:
            key = candidate.student, candidate.notebook
            best[key] = max(best.get(key, candidate), candidate, key=_newest)
    return [_against(candidate, best.get((candidate.student, candidate.notebook))) for candidate in candidates]


def _against(candidate: Candidate, best: Candidate | None) -> Candidate:
    if best is None or candidate is best or candidate.fate != "taken":
        return candidate
    return replace(candidate, fate="superseded", why=f"{best.place} was handed in later")


def _newest(candidate: Candidate) -> tuple[int, float, int, str]:
    """The platform's count, then the file's date, then the number that a repeated upload or a copy carries."""
    stem = NOTEBOOK.sub("", candidate.place.name)
    number = re.search(r"[-( ](\d{1,4})\)?$", stem)
    order = candidate.owner.order if candidate.owner else 0
    return order, candidate.modified, int(number.group(1)) if number else 0, str(candidate.place)
