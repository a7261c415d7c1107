"""What students were given: names of problems and exercises, and the text in the cells of answers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from autograder.course.cells import grade_id, marks
from autograder.course.contract import NOTEBOOKS
from autograder.course.folders import RELEASED

_PROBLEM = re.compile(r"^#\s+(.+?)\s*$", re.MULTILINE)
_EXERCISE = re.compile(r"^#{2,6}\s+Exercise\s+`(\w+)`\s*:\s*(.+?)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Released:
    """What was given.

    Attributes:
        titles: Of notebooks and exercises, by name and by id.
        stubs: The given text of each cell of an answer, by id.
    """

    titles: Mapping[str, str]
    stubs: Mapping[str, str]


def read_released(folder: Path = RELEASED) -> Released:
    """Reads the released notebooks; what is not there has no title and no given text."""
    titles: dict[str, str] = {}
    stubs: dict[str, str] = {}
    for name in NOTEBOOKS:
        path = folder / f"{name}.ipynb"
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if path.exists() else []:
            text = "".join(cell["source"])
            if cell["cell_type"] == "markdown":
                if heading := _PROBLEM.search(text):
                    titles.setdefault(name, heading[1])
                titles |= {found[1]: _named(found[2]) for found in _EXERCISE.finditer(text)}
            if marks(cell).get("solution"):
                stubs[grade_id(cell)] = text
    return Released(titles, stubs)


def _named(title: str) -> str:
    """A title as it stands at the beginning of a line."""
    title = title.replace("`", "")
    return title[:1].upper() + title[1:]
