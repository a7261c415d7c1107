"""The sample class, graded with nbgrader's own commands, gets what each member deserves."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from nbgrader.api import Gradebook

from autograder.commands import table
from autograder.commands.course import Course
from autograder.commands.sample_class import MEMBERS, UNREADABLE, Member
from autograder.course import folders
from autograder.course.contract import AUTO_GRADED, BONUS, EXERCISES, NOTEBOOKS, POINTS

WRITTEN = [exercise for exercise in EXERCISES if exercise.form == "written"]

# What each wrong member loses, cell by cell; everyone else loses nothing. Written down here a second time on purpose:
# `Member.deserves` is computed from the bank of answers, and this list says what a reader expects.
LOSES = {
    "correlation": {"p1a_conv1d"},
    "average_factor": {"p1b_maxpool1d"},
    "overwrites": {"p3d_maxpool_backward"},
    "wrong_sign": {"p4a_attack"},
    "softmax_batch": {"p2b_probabilities"},
    "raises": {"p3b_update"},
    "endless": {"p1a_conv1d"},
    "nothing": {exercise.id for exercise in AUTO_GRADED},
}


def rows(course: Course) -> dict[str, table.Row]:
    return {row.student: row for row in table.read_rows(course.root)}


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.name)
def test_member_gets_what_it_deserves(graded: Course, member: Member) -> None:
    row = rows(graded)[member.name]
    got = {exercise.id: row.by_cell[f"{exercise.id}_test"] for exercise in AUTO_GRADED}
    assert got == pytest.approx(member.deserves(), abs=1e-6)
    lost = {exercise.id for exercise in AUTO_GRADED if got[exercise.id] < exercise.points}
    assert lost == LOSES.get(member.name, set())


def test_all_right_gets_every_point_that_a_machine_can_give(graded: Course) -> None:
    row = rows(graded)["all_right"]
    assert (row.total, row.bonus) == (POINTS - sum(e.points for e in WRITTEN), BONUS)
    assert len(row.waiting) == len(WRITTEN)


def test_untouched_release_gets_nothing_and_needs_nobody(graded: Course) -> None:
    row = rows(graded)["nothing"]
    assert (row.total, row.bonus, row.waiting) == (0, 0, ())


@pytest.mark.parametrize("student", UNREADABLE)
def test_unreadable_submission_is_listed_with_its_reason(graded: Course, student: str) -> None:
    reason = {"no_notebooks": "not handed in", "broken_json": "problem1_forward"}[student]
    assert reason in rows(graded)[student].problem


def test_gradebook_has_the_points_of_the_contract(graded: Course) -> None:
    with Gradebook(f"sqlite:///{graded.root / 'gradebook.db'}") as gradebook:
        assignment = gradebook.find_assignment(folders.ASSIGNMENT)
        points = {cell.name: cell.max_score for book in assignment.notebooks for cell in book.grade_cells}
    for exercise in EXERCISES:
        cell = exercise.id if exercise.form == "written" else f"{exercise.id}_test"
        if exercise.points:
            assert points.pop(cell) == exercise.points
    assert not any(points.values()), "visible checks are worth nothing"


def feedback(course: Course, student: str, notebook: str) -> str:
    path = course.root / "feedback" / student / folders.ASSIGNMENT / f"{notebook}.html"
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_feedback_shows_every_figure_of_an_honest_notebook(graded: Course, notebook: str) -> None:
    page = feedback(graded, "all_right", notebook)
    assert "was left out" not in page
    pictures = BeautifulSoup(page, "html.parser").select("img[src^='data:image/']")
    assert pictures
    assert all(picture.get("alt") for picture in pictures)


def test_feedback_says_what_is_wrong_and_hides_the_exam(graded: Course) -> None:
    page = feedback(graded, "correlation", "problem1_forward")
    assert "cross-correlation" in page
    assert "autograder.exams" not in page and "BEGIN HIDDEN TESTS" not in page


def test_every_graded_member_has_feedback_pages(graded: Course) -> None:
    for member in MEMBERS:
        folder = rows(graded)[member.name].feedback
        assert folder is not None and len(list(Path(folder).glob("*.html"))) == 4


def test_table_shows_everyone(graded: Course, capsys: pytest.CaptureFixture[str]) -> None:
    table.render(table.read_rows(graded.root))
    printed = capsys.readouterr().out
    for name in [member.name for member in MEMBERS] + list(UNREADABLE):
        assert re.search(rf"\b{name}\b", printed)


def test_export_writes_a_line_for_every_graded_student(graded: Course, tmp_path: Path) -> None:
    target = tmp_path / "grades.csv"
    assert graded.nbgrader("export", "--to", str(target)) == 0
    lines = target.read_text(encoding="utf-8").splitlines()
    assert {member.name for member in MEMBERS} <= {line.split(",")[3] for line in lines[1:]}


def test_written_answers_come_up_for_a_human_in_formgrader(graded: Course) -> None:
    with Gradebook(f"sqlite:///{graded.root / 'gradebook.db'}") as gradebook:
        submission = gradebook.find_submission(folders.ASSIGNMENT, "all_right")
        assert submission.needs_manual_grade
