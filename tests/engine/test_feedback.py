"""Feedback pages follow every change of a grade, show no score that nobody gave, and never depend on one another."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import graded_course as graded
import nbgrader.apps.api
import nbgrader.apps.generatefeedbackapp
import pytest
from bs4 import BeautifulSoup
from graded_course import ASSIGNMENT, NOTEBOOK, GradedCourse
from nbgrader.apps.api import NbGraderAPI
from nbgrader.converters import NbGraderException
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config

from autograder.course.folders import REPOSITORY
from autograder.engine.grader import feedback
from autograder.engine.grader.feedback import GenerateFeedback
from autograder.engine.grader.store import Store


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("empty")
    with pytest.MonkeyPatch.context() as patch:
        GradedCourse(root).make(patch)
    return root


@pytest.fixture
def course(empty: Path, tmp_path: Path) -> GradedCourse:
    shutil.copytree(empty, tmp_path / "a course")
    return GradedCourse(tmp_path / "a course")


def generate(course: GradedCourse, *, student: str = "*", force: bool = False, root: Path | None = None) -> None:
    c = Config()
    c.CourseDirectory.root = str(root or course.root)
    c.CourseDirectory.course_id = "small"
    c.GenerateFeedback.preprocessors = [feedback.HideTests, feedback.ShowGrades]
    c.BaseConverter.force = force
    folder = CourseDirectory(config=c)
    folder.assignment_id, folder.student_id = ASSIGNMENT, student
    GenerateFeedback(coursedir=folder, config=c).start()


def trouble_with(course: GradedCourse) -> str:
    with pytest.raises(NbGraderException) as raised:
        generate(course)
    return str(raised.value)


def text(course: GradedCourse, student: str = "ada") -> str:
    """The page's words, with single blanks."""
    return " ".join(BeautifulSoup(course.page(student).read_text(), "html.parser").get_text(" ").split())


