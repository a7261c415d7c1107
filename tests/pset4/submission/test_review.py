"""What is open, missing or out of order is named; everything is handed in all the same."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from handed_in import answered

from autograder.course import contract
from autograder.course.folders import RELEASED
from pset4.submission.contents import sections
from pset4.submission.exercises import EXERCISES, NOTEBOOKS
from pset4.submission.notebooks import Cell, Notebook, find, parse
from pset4.submission.review import remarks, still_open

Table = dict[str, Any]
NOW = datetime.fromisoformat("2026-03-03T12:00:00+00:00")
BY_ID = {exercise.id: exercise for exercise in EXERCISES}


def released(name: str) -> Table:
    table: Table = json.loads((RELEASED / f"{name}.ipynb").read_text(encoding="utf-8"))
    return table


def notebook(name: str, table: Any) -> Notebook:
    content = table if isinstance(table, bytes) else json.dumps(table).encode()
    return parse(name, Path(f"{name}.ipynb"), content, NOW)


def with_answer(exercise: str, source: str, *helpers: str) -> Notebook:
    kind = "code" if BY_ID[exercise].names else "markdown"
    cells = (*(Cell("code", helper) for helper in helpers), Cell(kind, source, name=exercise))
    return Notebook(BY_ID[exercise].notebook, Path("x.ipynb"), b"", NOW, cells)


def test_a_student_sees_the_exercises_of_the_contract() -> None:
    mine = [(e.id, e.notebook, "code" if e.names else "written", e.points, e.bonus) for e in EXERCISES]
    assert mine == [(e.id, e.notebook, e.form, e.points, e.bonus) for e in contract.EXERCISES]
    assert tuple(NOTEBOOKS) == contract.NOTEBOOKS


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_titles_and_cells_are_those_of_the_released_notebook(name: str) -> None:
    text = (RELEASED / f"{name}.ipynb").read_text(encoding="utf-8")
    assert NOTEBOOKS[name] in text
    headings = dict(re.findall(r"### Exercise `(\w+)`: (.+?)\\n", text))
    assert headings == {e.id: e.title for e in EXERCISES if e.notebook == name}
    found = {cell.name for cell in notebook(name, released(name)).cells}
    assert {cell for e in EXERCISES if e.notebook == name for cell in e.cells} <= found


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.id)
def test_an_exercise_is_open_as_released_and_closed_once_answered(exercise: Any) -> None:
    assert still_open(exercise, notebook(exercise.notebook, released(exercise.notebook)))
    assert still_open(exercise, notebook(exercise.notebook, answered(released(exercise.notebook)))) == ""


STUB = 'def conv1d(x_in, kernel):\n    """Convolves."""\n    # Your code here.\n    raise NotImplementedError("open")'


@pytest.mark.parametrize(
    ("exercise", "source", "reason"),
    [
        ("p1a_conv1d", "def conv1d(x, k):\n    return x", ""),
        ("p1a_conv1d", "conv1d = lambda x, k: x", ""),
        ("p1a_conv1d", "%%time\ndef conv1d(x, k):\n    !ls\n    return x", ""),
        ("p1a_conv1d", "if True:\n    def conv1d(x, k):\n        return x", ""),
        ("p1a_conv1d", STUB, "`conv1d` is as the course gave it"),
        ("p1a_conv1d", 'def conv1d(x, k):\n    """Mine."""', "`conv1d` is as the course gave it"),
        ("p1a_conv1d", "", "`conv1d` is defined nowhere"),
        ("p1a_conv1d", "def conv1d(x, k:\n    pass", "a syntax error in line 1"),
        ("p1a_conv1d", "(" * 500, "a syntax error"),
        ("p1b_maxpool1d", f"def pool_size(a, b): return a\n{STUB.replace('conv1d', 'maxpool1d')}", "`maxpool1d` is as"),
        ("p2c_corgi", "predicted_class = ...\npredicted_probability = 0.5", "`predicted_class` is still `...`"),
        ("p2c_corgi", "predicted_class = ...\npredicted_class, predicted_probability = f()", ""),
        ("p2c_corgi", "[[(predicted_class, predicted_probability)]] = f()", ""),
        ("p2c_corgi", "predicted_class = 1", "`predicted_probability` is defined nowhere"),
        ("p4f_images", "robust_images = {1: ..., 2: ...}", "`robust_images` is still `...`"),
        ("p4f_images", "robust_images = {}\nfor i in t:\n    robust_images[i] = f(i)", ""),
        (
            "p4b_tiger_cat",
            'adversarial_tiger_cat = 1\nraise NotImplementedError("x")',
            "still raises NotImplementedError",
        ),
        ("p1a_equation", "", "not answered"),
        ("p1a_equation", " \n*Your answer here.*\n", "not answered"),
        ("p1a_equation", "*Your answer here.*\nIt is so.", ""),
    ],
)
def test_what_is_still_open_is_said(exercise: str, source: str, reason: str) -> None:
    found = still_open(BY_ID[exercise], with_answer(exercise, source))
    assert reason in found and bool(reason) == bool(found)


def test_an_answer_in_a_cell_of_ones_own_counts() -> None:
    submitted = with_answer("p1a_conv1d", "# see above", "def conv1d(x, k):\n    return x")
    assert still_open(BY_ID["p1a_conv1d"], submitted) == ""


def delete(name: str) -> Callable[[Table], None]:
    def change(table: Table) -> None:
        table["cells"] = [c for c in table["cells"] if c["metadata"].get("nbgrader", {}).get("grade_id") != name]

    return change


def unmark(table: Table) -> None:
    for cell in table["cells"]:
        cell["metadata"] = {}


def forget(table: Table) -> None:
    for cell in table["cells"]:
        cell.pop("execution_count", None)


def swap(table: Table) -> None:
    code = [cell for cell in table["cells"] if cell["cell_type"] == "code"]
    code[2]["execution_count"], code[4]["execution_count"] = code[4]["execution_count"], code[2]["execution_count"]


def skip(table: Table) -> None:
    next(cell for cell in table["cells"] if cell.get("id") == "p1_imports")["execution_count"] = None


def fail(table: Table) -> None:
    cell = next(cell for cell in table["cells"] if cell.get("id") == "p1_imports")
    cell["outputs"] = [{"output_type": "error", "ename": "NameError", "evalue": "name 'x'\nmore", "traceback": []}]


def hand_in_cell(table: Table) -> None:
    table["cells"].append({"cell_type": "code", "source": 'handin("Ada")', "metadata": {}, "outputs": []})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda table: None, []),
        (hand_in_cell, []),
        (delete("p1a_conv1d_check"), ["one cell of the course is gone: p1a_conv1d_check"]),
        (unmark, ["none of its cells has the course's marks"]),
        (forget, ["it was never run: restart"]),
        (swap, ["not run from top to bottom"]),
        (skip, ["one cell was not run (the cell is `p1_imports`)"]),
        (fail, ["one cell ends in an error; it is `p1_imports`: NameError: name 'x'"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_remark_says_what_to_look_at(change: Callable[[Table], None], expected: list[str]) -> None:
    table = answered(released("problem1_forward"))
    change(table)
    found = remarks(notebook("problem1_forward", table))
    assert len(found) == len(expected)
    assert all(words in line for words, line in zip(expected, found, strict=True))


@pytest.mark.parametrize(
    "content", [b"", b"no json", b"[]", b'{"cells": 3}', b'{"worksheets": []}', b"\xff\xfe", b"[" * 100_000]
)
def test_what_is_no_notebook_is_said_to_be_none(content: bytes) -> None:
    (line,) = remarks(notebook("problem1_forward", content))
    assert "cannot be read" in line


def test_cells_of_any_shape_are_read() -> None:
    cells = [3, {}, {"cell_type": "code", "source": 5, "outputs": 7, "metadata": [], "execution_count": "x"}]
    cells += [{"cell_type": "code", "outputs": [1, {"output_type": "error"}, {"data": 4}, {"data": {"image/png": 2}}]}]
    odd = notebook("problem1_forward", {"cells": cells})
    assert remarks(odd) and sections({"problem1_forward": odd})


def test_a_colab_notebook_keeps_its_cells_names() -> None:
    table = {"cells": [{"cell_type": "code", "source": "x", "metadata": {"id": "p1a_look"}, "execution_count": 1}]}
    assert notebook("problem1_forward", table).cells[0].id == "p1a_look"


def test_a_copy_is_taken_where_the_notebook_itself_is_not(tmp_path: Path) -> None:
    copy = tmp_path / "Copy of problem1_forward (1).ipynb"
    copy.write_text("{}")
    assert find("problem1_forward", [tmp_path / "nowhere", tmp_path]) == copy
    (tmp_path / "problem1_forward.ipynb").write_text("{}")
    assert find("problem1_forward", [tmp_path]) == tmp_path / "problem1_forward.ipynb"


def test_helpers_that_an_answer_uses_come_with_it_and_the_courses_cells_do_not() -> None:
    cells = (
        Cell("code", "import math\n\ndef scale(x):\n    return math.pi * inner(x)"),
        Cell("code", "def inner(x):\n    return x"),
        Cell("code", "def unrelated(kernel):\n    return kernel"),
        Cell("code", "scale = 3", id="p1a_look"),
        Cell("code", "def conv1d(x_in, kernel):\n    return scale(x_in)", name="p1a_conv1d"),
    )
    read = Notebook("problem1_forward", Path("x.ipynb"), b"", NOW, cells)
    section = next(s for s in sections({"problem1_forward": read}) if s.exercise.id == "p1a_conv1d")
    assert section.code == (cells[0].source, cells[1].source, cells[4].source)
