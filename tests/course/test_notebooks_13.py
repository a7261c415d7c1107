"""The source notebooks of problems 1 and 3: built as agreed, true in what they say, and silent about the answers."""

import ast
import re

import nbformat
import pytest
import torch
from nbformat import NotebookNode

from autograder.answers import reference
from autograder.course.contract import EXERCISES, Exercise
from autograder.course.folders import SOURCE

NAMES = ("problem1_forward", "problem3_backward")
MINE = [exercise for exercise in EXERCISES if exercise.notebook in NAMES]
CODE = [exercise for exercise in MINE if exercise.form == "code"]
WRITTEN = [exercise for exercise in MINE if exercise.form == "written"]
SIGNATURES = {
    "p1a_conv1d": ["def conv1d(x_in: Tensor, kernel: Tensor) -> Tensor:"],
    "p1b_maxpool1d": [
        "def pool_size(n_in: int, n_out: int) -> int:",
        "def maxpool1d(x_in: Tensor, size: int) -> Tensor:",
    ],
    "p3a_conv_matrix": ["def conv1d_matrix(kernel: Tensor, n: int) -> Tensor:"],
    "p3a_backward_input": ["def conv1d_backward_input(grad_out: Tensor, kernel: Tensor) -> Tensor:"],
    "p3b_backward_kernel": ["def conv1d_backward_kernel(grad_out: Tensor, x_in: Tensor, kernel_size: int) -> Tensor:"],
    "p3b_update": ["def update_kernel(kernel: Tensor, grad_kernel: Tensor, learning_rate: float) -> Tensor:"],
    "p3d_maxpool_backward": ["def maxpool1d_backward(grad_out: Tensor, x_in: Tensor, size: int) -> Tensor:"],
}
# (cell, function that its table is about, or "" where the first column is a call), number of rows
TABLES = [
    ("p1a_conv1d_task", "conv1d", 4),
    ("p1b_maxpool1d_task", "", 4),
    ("p3a_conv_matrix_task", "", 3),
    ("p3a_backward_input_task", "conv1d_backward_input", 3),
    ("p3b_backward_kernel_task", "conv1d_backward_kernel", 4),
    ("p3d_task", "maxpool1d_backward", 4),
]


def read(name: str) -> NotebookNode:
    return nbformat.read(SOURCE / f"{name}.ipynb", as_version=4)


def cells(name: str) -> dict[str, NotebookNode]:
    return {cell.id: cell for cell in read(name).cells}


def without_markers(source: str) -> str:
    """What is left of a cell for students."""
    return re.sub(
        r"^[^\n]*### BEGIN (SOLUTION|HIDDEN TESTS).*?### END \1[^\n]*$", "", source, flags=re.DOTALL | re.MULTILINE
    )


def answers(name: str) -> dict[str, object]:
    """What the answer cells of a notebook define."""
    namespace: dict[str, object] = {}
    exec("import torch\nimport torch.nn.functional as F\nfrom torch import Tensor", namespace)
    for exercise in CODE:
        if exercise.notebook == name:
            exec(cells(name)[exercise.id].source, namespace)
    return namespace


def as_tensors(text: str) -> str:
    """Python code in which the innermost lists have become tensors; nested lists become matrices."""
    one_row = re.sub(r"\[[^\[\]]*\]", lambda match: f"torch.tensor({match.group()}, dtype=torch.float64)", text)
    return re.sub(r"\[(torch\.tensor[^\n]*)\]$", r"torch.stack([\1])", one_row)


@pytest.mark.parametrize("name", NAMES)
def test_notebooks_hold_neither_outputs_nor_counts(name):
    notebook = read(name)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    for cell in notebook.cells:
        assert cell.cell_type == "markdown" or (cell.outputs == [] and cell.execution_count is None)


@pytest.mark.parametrize("name", NAMES)
def test_cell_ids_are_stable_and_are_nbgraders_ids_too(name):
    for cell in read(name).cells:
        assert re.fullmatch(r"p[13][a-e]?_\w+", cell.id)
        nbgrader = cell.metadata.get("nbgrader")
        if nbgrader is not None:
            assert nbgrader.grade_id == cell.id
            assert nbgrader.schema_version == 3


