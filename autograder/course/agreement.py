"""Do a source notebook, the exams and the contract say the same? Where they do not, nobody could be graded rightly.

A hidden test without an exam gives everybody 0, hidden code outside a test cell would run in the student's process, and
points that were changed in one place alone pay part of what the student was promised. So the release and the grading
both ask here first, and stop at the first sentence.
"""

from __future__ import annotations

import ast
import difflib
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from autograder.course.cells import CHECK, TEST, grade_id, marks
from autograder.course.contract import EXERCISES, NOTEBOOKS, Exercise

BEGIN, END = "BEGIN HIDDEN TESTS", "END HIDDEN TESTS"
MARKERS = (
    (BEGIN, END),
    ("BEGIN SOLUTION", "END SOLUTION"),
    ("BEGIN MARK SCHEME", "END MARK SCHEME"),
)
NEARLY = 0.85
"""How alike a line and a marker must be (difflib) to be taken for a misspelled one."""
AUTOTEST = "AUTOTEST"
"""nbgrader makes visible tests from comments that hold this word; only its own kernel would run them."""


class Disagreement(Exception):
    """Source notebooks that cannot be released or graded as they are.

    Attributes:
        sentences: What is wrong, where, and what to do; one each.
    """

    def __init__(self, sentences: Sequence[str]) -> None:
        """Keeps the sentences."""
        self.sentences = tuple(sentences)
        super().__init__("\n".join(self.sentences))


@dataclass(frozen=True)
class Cell:
    """A cell with nbgrader's marks, as far as they decide about points.

    Attributes:
        id: nbgrader's `grade_id`.
        kind: "code", "markdown" or "raw".
        source: Its text.
        grade: Whether it is worth points.
        solution: Whether students write into it.
        task: Whether it is one of nbgrader's "manually graded tasks".
        points: As it stands there; anything but a number is wrong.
    """

    id: str
    kind: str
    source: str
    grade: bool
    solution: bool
    task: bool
    points: Any

    @property
    def exercise(self) -> str:
        """The exercise that a check or test belongs to, by its id; "" for other cells."""
        for ending in (CHECK, TEST):
            if self.id.endswith(ending) and self.id != ending:
                return self.id.removesuffix(ending)
        return ""

    @property
    def is_answer(self) -> bool:
        """Whether it is an answer in code, as an exercise's answer cell must be."""
        return self.kind == "code" and self.solution and not self.grade


def refuse_disagreements(source_folder: Path) -> None:
    """Looks at every source notebook of an assignment.

    Args:
        source_folder: `source/<assignment>`.

    Raises:
        Disagreement: If a notebook, the exams and the contract do not agree, or there is no notebook.
    """
    paths = sorted(source_folder.glob("*.ipynb"))
    if not paths:
        raise Disagreement(
            [f"{source_folder} holds no source notebook (*.ipynb); put the assignment's notebooks there."]
        )
    refuse_notebooks(paths)


def refuse_notebooks(paths: Iterable[Path]) -> None:
    """Looks at some source notebooks.

    Raises:
        Disagreement: If one of them does not agree with the exams and the contract.
    """
    sentences = [sentence for path in paths for sentence in _read_and_compare(path)]
    if sentences:
        raise Disagreement(sentences)


def _read_and_compare(path: Path) -> list[str]:
    try:
        notebook = nbformat.read(path, as_version=4)
    except Exception as error:
        return [f"{path.name} cannot be read as a notebook ({error}); open it in JupyterLab and save it anew."]
    return disagreements(path.stem, notebook)


def disagreements(name: str, notebook: Mapping[str, Any]) -> list[str]:
    """What a source notebook says otherwise than the exams and the contract.

    A notebook that the contract does not know is held against the exams alone.

    Args:
        name: Its file name without ".ipynb".
        notebook: In nbformat 4, with solutions and hidden tests.

    Returns:
        One sentence for each disagreement: the notebook and the cell, what they say, what was expected, what to do.
    """
    return [f"{name}.ipynb: {sentence}" for sentence in _disagreements(name, notebook)]


