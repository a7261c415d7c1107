"""Source notebooks that the exams or the contract do not agree with are refused, by name, before anybody sees them."""

from __future__ import annotations

import copy
import dataclasses
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
import small_course
from nbconvert.exporters import NotebookExporter
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell
from nbgrader.converters import Autograde
from nbgrader.coursedir import CourseDirectory
from traitlets.config import PyFileConfigLoader

from autograder.commands import course as course_module
from autograder.commands.course import Course
from autograder.course import folders
from autograder.course.agreement import Disagreement, disagreements, refuse_disagreements
from autograder.course.contract import NOTEBOOKS
from autograder.course.preprocessors import RefuseDisagreements
from pset4.settings import load_settings

NAME = "problem3_backward"
EXAM = "from autograder.exams import grade\n\ngrade({!r}, globals())"
Change = Callable[[NotebookNode], None]


def source(name: str = NAME) -> NotebookNode:
    return nbformat.read(folders.SOURCE / f"{name}.ipynb", as_version=4)


def cell_of(notebook: NotebookNode, grade_id: str) -> NotebookNode:
    (found,) = [c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == grade_id]
    return found


def tagged(cell: NotebookNode, grade_id: str, **about: Any) -> NotebookNode:
    flags = {"grade": False, "solution": False, "locked": False, "task": False, "schema_version": 3}
    cell.metadata["nbgrader"] = flags | {"grade_id": grade_id} | about
    return cell


def hidden(body: str) -> str:
    return f"### BEGIN HIDDEN TESTS\n{body}\n### END HIDDEN TESTS"


def new_exercise(name: str, test: str, points: float = 6, body: str | None = None) -> Change:
    """An answer cell and a graded cell, as an instructor adds them."""

    def change(notebook: NotebookNode) -> None:
        answer = tagged(new_code_cell("### BEGIN SOLUTION\nx = 1\n### END SOLUTION"), name, solution=True)
        graded = tagged(new_code_cell(hidden(body or EXAM.format(name))), test, grade=True, locked=True, points=points)
        notebook.cells += [answer, graded]

    return change


def points(grade_id: str, value: Any) -> Change:
    return lambda notebook: cell_of(notebook, grade_id).metadata.nbgrader.update(points=value)


def flags(grade_id: str, **changed: bool) -> Change:
    return lambda notebook: cell_of(notebook, grade_id).metadata.nbgrader.update(changed)


def text(grade_id: str, old: str, new: str) -> Change:
    def change(notebook: NotebookNode) -> None:
        cell = cell_of(notebook, grade_id)
        assert old in cell.source
        cell.source = cell.source.replace(old, new)

    return change


def renamed(grade_id: str, new: str) -> Change:
    return lambda notebook: cell_of(notebook, grade_id).metadata.nbgrader.update(grade_id=new)


def removed(grade_id: str) -> Change:
    return lambda notebook: notebook.cells.remove(cell_of(notebook, grade_id))


def doubled(grade_id: str) -> Change:
    return lambda notebook: notebook.cells.append(copy.deepcopy(cell_of(notebook, grade_id)))


def added(cell: NotebookNode) -> Change:
    return lambda notebook: notebook.cells.append(copy.deepcopy(cell))