@pytest.mark.parametrize("name", NAMES)
def test_graded_cells_are_those_of_the_contract_in_its_order(name):
    wanted = []
    for exercise in MINE:
        if exercise.notebook == name:
            wanted += [exercise.id] if exercise.form == "written" else [f"{exercise.id}_check", f"{exercise.id}_test"]
    graded = [cell.id for cell in read(name).cells if cell.metadata.get("nbgrader", {}).get("grade")]
    assert graded == wanted


@pytest.mark.parametrize("exercise", CODE, ids=lambda exercise: exercise.id)
def test_code_exercises_have_answer_check_and_exam(exercise: Exercise):
    all_cells = cells(exercise.notebook)
    answer, check, exam = (all_cells[exercise.id + end] for end in ("", "_check", "_test"))
    flags = [
        (c.metadata.nbgrader.solution, c.metadata.nbgrader.grade, c.metadata.nbgrader.locked)
        for c in (answer, check, exam)
    ]
    assert flags == [(True, False, False), (False, True, True), (False, True, True)]
    assert check.metadata.nbgrader.points == 0
    assert exam.metadata.nbgrader.points == exercise.points
    assert re.fullmatch(rf"checks\.{exercise.id}\([\w, ]+\)", check.source)
    assert exam.source.splitlines()[1:] == [
        "### BEGIN HIDDEN TESTS",
        "from autograder.exams import grade",
        "",
        f'grade("{exercise.id}", globals())',
        "### END HIDDEN TESTS",
    ]
    order = list(all_cells)
    assert order.index(exercise.id) < order.index(check.id) < order.index(exam.id)


@pytest.mark.parametrize("exercise", CODE, ids=lambda exercise: exercise.id)
def test_students_get_signature_and_docstring_only(exercise: Exercise):
    left = without_markers(cells(exercise.notebook)[exercise.id].source)
    statements = [line for line in re.sub(r'"""[\s\S]*?"""', "", left).splitlines() if line.strip()]
    assert statements == SIGNATURES[exercise.id]
    assert left.count('"""') == 2 * len(statements)


def bodies(source: str) -> dict[str, str]:
    """What each function of a cell does: its statements without docstring, annotations and comments."""
    functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    return {
        f.name: "\n".join(ast.unparse(line) for line in f.body[ast.get_docstring(f) is not None :]) for f in functions
    }


@pytest.mark.parametrize("exercise", CODE, ids=lambda exercise: exercise.id)
def test_answers_are_the_references_of_the_bank(exercise: Exercise):
    assert bodies(cells(exercise.notebook)[exercise.id].source) == bodies(reference(exercise.id).source)


@pytest.mark.parametrize("exercise", WRITTEN, ids=lambda exercise: exercise.id)
def test_written_answers_carry_a_rubric_that_adds_up_and_is_not_released(exercise: Exercise):
    cell = cells(exercise.notebook)[exercise.id]
    assert cell.cell_type == "markdown"
    nbgrader = cell.metadata.nbgrader
    assert (nbgrader.grade, nbgrader.solution, nbgrader.locked, nbgrader.points) == (True, True, False, exercise.points)
    assert without_markers(cell.source).strip() == ""
    amounts = re.findall(r"^- (\d?½?) points?:", cell.source.split("**Rubric**")[1], flags=re.MULTILINE)
    assert sum({"½": 0.5, "1½": 1.5}.get(amount) or float(amount) for amount in amounts) == exercise.points


