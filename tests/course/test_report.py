"""The class report says what the table says, on one page that stands alone and in which students write no markup."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from marked_class import CELLS, Marked, make_class, mark_by_hand, set_due
from rich.console import Console

from autograder.commands.report import report
from autograder.commands.report.command import NEEDS_A_HUMAN
from autograder.commands.report.facts import Facts, gather
from autograder.commands.report.likeness import alike_answers
from autograder.commands.report.page import number
from autograder.commands.table import read_rows
from autograder.course.contract import AUTO_GRADED, NOTEBOOKS
from autograder.course.folders import ASSIGNMENT
from autograder.engine.grader.store import Bundle, Key, Store
from autograder.exams.verdict import PropertyResult, Verdict

HOSTILE = "<img src=x onerror=alert(1)>&\"'"
CLASS = [
    Marked("s1", share=1.0, bonus=1.0),
    Marked("s2", share=0.5),
    Marked("s3", share=0.25, open=("p1a_equation", "p4c_discussion")),
    Marked("s4", share=0.75, open=("p3a_conv_matrix_test",)),
    Marked(HOSTILE, share=0.5, bonus=0.5),
]


def verdicts(student: Marked, notebook: str, words: str) -> dict[str, Verdict]:
    """Two properties each; what is missed is the first one's."""
    found = {}
    for exercise in AUTO_GRADED:
        cell = f"{exercise.id}_test"
        if exercise.notebook == notebook and cell not in student.open:
            half, got = exercise.points / 2, student.of(cell)
            parts = (min(half, got), max(0.0, got - half))
            results = tuple(
                PropertyResult(name, part, half, part == half, "" if part == half else words)
                for name, part in zip(("values", "shape"), parts, strict=True)
            )
            named = "flipped_twice" if 0 < got < half + 0.1 else ""
            found[exercise.id] = Verdict(exercise.id, results, words if named else "", named)
    return found


def write_bundles(root: Path, students: Sequence[Marked], words: str = "The values are others.") -> None:
    """What the engine leaves of a class."""
    store = Store(root)
    for student in students:
        for notebook in NOTEBOOKS:
            open_ones = [cell.removesuffix("_test") for cell in student.open if CELLS[cell].notebook == notebook]
            bundle = Bundle(
                Key(student.id, ASSIGNMENT, notebook),
                "f",
                7,
                status="graded with remarks",
                remarks=(f"time limit in cell {words}",),
                verdicts=verdicts(student, notebook, words),
                ungraded={one: "the sandbox broke" for one in open_ones if f"{one}_test" in student.open},
                seconds=12.5,
            )
            store.save(bundle)
        store.finish(student.id, ASSIGNMENT)


def facts_of(root: Path) -> Facts:
    return gather(read_rows(root), Store(root).bundles(ASSIGNMENT), {})


@pytest.fixture
def course(tmp_path: Path) -> Path:
    make_class(tmp_path, CLASS)
    write_bundles(tmp_path, CLASS)
    return tmp_path


def written(root: Path) -> tuple[int, str, str]:
    """Exit status, page, and what was said."""
    said, output = io.StringIO(), root / "report.html"
    status = report(root=root, output=output, console=Console(file=said, width=200))
    return status, output.read_text(encoding="utf-8") if output.exists() else "", said.getvalue()


def test_numbers_are_those_of_the_table(course: Path) -> None:
    facts, rows = facts_of(course), read_rows(course)
    assert facts.total.points == tuple(row.final for row in rows if row.has_number)
    assert sum(facts.total.bins) == len(facts.total.points)
    for name, scores in zip(NOTEBOOKS, facts.problems, strict=True):
        assert scores.points == tuple(row.by_notebook(name) for row in rows if not row.is_open(name))
    for exercise in facts.exercises:
        assert sum(exercise.counts.values()) == len(rows)
    _, page, _ = written(course)
    for row in rows:
        assert not row.has_number or f'<td class="n">{number(row.total)}</td>' in page


def test_lost_points_add_up_to_those_of_the_table(course: Path) -> None:
    mark_by_hand(course, "s2", "p1a_conv1d_test", 5.5)
    lost = facts_of(course).lost
    missing = sum(
        row.maxima[cell] - points
        for row in read_rows(course)
        for cell, points in row.by_cell.items()
        if cell.endswith("_test")
    )
    parts = sum(one.points for one in lost.properties) + lost.not_run + lost.by_hand + lost.elsewhere
    assert lost.total == pytest.approx(missing)
    assert parts == pytest.approx(missing)
    assert lost.by_hand == pytest.approx(0.5)
    assert lost.elsewhere == 0