def _disagreements(name: str, notebook: Mapping[str, Any]) -> Iterator[str]:
    for number, cell in enumerate(notebook["cells"], start=1):
        yield from _markers(_name_of(cell, number), str(cell["source"]), bool(grade_id(cell)))
    marked = [cell for cell in notebook["cells"] if "nbgrader" in cell["metadata"]]
    cells = [_read(cell) for cell in marked]
    for name_of_cell, times in Counter(cell.id for cell in cells).items():
        if not name_of_cell:
            yield f"{times} cell(s) have nbgrader marks but no id; give each one in nbgrader's toolbar."
        elif times > 1:
            yield f"the id {name_of_cell!r} stands on {times} cells; give each cell an id of its own."
    known = {cell.id: cell for cell in cells}
    for cell in cells:
        yield from _cell(cell, known)
    if name in NOTEBOOKS:
        yield from _contract(name, cells, known)
    else:
        yield from _borrowed(cells)


def _name_of(cell: Mapping[str, Any], number: int) -> str:
    return f"the cell {grade_id(cell)!r}" if grade_id(cell) else f"cell number {number}"


def _read(cell: Mapping[str, Any]) -> Cell:
    about = marks(cell)
    return Cell(
        id=grade_id(cell),
        kind=cell["cell_type"],
        source=str(cell["source"]),
        grade=bool(about.get("grade")),
        solution=bool(about.get("solution")),
        task=bool(about.get("task")),
        points=about.get("points", 0 if not about.get("grade") else None),
    )


def _markers(where: str, source: str, has_id: bool) -> Iterator[str]:
    """Markers that do not come in pairs, that are misspelled, or that hide code where nbgrader does not."""
    for begin, end in MARKERS:
        inside = False
        for line in source.splitlines():
            if begin in line and inside:
                yield f"{where} has {begin!r} twice without {end!r} between; students would see what follows."
            if end in line and not inside:
                yield f"{where} has {end!r} without {begin!r} before it; students would see what stands between."
            inside = begin in line or (inside and end not in line)
        if inside:
            yield f"{where} has {begin!r} without {end!r} after it; add the line `### {end}`."
    for line in source.splitlines():
        yield from _misspelled(where, line)
    if not has_id and (BEGIN in source or END in source):
        yield f"{where} holds hidden tests, but has no nbgrader id; only the cell `<exercise>{TEST}` may hold any."


def _misspelled(where: str, line: str) -> Iterator[str]:
    """A line that is nearly a marker: nbgrader would not see it, and students would see what it should hide."""
    markers = [marker for pair in MARKERS for marker in pair]
    text = " ".join(line.strip(" #\t").upper().split())
    if not any(marker in line for marker in markers):
        for marker in difflib.get_close_matches(text, markers, n=1, cutoff=NEARLY):
            yield f"{where} has the line {line.strip()!r}, which is not quite `### {marker}`; spell it so."


def _cell(cell: Cell, known: Mapping[str, Cell]) -> Iterator[str]:
    """What holds for a cell in any notebook."""
    where = f"the cell {cell.id!r}"
    is_test = cell.grade and cell.id.endswith(TEST)
    if (BEGIN in cell.source or END in cell.source) and not is_test:
        yield f"{where} holds hidden tests, and they would run in the student's process; only `<exercise>{TEST}` may."
    if cell.task:
        yield f"{where} is a manually graded task, which this course cannot grade; make it a manually graded answer."
    elif (cell.grade or cell.exercise) and cell.kind == "code":
        yield from _graded_code(cell, known)
    elif cell.grade and not cell.solution:
        yield f"{where} is graded, but it is neither code nor an answer; nbgrader would give everybody full marks."
    elif cell.grade and not _is_number(cell.points):
        yield f"{where} is worth {cell.points!r} points; give a number of at least 0."


def _is_number(points: Any) -> bool:
    number = isinstance(points, int | float) and not isinstance(points, bool)
    return number and math.isfinite(points) and points >= 0


def _graded_code(cell: Cell, known: Mapping[str, Cell]) -> Iterator[str]:
    where = f"the cell {cell.id!r}"
    if not cell.exercise:
        yield (
            f"{where} is graded code worth {cell.points!r} points, which nothing can grade; call it "
            f"`<exercise>{TEST}` and register an exam in autograder/exams, or mark it as not graded."
        )
        return
    answer = known.get(cell.exercise)
    if answer is None or not answer.is_answer:
        found = "there is none" if answer is None else "that cell is something else"
        yield f"{where} needs a code cell {cell.exercise!r} of the kind 'Autograded answer', and {found}; add it."
    if not cell.grade or cell.solution:
        yield f"{where} is not of the kind 'Autograder tests'; choose that in nbgrader's toolbar."
    elif not _is_number(cell.points):
        yield f"{where} is worth {cell.points!r} points; give a number of at least 0."
    elif cell.id.endswith(CHECK) and cell.points != 0:
        yield f"{where} is worth {cell.points:g} points, a visible check 0; give them to `{cell.exercise}{TEST}`."
    if cell.id.endswith(TEST):
        yield from _test(cell)


