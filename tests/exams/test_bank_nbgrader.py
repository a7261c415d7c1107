"""`nbgrader autograde`, with the course's settings, gives answers of the bank the points that they declare."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from small_course import sandbox_options

from autograder.answers import Answer, answers_for
from autograder.answers.notebook import write_answers
from autograder.commands import table
from autograder.commands.course import Course
from autograder.commands.sample_class import grade_id
from autograder.course.contract import AUTO_GRADED, NOTEBOOKS, Exercise
from autograder.course.folders import ASSIGNMENT

SLOW = {"too_slow"}  # endless loops: the sample class has one


def answers_of(exercise: str) -> list[Answer]:
    """The bank's answers, without those that run into time limits."""
    return [answer for answer in answers_for(exercise) if answer.misconception not in SLOW]


def chosen(exercises: list[Exercise], number: int) -> dict[str, Answer]:
    """One answer for each exercise: submission `number` takes every fifth answer, each exercise from another start."""
    answers = {}
    for place, exercise in enumerate(exercises):
        bank = answers_of(exercise.id)
        answers[exercise.id] = bank[(5 * number + 3 * place) % len(bank)]
    return answers


def deserved(answers: dict[str, Answer]) -> dict[str, float]:
    """Points of each exercise, from what its answer declares to lose."""
    points = {}
    for exercise, answer in answers.items():
        points[f"{exercise}_test"] = pytest.approx(answer.points, abs=1e-6)
    return points


def fill(notebook: NotebookNode, answers: dict[str, Answer], *, demonstrations: bool) -> NotebookNode:
    """The notebook with these answers; without demonstrations, only cells that nbgrader knows are kept."""
    released = [cell for cell in notebook.cells if grade_id(cell) or demonstrations]
    notebook.cells = write_answers(released, answers)
    return notebook


def grade_all(course: Course, submissions: dict[str, dict[str, Answer]], *, demonstrations: bool) -> None:
    """Hands in and grades; each submission holds the notebooks that its answers belong to."""
    course.release()
    for student, answers in submissions.items():
        folder = course.submitted / student / ASSIGNMENT
        folder.mkdir(parents=True)
        notebooks = {exercise.notebook for exercise in AUTO_GRADED if exercise.id in answers}
        for name in notebooks:
            released = nbformat.read(course.released / f"{name}.ipynb", as_version=4)
            nbformat.write(fill(released, answers, demonstrations=demonstrations), folder / f"{name}.ipynb")
    course.autograde(*sandbox_options())


def points_of(course: Course) -> dict[str, dict[str, float]]:
    return {row.student: row.by_cell for row in table.read_rows(course.root)}


def compare(course: Course, submissions: dict[str, dict[str, Answer]]) -> None:
    graded = points_of(course)
    for student, answers in submissions.items():
        got = {cell: graded[student][cell] for cell in deserved(answers)}
        assert got == deserved(answers), {exercise: answer.name for exercise, answer in answers.items()}


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("count", [8, pytest.param(30, marks=pytest.mark.full)])
def test_submissions_to_problems_1_and_3_get_what_they_declare(count: int, tmp_path: Path) -> None:
    submissions = {}
    for number in range(count):
        notebook = NOTEBOOKS[0] if number % 2 else NOTEBOOKS[2]
        exercises = [exercise for exercise in AUTO_GRADED if exercise.notebook == notebook]
        submissions[f"student{number:02}"] = chosen(exercises, number)
    course = Course(tmp_path / "course")
    grade_all(course, submissions, demonstrations=False)
    compare(course, submissions)


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_ten_whole_submissions_get_what_they_declare(tmp_path: Path) -> None:
    # The attacked photos of problem 4 hang on `p4a_attack`; each exercise's declared losses hold beside right ones.
    independent = [exercise for exercise in AUTO_GRADED if exercise.id not in {"p4b_tiger_cat", "p4e_robust"}]
    submissions = {}
    for number in range(10):
        answers = chosen(independent, number)
        right = [answer for answer in answers_of("p4a_attack") if answer.right]
        submissions[f"student{number:02}"] = answers | {"p4a_attack": right[number % len(right)]}
        for exercise in ("p4b_tiger_cat", "p4e_robust"):
            bank = answers_of(exercise)
            submissions[f"student{number:02}"][exercise] = bank[number % len(bank)]
    course = Course(tmp_path / "course")
    grade_all(course, submissions, demonstrations=True)
    compare(course, submissions)
