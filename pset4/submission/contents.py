"""What the report says: for each exercise its answer, code, check and figures, as data for the page."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pset4.submission.exercises import EXERCISES, Exercise
from pset4.submission.notebooks import Cell, Notebook, error_of, printed
from pset4.submission.pictures import Picture, figures
from pset4.submission.review import definitions, still_open, syntax, written_answer

LONGEST_CODE, LONGEST_CHECK, MOST_FIGURES = 40_000, 1_500, 30
_COURSES_ID = re.compile(r"p[1-4][a-g]?_")
_SECTION = re.compile(r"^##? |^### Exercise", re.MULTILINE)


@dataclass(frozen=True)
class Section:
    """One exercise of the report.

    Attributes:
        exercise: Which.
        open: Why it counts as open, or "".
        answer: The cell with the written answer, if it is one and is answered.
        folder: Where the notebook lies, and pictures beside it.
        code: The student's helpers and the answer, as far as they are there.
        check: What its check said, or "".
        verdict: "passed", "failed", "not run", or "" for an exercise without a check.
        figures: The figures that follow the answer.
        left_out: How many figures more there are.
    """

    exercise: Exercise
    open: str
    answer: Cell | None = None
    folder: Path = Path()
    code: tuple[str, ...] = ()
    check: str = ""
    verdict: str = ""
    figures: tuple[Picture, ...] = ()
    left_out: int = 0


def sections(notebooks: Mapping[str, Notebook]) -> list[Section]:
    """The sections of all exercises in the course's order."""
    return [_section(exercise, notebooks.get(exercise.notebook)) for exercise in EXERCISES]


def _section(exercise: Exercise, notebook: Notebook | None) -> Section:
    reason = still_open(exercise, notebook)
    cell = notebook.cell(exercise.id) if notebook else None
    if notebook is None or cell is None:
        return Section(exercise, reason)
    found = [picture for place in _own_part(exercise, notebook.cells) for picture in figures(notebook.cells[place])]
    check, verdict = _check(notebook.cell(f"{exercise.id}_check")) if exercise.names else ("", "")
    return Section(
        exercise,
        reason,
        answer=cell if not exercise.names and written_answer(cell) else None,
        folder=notebook.path.parent,
        code=tuple(_bounded(part.source, LONGEST_CODE) for part in _code(cell, notebook.cells))
        if exercise.names
        else (),
        check=check,
        verdict=verdict,
        figures=tuple(found[:MOST_FIGURES]),
        left_out=len(found[MOST_FIGURES:]),
    )


def _own_part(exercise: Exercise, cells: Sequence[Cell]) -> range:
    """Places of the cells from an exercise's answer to the heading under which the next exercise stands."""
    answers = {other.id for other in EXERCISES}
    start = next(place for place, cell in enumerate(cells) if cell.name == exercise.id)
    later = [place for place, cell in enumerate(cells) if place > start and cell.name in answers]
    if not later:
        return range(start, len(cells))
    headings = (
        p for p in range(start + 1, later[0]) if cells[p].kind == "markdown" and _SECTION.search(cells[p].source)
    )
    return range(start, next(headings, later[0]))


def _check(cell: Cell | None) -> tuple[str, str]:
    """What a check said, and in a word what came of it."""
    if cell is None or (cell.count is None and not cell.outputs):
        return "", "not run"
    said = printed(cell)
    passed = "all good" in said and not error_of(cell)
    return _bounded(said, LONGEST_CHECK), "passed" if passed else "failed"


def _bounded(text: str, most: int) -> str:
    text = text.expandtabs(4).strip("\n")
    return text if len(text) <= most else f"{text[:most]}\n… {len(text) - most} more characters in the notebook"


def _code(answer: Cell, cells: Sequence[Cell]) -> list[Cell]:
    """The answer, and before it the student's other cells that define what it uses."""
    own = [cell for cell in cells if cell.kind == "code" and not cell.name and not _COURSES_ID.match(cell.id)]
    bound = {id(cell): {name for name, _ in _definitions(cell)} for cell in own}
    chosen: dict[int, Cell] = {}
    waiting = [answer]
    while waiting:
        used = _free_names(waiting.pop())
        found = [cell for cell in own if id(cell) not in chosen and bound[id(cell)] & used]
        chosen |= {id(cell): cell for cell in found}
        waiting += found
    return [cell for cell in own if id(cell) in chosen] + [answer]


def _definitions(cell: Cell) -> Iterator[tuple[str, ast.AST]]:
    try:
        yield from definitions(syntax(cell.source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return


def _free_names(cell: Cell) -> set[str]:
    """Names that a cell uses and binds nowhere, roughly: enough to find helpers."""
    try:
        nodes = list(ast.walk(syntax(cell.source)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    names = [node for node in nodes if isinstance(node, ast.Name)]
    bound = {name.id for name in names if not isinstance(name.ctx, ast.Load)}
    bound |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    return {name.id for name in names} - bound