def _test(cell: Cell) -> Iterator[str]:
    from autograder.exams import EXAMS  # imports torch

    where, exercise = f"the cell {cell.id!r}", cell.exercise
    if exercise not in EXAMS:
        yield f"{where} has no exam, and everybody would get 0; register one for {exercise!r} in autograder/exams."
    elif _is_number(cell.points) and cell.points != EXAMS[exercise].points:
        yield (
            f"{where} is worth {cell.points:g} points, its exam {EXAMS[exercise].points:g}; "
            "make both the same (the exam in autograder/exams, the cell in nbgrader's toolbar)."
        )
    if not _only_grades(cell.source, exercise):
        yield (
            f"{where} must hold `from autograder.exams import grade` and `grade({exercise!r}, globals())` between "
            f"`### {BEGIN}` and `### {END}`, and no other code: the exam decides, and nothing else would be run."
        )


def _only_grades(source: str, exercise: str) -> bool:
    """Whether a test cell shows comments alone, and hides nothing but the import and the call of its own exam."""
    shown: list[str] = []
    hidden: list[str] = []
    inside = False
    for line in source.splitlines():
        if BEGIN in line or END in line:
            inside = BEGIN in line
        else:
            (hidden if inside else shown).append(line)
    try:
        visible, body = ast.parse("\n".join(shown)).body, ast.parse("\n".join(hidden)).body
    except SyntaxError:
        return False
    wanted = ast.parse(f"from autograder.exams import grade\ngrade({exercise!r}, globals())").body
    return not visible and AUTOTEST not in source and [ast.dump(s) for s in body] == [ast.dump(s) for s in wanted]


def _contract(name: str, cells: Sequence[Cell], known: Mapping[str, Cell]) -> Iterator[str]:
    """What the contract demands of one of its notebooks, and what it does not know."""
    expected = {exercise.id: exercise for exercise in EXERCISES if exercise.notebook == name}
    for exercise in expected.values():
        yield from _written(exercise, known) if exercise.form == "written" else _code(exercise, known)
    for cell in cells:
        exercise_id = cell.exercise or cell.id
        if (cell.grade or cell.solution or cell.exercise) and exercise_id not in expected:
            yield (
                f"the cell {cell.id!r} belongs to no exercise of this notebook in autograder/course/contract.py; "
                f"add {exercise_id!r} there, or remove the cell's nbgrader mark."
            )


def _borrowed(cells: Sequence[Cell]) -> Iterator[str]:
    """Exercises of the contract that stand in a notebook which is none of its own: they would be paid twice."""
    homes = {exercise.id: exercise.notebook for exercise in EXERCISES}
    for cell in cells:
        if home := homes.get(cell.exercise or cell.id):
            yield (
                f"the cell {cell.id!r} belongs to {home}.ipynb by autograder/course/contract.py; "
                "remove this copy of it."
            )


def _written(exercise: Exercise, known: Mapping[str, Cell]) -> Iterator[str]:
    cell = known.get(exercise.id)
    if cell is None:
        yield f"the written answer {exercise.id!r} is missing; add it, or remove it from autograder/course/contract.py."
    elif cell.kind != "markdown" or not (cell.grade and cell.solution):
        yield f"the cell {exercise.id!r} must be a markdown cell of the kind 'Manually graded answer'; mark it so."
    else:
        yield from _worth(cell, exercise)


def _code(exercise: Exercise, known: Mapping[str, Cell]) -> Iterator[str]:
    from autograder.exams import EXAMS  # imports torch

    endings = ("", CHECK, TEST) if exercise.points else ("", CHECK)
    for missing in (f"{exercise.id}{ending}" for ending in endings if f"{exercise.id}{ending}" not in known):
        yield f"the cell {missing!r} is missing; add it, or remove {exercise.id!r} from autograder/course/contract.py."
    test = known.get(f"{exercise.id}{TEST}")
    if not exercise.points and (test or exercise.id in EXAMS):
        yield f"{exercise.id!r} has points of its own, but none in autograder/course/contract.py; give it some there."
    if exercise.points and test:
        yield from _worth(test, exercise)


def _worth(cell: Cell, exercise: Exercise) -> Iterator[str]:
    if cell.points != exercise.points:
        yield (
            f"the cell {cell.id!r} is worth {cell.points!r} points, "
            f"in autograder/course/contract.py {exercise.points:g}; make both the same."
        )