@pytest.mark.parametrize("name", NAMES)
def test_title_has_the_badge_and_the_points_and_minutes_of_every_exercise(name):
    title = read(name).cells[0].source
    assert f"github/{{{{ course_repository }}}}/blob/{{{{ course_branch }}}}/notebooks/{name}.ipynb" in title
    rows = re.findall(r"^\| `(\w+)`<br>.+ \| (\d+) \| (\d+) \|$", title, flags=re.MULTILINE)
    mine = [exercise for exercise in MINE if exercise.notebook == name]
    assert [(row[0], float(row[1])) for row in rows] == [(exercise.id, exercise.points) for exercise in mine]
    totals = [sum(int(row[column]) for row in rows) for column in (1, 2)]
    assert f"| **together** | **{totals[0]}** | **{totals[1]}** |" in title
    text = "\n".join(cell.source for cell in read(name).cells)
    for exercise_id, points, minutes in rows:
        announced = (
            rf"### Exercise `{exercise_id}`: .+\n\n\*{points} points, about {minutes} minutes\* · difficulty [●○]{{5}}"
        )
        assert re.search(announced, text)


@pytest.mark.parametrize(("cell", "function", "n_rows"), TABLES, ids=[table[0] for table in TABLES])
def test_worked_tables_are_true(cell, function, n_rows):
    name = NAMES[0] if cell.startswith("p1") else NAMES[1]
    namespace = answers(name)
    rows = [line for line in cells(name)[cell].source.splitlines() if re.match(r"\| `[^|]*[\]\)]` \|", line)]
    rows = [row for row in rows if "[" in row or "(" in row]
    data = [row for row in rows if not re.search(r"`x_in`|`grad_out`", row)]
    assert len(data) == n_rows
    for row in data:
        columns = [column.strip() for column in row.strip("|").split("|")]
        arguments = [column.strip("`") for column in columns[:-1]]
        call = f"{function}({', '.join(arguments)})" if function else arguments[0]
        result = torch.as_tensor(eval(as_tensors(call), namespace))
        accepted = [eval(as_tensors(text.strip("` ")), namespace) for text in columns[-1].split(" or ")]
        assert any(torch.equal(result, torch.as_tensor(value)) for value in accepted), row


def test_worked_examples_by_hand_are_true():
    forward, backward = answers(NAMES[0]), answers(NAMES[1])

    def numbers(*values):
        return torch.tensor(values, dtype=torch.float64)

    assert forward["conv1d"](numbers(1, 2, 3), numbers(1, 0, -1)).tolist() == [2, 2, -2]
    assert forward["conv1d"](numbers(1, 2, 3), numbers(-1, 0, 1)).tolist() == [-2, -2, 2]  # what libraries return
    grad_out, kernel = numbers(1, 0, 2), numbers(1, 2, 3)
    assert (backward["conv1d_matrix"](kernel, 3) @ grad_out).tolist() == [2, 5, 4]  # forwards, "a different thing"
    assert backward["update_kernel"](kernel, numbers(5, 16, 10), 0.1).tolist() == pytest.approx([0.5, 0.4, 2])


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_runs_with_the_answers_in(name, monkeypatch, capsys):
    alternatives = []

    def display(shown, metadata=None, raw=False):
        found = metadata.values() if raw else [{"alt": getattr(shown, "alt", "a table is words")}]
        alternatives.extend(about["alt"] for about in found)

    monkeypatch.setattr("IPython.display.display", display)
    namespace: dict[str, object] = {"display": display}
    for cell in read(name).cells:
        if cell.cell_type == "code" and not cell.id.endswith(("_setup", "_check", "_test")):
            exec(compile(cell.source, cell.id, "exec"), namespace)
    assert len(alternatives) >= 6
    assert all(alternatives)


# What the exercises ask for: it stands in the answers, and students must not find it between the lines.
GIVEAWAYS = {
    "problem1_forward": [r"n\s*-\s*m", r"n\s*-\s*j", r"N\s*-\s*M", r"n_in\s*-\s*n_out", r"unfold\(", r"flip\("],
    "problem3_backward": [r"M\^T", r"[Tt]ranspos", r"n\s*-\s*m", r"n\s*-\s*j", r"infty", r"unfold\(", r"argmax\("],
}


@pytest.mark.parametrize(("name", "giveaway"), [(name, giveaway) for name in NAMES for giveaway in GIVEAWAYS[name]])
def test_answers_stand_between_the_markers_only(name, giveaway):
    sources = [cell.source for cell in read(name).cells]
    assert re.search(giveaway, "\n".join(sources))
    assert not re.search(giveaway, "\n".join(without_markers(source) for source in sources))