def test_misconceptions_come_with_a_sentence_and_the_students(course: Path) -> None:
    first = facts_of(course).misconceptions[0]
    assert (first.title, first.example) == ("flipped twice", "The values are others.")
    assert set(first.students) == {"s2", "s3", HOSTILE}


def test_says_what_needs_a_human_and_why(course: Path) -> None:
    needs = {(group.where, group.example): group.students for group in facts_of(course).needs}
    assert needs[("p3a_conv_matrix", "the sandbox broke")] == ("s4",)
    assert needs[("p1a_equation", "")] == ("s3",)
    status, _, said = written(course)
    assert status == NEEDS_A_HUMAN
    assert "2 of them wait for a human" in said


def test_late_points_are_those_in_the_end(course: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = tmp_path / "settings"
    settings.mkdir()
    set_due(monkeypatch, settings, "2026-10-01T23:59:00-04:00")
    assert facts_of(course).total.points == tuple(row.final for row in read_rows(course) if row.has_number)


def test_takes_nothing_for_markup(tmp_path: Path) -> None:
    make_class(tmp_path, CLASS)
    write_bundles(tmp_path, CLASS, words="</style><script>alert(1)</script>")
    _, page, _ = written(tmp_path)
    assert "&lt;script&gt;" in page
    assert not re.search(r"<script|<img|onerror=alert\(1\)>[^&]", page)
    assert page.count("</style>") == 1


def test_stands_alone(course: Path) -> None:
    _, page, _ = written(course)
    assert not re.search(r"https?://|@import|url\(|<link|src=\"", page)
    assert "default-src 'none'" in page


@pytest.mark.parametrize("folder", ["", "submitted", "submitted/s1/pset4"])
def test_a_course_without_grades_is_one_sentence(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    status, page, said = written(tmp_path)
    assert (status, page) == (1, "")
    assert said.startswith("There is nothing to report: ")
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "gradebook.db").exists()


def test_a_place_that_cannot_be_written_is_one_sentence(course: Path) -> None:
    said = io.StringIO()
    status = report(root=course, output=course / "no" / "report.html", console=Console(file=said, width=200))
    assert status == 1
    assert "cannot be written" in said.getvalue()


def test_300_students_fit_into_5_megabytes(tmp_path: Path) -> None:
    students = [Marked(f"student_{n:03}", share=(n % 40) / 39, bonus=n % 2) for n in range(300)]
    make_class(tmp_path, students)
    for n, student in enumerate(students):
        write_bundles(tmp_path, [student], words=f"Reason {n}: {'the values are others ' * 10}")
    _, page, _ = written(tmp_path)
    assert "300" in page
    assert len(page.encode()) < 5_000_000


GIVEN = "def f(x):\n    # your code\n    raise NotImplementedError('this is what everybody was given')\n"
ODD = "".join(f"    part_{n} = (x[{n}:] ** {n} - x[:-{n + 1}] * {n}.5) @ x.T[{n % 3}]\n" for n in range(6))


def hand_in(root: Path, student: str, source: str) -> None:
    cell = {
        "cell_type": "code",
        "source": source,
        "metadata": {"nbgrader": {"grade_id": "p1a_conv1d", "solution": True}},
    }
    folder = root / "autograded" / student / ASSIGNMENT
    folder.mkdir(parents=True)
    (folder / f"{NOTEBOOKS[0]}.ipynb").write_text(json.dumps({"cells": [cell]}), encoding="utf-8")


def test_answers_are_alike_under_other_names_and_the_given_text_does_not_count(tmp_path: Path) -> None:
    pytest.importorskip("copydetect")
    hand_in(tmp_path, "one", GIVEN + ODD)
    hand_in(tmp_path, "two", GIVEN + "    # mine\n" + ODD.replace("part_", "mine_"))
    hand_in(tmp_path, "three", GIVEN)
    hand_in(tmp_path, "four", GIVEN)
    hand_in(tmp_path, "five", "")
    found = alike_answers(tmp_path, ["one", "two", "three", "four", "five", "six"], {"p1a_conv1d": GIVEN})
    assert [(pair.exercise, pair.students) for pair in found] == [("p1a_conv1d", ("one", "two"))]
    assert found[0].share > 0.9
