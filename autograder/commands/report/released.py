"""What students were given: names of problems and exercises, and the text in the cells of answers."""

from __future__ import annotations

import json
from pathlib import Path

from autograder.course.cells import grade_id, marks
from autograder.course.contract import NOTEBOOKS
from autograder.course.folders import RELEASED
from pset4.submission import exercises


def titles() -> dict[str, str]:
    """What problems and exercises are called, by the notebook's name and by the exercise's id."""
    return exercises.NOTEBOOKS | {exercise.id: _named(exercise.title) for exercise in exercises.EXERCISES}


def given_text(folder: Path = RELEASED) -> dict[str, str]:
    """The given text of each cell of an answer, by id; there is none of a notebook that is not there."""
    stubs: dict[str, str] = {}
    for name in NOTEBOOKS:
        path = folder / f"{name}.ipynb"
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if path.exists() else []:
            if marks(cell).get("solution"):
                stubs[grade_id(cell)] = "".join(cell["source"])
    return stubs


def _named(title: str) -> str:
    """A title as it stands at the beginning of a line."""
    return title[:1].upper() + title[1:]
