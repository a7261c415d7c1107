"""What students receive: up to date, without answers, without exams, and enough to run on its own."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from autograder.commands.course import release_into
from autograder.commands.sample_class import MEMBERS, fill_in
from autograder.course import folders
from autograder.course.address import course_repository
from autograder.course.contract import EXERCISES, NOTEBOOKS
from pset4.settings import load_settings

SOURCE = folders.COURSE / "source" / folders.ASSIGNMENT
BEGIN, END = ("BEGIN SOLUTION", "BEGIN HIDDEN TESTS"), ("END SOLUTION", "END HIDDEN TESTS")

# Lines between the markers that are no answer on their own: they occur in any Python program.
COMMON = {"with torch.no_grad():", "x.requires_grad_()", "x = x.detach().clone()"}


def secret_lines() -> Iterator[tuple[str, str]]:
    """(notebook, line) for every line between the markers of a source notebook."""
    for name in NOTEBOOKS:
        for cell in nbformat.read(SOURCE / f"{name}.ipynb", as_version=4).cells:
            inside = False
            for line in cell.source.splitlines():
                if any(marker in line for marker in END):
                    inside = False
                if inside and line.strip() not in COMMON and len(line.strip()) > 8:
                    yield name, line.strip()
                if any(marker in line for marker in BEGIN):
                    inside = True


def released_text() -> str:
    cells = [
        cell.source
        for name in NOTEBOOKS
        for cell in nbformat.read(folders.RELEASED / f"{name}.ipynb", as_version=4).cells
    ]
    return "\n".join(cells)


def test_notebooks_are_generated_from_their_source(tmp_path: Path) -> None:
    settings = load_settings()  # a clone's own origin may stand in for an address that is not set
    address = course_repository(settings)

    def text(path: Path) -> str:
        return path.read_text(encoding="utf-8").replace(address, settings.repository)

    fresh = {path.name: text(path) for path in release_into(tmp_path)}
    there = {path.name: text(path) for path in folders.RELEASED.glob("*.ipynb")}
    stale = [name for name in fresh.keys() | there.keys() if fresh.get(name) != there.get(name)]
    assert stale == [], "run `make notebooks`"


def test_released_notebooks_hold_no_line_between_the_markers() -> None:
    lines, text = list(secret_lines()), released_text()
    assert len(lines) > 100
    assert [line for _, line in lines if line in text] == []


def test_wheel_holds_no_answer_and_no_exam(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        sources = [archive.read(name).decode("utf-8", "replace") for name in names if name.endswith((".py", ".ipynb"))]
    assert not [name for name in names if name.startswith(("autograder", "tests"))]
    text = "\n".join(sources)
    assert [line for _, line in secret_lines() if line in text] == []


def test_wheel_carries_the_data_and_the_settings(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {"pset4/data/manifest.json", "pset4/pset4.toml", "pset4/data/robust_animals57.safetensors"} <= names


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_released_notebook_has_the_cells_of_the_contract(name: str) -> None:
    notebook = nbformat.read(folders.RELEASED / f"{name}.ipynb", as_version=4)
    cells = {cell.metadata.nbgrader.grade_id: cell for cell in notebook.cells if "nbgrader" in cell.metadata}
    for exercise in (exercise for exercise in EXERCISES if exercise.notebook == name):
        answer = cells[exercise.id]
        assert answer.metadata.nbgrader.solution
        if exercise.form == "written":
            assert answer.cell_type == "markdown" and answer.metadata.nbgrader.points == exercise.points
            continue
        assert cells[f"{exercise.id}_check"].metadata.nbgrader.points == 0
        if exercise.points:
            assert cells[f"{exercise.id}_test"].metadata.nbgrader.points == exercise.points


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_released_notebook_has_a_badge_and_no_outputs(name: str) -> None:
    notebook = nbformat.read(folders.RELEASED / f"{name}.ipynb", as_version=4)
    assert "colab-badge.svg" in notebook.cells[0].source and f"/notebooks/{name}.ipynb" in notebook.cells[0].source
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
    assert "{{" not in "".join(cell.source for cell in notebook.cells if "course_" in cell.source)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_nbgrader_validate_passes_on_the_source_notebook(name: str) -> None:
    command = [sys.executable, "-m", "nbgrader", "validate", str(SOURCE / f"{name}.ipynb")]
    done = subprocess.run(command, cwd=folders.COURSE, text=True, capture_output=True)
    assert "Success! Your notebook passes all the tests." in done.stdout, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.fixture(scope="module")
def student_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has the wheel and the dependencies, and cannot see this checkout."""
    folder = tmp_path_factory.mktemp("student")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    libraries = Path(nbformat.__file__).parent.parent
    # A path file adds the dependencies; path files inside that folder (the editable install) are not followed.
    (packages / "dependencies.pth").write_text(f"{libraries}\n", encoding="utf-8")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    python = folder / "bin" / "python"
    script = "import importlib.util as u, pset4; print(pset4.__file__, u.find_spec('autograder'))"
    where = subprocess.run([str(python), "-c", script], check=True, capture_output=True, text=True, cwd=folder).stdout
    assert str(packages) in where and where.strip().endswith("None")
    return python


def run_alone(python: Path, folder: Path, environment: dict[str, str]) -> None:
    """Executes the four notebooks, solved, in a folder that holds nothing else."""
    solved = MEMBERS[0]
    for name in NOTEBOOKS:
        notebook = fill_in(nbformat.read(folders.RELEASED / f"{name}.ipynb", as_version=4), solved)
        nbformat.write(notebook, folder / f"{name}.ipynb")
    specs = folder.parent / "jupyter" / "kernels" / "python3"
    specs.mkdir(parents=True)
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Python 3", "language": "python"}
    (specs / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    execute = [str(python), "-m", "nbconvert", "--to", "notebook", "--execute", "--inplace"]
    notebooks = [f"{name}.ipynb" for name in NOTEBOOKS]
    environment = environment | {"JUPYTER_PATH": str(specs.parent.parent)}
    done = subprocess.run([*execute, *notebooks], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def charts(folder: Path) -> int:
    """Number of figures that the executed notebooks show."""
    notebooks = [nbformat.read(path, as_version=4) for path in folder.glob("*.ipynb")]
    outputs = [output for book in notebooks for cell in book.cells for output in cell.get("outputs", [])]
    return sum("image/png" in output.get("data", {}) for output in outputs)


def test_notebooks_run_alone_with_the_wheel(
    student_python: Path, tmp_path: Path, student_environment: dict[str, str]
) -> None:
    folder = tmp_path / "alone"
    folder.mkdir()
    run_alone(student_python, folder, student_environment | {"NBGRADER_EXECUTION": "autograde"})
    assert charts(folder) > 15


@pytest.mark.full
def test_notebooks_run_alone_with_all_their_iterations(
    student_python: Path, tmp_path: Path, student_environment: dict[str, str]
) -> None:
    folder = tmp_path / "alone"
    folder.mkdir()
    run_alone(student_python, folder, student_environment)
    assert charts(folder) > 15