def test_a_page_shows_scores_comments_and_no_hidden_test(course: GradedCourse) -> None:
    course.grade("ada")
    course.score("ada", comment="well **said**")
    generate(course)
    assert "Score: 9.5 / 10.0" in text(course)
    assert "the values are right" in text(course)
    assert "<strong>said</strong>" in course.page("ada").read_text()
    assert graded.HIDDEN not in course.page("ada").read_text()


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "automatic score": ({"scores": {"one_test": (1.0, None, False)}}, "Score: 5.5 / 10.0"),
    "manual score": ({"scores": {"words": (None, 2.0, False)}}, "Score: 10.0 / 10.0"),
    "manual beats automatic": ({"scores": {"one_test": (5.0, 0.0, False)}}, "Score: 4.5 / 10.0"),
    "comment": ({"comment": "quite new"}, "quite new"),
    "late penalty": ({"penalty": 1.0}, "Score: 8.5 / 10.0"),
    "taken back": ({"scores": {"one_test": (None, None, True)}}, "Score: 4.5 / 10.0, 5 points not graded yet"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_page_follows_every_change_of_a_grade(course: GradedCourse, change: str) -> None:
    course.grade("ada")
    generate(course)
    arguments, words = CHANGES[change]
    assert words not in text(course)
    course.score("ada", **arguments)
    generate(course)
    assert words in text(course)


def test_a_page_follows_the_graded_notebook(course: GradedCourse) -> None:
    course.grade("ada")
    generate(course)
    course.grade("ada", graded.notebook("other words"))
    generate(course)
    assert "other words" in text(course)


def test_a_page_that_is_up_to_date_is_left_alone(course: GradedCourse) -> None:
    course.grade("ada")
    generate(course)
    before = course.page("ada").stat().st_ino
    generate(course)
    assert course.page("ada").stat().st_ino == before
    generate(course, force=True)
    assert course.page("ada").stat().st_ino != before


@pytest.mark.parametrize(
    "old", ["", "<html>an old page</html>", '<meta name="pset4-grades" content="0123456789abcdef"/>']
)
def test_a_page_with_another_mark_is_written_anew(course: GradedCourse, old: str) -> None:
    course.grade("ada")
    course.page("ada").parent.mkdir(parents=True)
    course.page("ada").write_text(old)
    generate(course)
    assert "Score: 9.5 / 10.0" in text(course)


def test_what_has_no_score_is_never_shown_as_zero(course: GradedCourse) -> None:
    mine = graded.notebook()
    mine.cells[2].metadata["pset4"] = {"ungraded": "the grader's process <ended>"}
    scores = {"one_test": (None, None, True), "words": (None, None, True), "two_test": (None, None, False)}
    course.grade("ada", mine, scores)
    generate(course)
    page = text(course)
    assert "Score: awaiting a human / 5.0" in page
    assert "Score: awaiting a human / 2.0" in page
    assert "Score: not graded yet / 3.0" in page
    assert "Not graded: the grader's process <ended>" in page
    assert "Score: not graded yet / 10.0" in page
    assert not re.search(r"Score: 0", page)


def test_a_zero_that_was_given_is_a_zero(course: GradedCourse) -> None:
    course.grade("ada", scores={**graded.ALL, "one_test": (0.0, None, False)})
    generate(course)
    assert "Score: 0.0 / 5.0" in text(course)
    assert "not graded" not in text(course)


def test_a_manual_score_that_waits_again_is_not_shown(course: GradedCourse) -> None:
    course.grade("ada", scores={**graded.ALL, "words": (None, 1.5, True)})
    generate(course)
    assert "Score: awaiting a human / 2.0" in text(course)
    assert "Score: 8.0 / 10.0, 2 points not graded yet" in text(course)


def test_a_submission_whose_storing_was_interrupted_has_no_page(course: GradedCourse) -> None:
    course.grade("ada")
    course.grade("bob")
    generate(course)
    Store(course.root).begin("ada", ASSIGNMENT)
    assert "ada" in trouble_with(course)
    assert not course.page("ada").exists()
    assert course.page("bob").exists()


STRANGE = ["a[x]b", "[ab]", "zoë müller", "50%", "no#5", "a b", "*", "O'Brien & <b>Söhne", "x.y", "50%20"]


def test_names_mean_nothing_but_themselves(course: GradedCourse) -> None:
    for number, student in enumerate(STRANGE):
        course.grade(student, graded.notebook(f"words of number {number}"))
    generate(course)
    for number, student in enumerate(STRANGE):
        assert f"words of number {number}" in text(course, student)
    course.grade("a[x]b", graded.notebook("once more"))
    generate(course, student="a[x]b")
    assert "once more" in text(course, "a[x]b")


def test_the_course_may_stand_in_a_folder_of_any_name(course: GradedCourse, tmp_path: Path) -> None:
    course = GradedCourse(shutil.move(course.root, tmp_path / "Übung [2] 50% {x}"))
    course.grade("ada")
    generate(course)
    assert "Score: 9.5 / 10.0" in text(course)


def no_notebook(course: GradedCourse) -> None:
    (course.folder("bob") / f"{NOTEBOOK}.ipynb").unlink()


def no_folder(course: GradedCourse) -> None:
    no_notebook(course)
    course.folder("bob").rmdir()


def half_a_notebook(course: GradedCourse) -> None:
    path = course.folder("bob") / f"{NOTEBOOK}.ipynb"
    path.write_bytes(path.read_bytes()[:100])


def a_link(course: GradedCourse) -> None:
    no_notebook(course)
    (course.folder("bob") / f"{NOTEBOOK}.ipynb").symlink_to(course.folder("ada") / f"{NOTEBOOK}.ipynb")


def a_linked_folder(course: GradedCourse) -> None:
    no_folder(course)
    course.folder("bob").symlink_to(course.folder("ada"))


def a_pipe(course: GradedCourse) -> None:
    no_notebook(course)
    os.mkfifo(course.folder("bob") / f"{NOTEBOOK}.ipynb")


def a_cell_that_nobody_knows(course: GradedCourse) -> None:
    mine = graded.notebook()
    mine.cells[2].metadata.nbgrader.grade_id = "unknown_test"
    course.grade("bob", mine)


@pytest.mark.parametrize(
    "damage", [no_notebook, no_folder, half_a_notebook, a_link, a_linked_folder, a_pipe, a_cell_that_nobody_knows]
)
def test_ones_trouble_never_stops_anothers_page(course: GradedCourse, damage: Callable[[GradedCourse], None]) -> None:
    for student in ("ada", "bob", "cleo"):
        course.grade(student)
    generate(course)
    damage(course)
    for student in ("ada", "cleo"):
        course.score(student, {"one_test": (4.0, None, False)})
    assert "bob" in trouble_with(course)
    assert "Score: 8.5 / 10.0" in text(course, "ada")
    assert "Score: 8.5 / 10.0" in text(course, "cleo")
    assert not course.page("bob").exists()


def test_lost_pictures_and_deep_text_still_make_a_page(course: GradedCourse) -> None:
    course.grade("ada", graded.notebook("see ![graph](attachment:lost.png) " + "> " * 3_000 + "deep"))
    course.score("ada", comment="and ![x](attachment:never.png)")
    generate(course)
    assert "[picture lost.png is missing]" in text(course)
    assert "[picture never.png is missing]" in text(course)


def test_other_files_are_never_copied(course: GradedCourse) -> None:
    course.grade("ada")
    for name in ("helper.py", "index.html", ".secret", "more/deep.txt"):
        (course.folder("ada") / name).parent.mkdir(exist_ok=True)
        (course.folder("ada") / name).write_text("mine")
    (course.folder("ada") / "link.txt").symlink_to(course.root / "gradebook.db")
    generate(course)
    assert [path.name for path in course.page("ada").parent.iterdir()] == [f"{NOTEBOOK}.html"]


@pytest.mark.parametrize(("stamp", "kept"), [("2026-11-25 10:00:00.000000 UTC", True), ("x" * 5_000, False)])
def test_the_time_of_hand_in_is_kept_for_the_release(course: GradedCourse, stamp: str, kept: bool) -> None:
    course.grade("ada")
    (course.folder("ada") / "timestamp.txt").write_text(stamp)
    generate(course)
    assert (course.page("ada").parent / "timestamp.txt").exists() == kept


def test_an_interruption_leaves_no_half_page(course: GradedCourse, monkeypatch: pytest.MonkeyPatch) -> None:
    course.grade("ada")
    generate(course)
    old = course.page("ada").read_bytes()
    course.score("ada", {"one_test": (0.0, None, False)})

    def interrupt(_descriptor: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            generate(course)
    assert course.page("ada").read_bytes() == old
    left = course.page("ada").with_name(f".{course.page('ada').name}.0123abcd.draft")
    left.write_text("<html>")
    generate(course)
    assert "Score: 4.5 / 10.0" in text(course)
    assert not left.exists()


@pytest.fixture
def command(course: GradedCourse) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "nbgrader", "generate_feedback", ASSIGNMENT, *arguments]
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
        return subprocess.run(line, cwd=course.root, env=environment, text=True, capture_output=True, check=False)

    yield run


def test_nbgraders_own_command_uses_it(
    course: GradedCourse, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    course.grade("ada")
    course.grade("bob")
    assert command().returncode == 0
    course.score("ada", {"one_test": (2.0, None, False)})
    no_notebook(course)
    done = command()
    assert done.returncode == 1
    assert re.search(r"bob, problem0: no feedback page", done.stderr)
    assert "Score: 6.5 / 10.0" in text(course)


def test_an_unknown_student_is_a_sentence(course: GradedCourse) -> None:
    course.grade("ada")
    with pytest.raises(NbGraderException, match="nobody"):
        generate(course, student="nobody")


def test_formgraders_button_writes_the_same_page(course: GradedCourse, monkeypatch: pytest.MonkeyPatch) -> None:
    course.grade("ada", scores={**graded.ALL, "one_test": (None, None, True)})
    for module in (nbgrader.apps.api, nbgrader.apps.generatefeedbackapp):
        monkeypatch.setattr(module, "GenerateFeedback", module.GenerateFeedback)  # put back afterwards
    feedback.install()
    c = Config()
    c.CourseDirectory.root, c.CourseDirectory.course_id = str(course.root), "small"
    c.HTMLExporter.template_name = "formgrade"  # as in Formgrader's process
    api = NbGraderAPI(CourseDirectory(config=c), config=c)
    assert api.generate_feedback(ASSIGNMENT, "ada", force=False)["success"]
    assert "Score: awaiting a human / 5.0" in text(course)