UPDATE, TEST, CHECK = "p3b_update", "p3b_update_test", "p3b_update_check"
BEGIN, END = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"
TASK = tagged(new_markdown_cell("Draw it."), "p3x_drawing", task=True, points=2)
MARKDOWN_TEST = tagged(new_markdown_cell("Well done."), "p3x_praise", grade=True, locked=True, points=2)
# What an instructor changed, and words of the sentence that must come of it.
CASES = {
    "a test without an exam": (new_exercise("p3f_conv2d", "p3f_conv2d_test"), "'p3f_conv2d_test' has no exam"),
    "a graded cell whose id does not end in _test": (
        new_exercise("p3f_conv2d", "p3f_hidden", body="assert x == 1"),
        "'p3f_hidden' is graded code worth 6 points, which nothing can grade",
    ),
    "hidden code in a cell that is no test": (
        new_exercise("p3f_conv2d", "p3f_hidden", body="assert x == 1"),
        "'p3f_hidden' holds hidden tests, and they would run in the student's process",
    ),
    "hidden tests in a check": (
        lambda notebook: cell_of(notebook, CHECK).update(source=hidden("assert update_kernel")),
        "'p3b_update_check' holds hidden tests",
    ),
    "hidden tests in a cell that nbgrader does not know": (added(new_code_cell(hidden("1 / 0"))), "holds hidden tests"),
    "more points in the notebook": (points(TEST, 9), "'p3b_update_test' is worth 9 points, its exam 2"),
    "fewer points in the notebook": (points(TEST, 1.5), "'p3b_update_test' is worth 1.5 points, its exam 2"),
    "points that the contract does not give": (points(TEST, 9), "worth 9 points, in autograder/course/contract.py 2"),
    "points that are no number": (points(TEST, None), "'p3b_update_test' is worth None points; give a number"),
    "points that are not finite": (points(TEST, float("nan")), "'p3b_update_test' is worth nan points"),
    "points below zero": (points(TEST, -2), "'p3b_update_test' is worth -2 points; give a number of at least 0"),
    "no points at all": (lambda notebook: cell_of(notebook, TEST).metadata.nbgrader.pop("points"), "worth None points"),
    "a check with points": (points(CHECK, 1), "'p3b_update_check' is worth 1 points, a visible check 0"),
    "written points": (points("p3c_boundaries", 3), "is worth 3 points, in autograder/course/contract.py 4"),
    "a written answer that is not graded": (flags("p3c_boundaries", grade=False), "must be a markdown cell"),
    "a written answer in a code cell": (
        lambda notebook: cell_of(notebook, "p3c_boundaries").update(cell_type="code"),
        "'p3c_boundaries' is graded code worth 4 points, which nothing can grade",
    ),
    "a test that is not graded": (flags(TEST, grade=False), "'p3b_update_test' is not of the kind 'Autograder tests'"),
    "a check that is not graded": (flags(CHECK, grade=False), "'p3b_update_check' is not of the kind"),
    "a test that students may change": (flags(TEST, solution=True), "'p3b_update_test' is not of the kind"),
    "an answer that is graded by hand": (flags(UPDATE, grade=True), "'p3b_update' is graded code"),
    "an answer that is none": (flags(UPDATE, solution=False), "'p3b_update_test' needs a code cell 'p3b_update'"),
    "a missing test": (removed(TEST), "the cell 'p3b_update_test' is missing"),
    "a missing check": (removed(CHECK), "the cell 'p3b_update_check' is missing"),
    "a missing answer": (removed(UPDATE), "the cell 'p3b_update' is missing"),
    "a missing written answer": (removed("p3e_boundaries"), "the written answer 'p3e_boundaries' is missing"),
    "a renamed test": (renamed(TEST, "p3b_new_test"), "'p3b_new_test' has no exam"),
    "an id on two cells": (doubled(TEST), "the id 'p3b_update_test' stands on 2 cells"),
    "a cell without an id": (renamed(TEST, ""), "have nbgrader marks but no id"),
    "another exercise's exam": (
        text(TEST, '"p3b_update"', '"p3a_conv_matrix"'),
        "'p3b_update_test' must hold `from autograder.exams import grade` and `grade('p3b_update', globals())`",
    ),
    "no exam in the body": (text(TEST, 'grade("p3b_update", globals())', "2.0"), "'p3b_update_test' must hold"),
    "asserts beside the exam": (text(TEST, "from auto", "assert update_kernel\nfrom auto"), "and no other code"),
    "visible code in a test": (text(TEST, BEGIN, f"assert update_kernel\n{BEGIN}"), "and no other code"),
    "a test that is shown": (text(TEST, BEGIN, "#"), "has 'END HIDDEN TESTS' without 'BEGIN HIDDEN TESTS' before it"),
    "hidden tests without an end": (text(TEST, END, "#"), "has 'BEGIN HIDDEN TESTS' without 'END HIDDEN TESTS'"),
    "hidden tests that begin twice": (text(TEST, BEGIN, f"{BEGIN}\n{BEGIN}"), "'BEGIN HIDDEN TESTS' twice"),
    "a misspelled begin": (text(TEST, BEGIN, "### BEGIN HIDEN TESTS"), "'### BEGIN HIDEN TESTS', which is not quite"),
    "a misspelled end": (text(TEST, END, "### END HIDDEN TEST"), "'### END HIDDEN TEST', which is not quite"),
    "a marker in small letters": (text(TEST, BEGIN, "### begin hidden tests"), "'### begin hidden tests', which is"),
    "a marker with two spaces": (text(TEST, BEGIN, "### BEGIN  HIDDEN TESTS"), "which is not quite"),
    "a misspelled solution": (text(UPDATE, "### BEGIN SOLUTION", "### BEGIN SOLUTON"), "'### BEGIN SOLUTON', which is"),
    "a solution without an end": (text(UPDATE, "### END SOLUTION", ""), "'BEGIN SOLUTION' without 'END SOLUTION'"),
    "tests that nbgrader makes": (text(TEST, BEGIN, f"### AUTOTEST x\n{BEGIN}"), "and no other code"),
    "a task": (added(TASK), "'p3x_drawing' is a manually graded task"),
    "graded text that is no answer": (added(MARKDOWN_TEST), "nbgrader would give everybody full marks"),
    "an answer that no contract knows": (
        added(tagged(new_code_cell("x = 1"), "p3x_extra", solution=True)),
        "'p3x_extra' belongs to no exercise of this notebook in autograder/course/contract.py",
    ),
    "an exercise of another notebook": (
        new_exercise("p1a_conv1d", "p1a_conv1d_test"),
        "'p1a_conv1d_test' belongs to no exercise of this notebook",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_courses_own_notebooks_agree(name: str) -> None:
    assert disagreements(name, source(name)) == []


@pytest.mark.parametrize("case", CASES)
def test_what_disagrees_is_named(case: str) -> None:
    change, words = CASES[case]
    notebook = source()
    change(notebook)
    found = disagreements(NAME, notebook)
    assert any(words in sentence for sentence in found), found
    assert all(sentence.startswith(f"{NAME}.ipynb: ") and sentence.endswith((".", "`")) for sentence in found)


def test_looking_changes_nothing() -> None:
    notebook = source()
    before = copy.deepcopy(notebook)
    disagreements(NAME, notebook)
    assert notebook == before


def test_an_answer_without_points_needs_a_check_and_no_exam() -> None:
    notebook = source("problem4_adversarial")
    assert "p4f_images" in json.dumps(notebook) and "p4f_images_test" not in json.dumps(notebook)
    new_exercise("p4f_images", "p4f_images_test", points=0)(notebook)
    assert any("'p4f_images_test' has no exam" in s for s in disagreements("problem4_adversarial", notebook))


def test_a_notebook_that_the_contract_does_not_know_is_held_against_the_exams() -> None:
    small_course.register()
    notebook = small_course.source_notebook()
    assert disagreements("problem0_small", notebook) == []
    cell_of(notebook, "s1_double_test").metadata.nbgrader.points = 6.0
    (sentence,) = disagreements("problem0_small", notebook)
    assert "'s1_double_test' is worth 6 points, its exam 5" in sentence


def test_a_copy_of_a_notebook_is_refused_since_its_exercises_would_be_paid_twice() -> None:
    found = disagreements("problem3_backward_old", source())
    assert any("'p3b_update_test' belongs to problem3_backward.ipynb" in sentence for sentence in found)


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A course with this course's configuration, whose source an instructor has changed."""
    shutil.copytree(folders.SOURCE, tmp_path / "source" / folders.ASSIGNMENT)
    return tmp_path


def change_on_disk(course: Path, change: Change) -> None:
    path = course / "source" / folders.ASSIGNMENT / f"{NAME}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    change(notebook)
    nbformat.write(notebook, path)


def test_nbgrader_releases_nothing_and_says_why_in_one_line(course: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change_on_disk(course, points(TEST, 9))
    shutil.copy(folders.COURSE / "nbgrader_config.py", course)
    monkeypatch.setattr(course_module, "COURSE", course)
    assert Course(course).nbgrader("generate_assignment", folders.ASSIGNMENT) == 1
    sentence = f"{NAME}.ipynb: the cell '{TEST}' is worth 9 points, its exam 2;"
    log = Course(course).log.read_text()
    assert any("| ERROR]" in line and sentence in line for line in log.splitlines()), log[-2000:]
    assert list(course.glob("release/**/*.ipynb")) == []


def test_a_class_is_not_graded_with_notebooks_that_disagree(course: Path) -> None:
    folder = course / "source" / folders.ASSIGNMENT
    refuse_disagreements(folder)
    change_on_disk(course, new_exercise("p3f_conv2d", "p3f_conv2d_test"))
    (folder / "problem2_classification.ipynb").write_text("no notebook")
    with pytest.raises(Disagreement) as refused:
        refuse_disagreements(folder)
    assert any("problem2_classification.ipynb cannot be read" in sentence for sentence in refused.value.sentences)
    assert any("'p3f_conv2d_test' has no exam" in sentence for sentence in refused.value.sentences)
    assert str(refused.value) == "\n".join(refused.value.sentences)


def test_a_folder_without_notebooks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Disagreement, match="holds no source notebook"):
        refuse_disagreements(tmp_path)


def test_a_submission_is_not_graded_in_nbgraders_own_kernel_either(course: Path) -> None:
    folder = CourseDirectory(root=str(course), source_directory=str(course / "source"), assignment_id="pset4")
    refuse = RefuseDisagreements(parent=NotebookExporter(parent=Autograde(coursedir=folder)))
    submitted = nbformat.read(folders.RELEASED / f"{NAME}.ipynb", as_version=4)
    about = {"nbgrader": {"notebook": NAME, "assignment": "pset4", "student": "ada"}}
    assert refuse.preprocess(submitted, about) == (submitted, about)
    change_on_disk(course, points(TEST, 9))
    with pytest.raises(Disagreement, match="'p3b_update_test' is worth 9 points, its exam 2"):
        refuse.preprocess(submitted, about)


@pytest.mark.parametrize("command", ["GenerateAssignment.preprocessors", "Autograde.autograde_preprocessors"])
def test_the_course_asks_before_it_does_anything_else(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = dataclasses.replace(load_settings(), two_processes=False)
    monkeypatch.setattr("pset4.settings.load_settings", lambda: settings)
    config = PyFileConfigLoader("nbgrader_config.py", path=str(folders.COURSE)).load_config()
    converter, trait = command.split(".")
    assert config[converter][trait][0] is RefuseDisagreements


def test_the_projects_own_command_prints_the_sentences_alone(
    course: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from autograder import tool as command

    change_on_disk(course, new_exercise("p3f_conv2d", "p3f_hidden"))
    monkeypatch.setattr(course_module, "SOURCE", course / "source" / folders.ASSIGNMENT)
    monkeypatch.setattr(folders, "RELEASED", tmp_path / "notebooks")
    monkeypatch.setattr(sys, "argv", ["autograder", "notebooks"])
    with pytest.raises(SystemExit) as ended:
        command.main()
    said = capsys.readouterr().err
    assert ended.value.code == 1 and "'p3f_hidden' is graded code" in said
    assert "Traceback" not in said
    assert not (tmp_path / "notebooks").exists()
