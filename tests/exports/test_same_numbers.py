"""Table, database and all exports say the same numbers of a large class."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from pathlib import Path

import pytest
from exporting import DUE, Exporting, in_utc
from marked_class import Marked, set_due
from nbgrader.api import Gradebook

from autograder.commands.table import read_rows
from autograder.course.folders import ASSIGNMENT


def test_table_database_and_all_exports_say_the_same_of_300_students(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_due(monkeypatch, tmp_path, DUE.isoformat())
    students = [
        Marked(
            f"s{number}",
            share=(number * 37 % 101) / 100,
            bonus=number % 5 / 4,
            handed_in=in_utc(DUE + timedelta(hours=number - 150)) if number % 7 else None,
            last_name=f"Nach, {number}",
            first_name="Zoë",
            points={"p1a_equation": number % 9 / 2},
        )
        for number in range(300)
    ]
    roster = "id,canvas,moodle\n" + "".join(f"s{number},{5000 + number},{9000 + number}\n" for number in range(300))
    exporting = Exporting(tmp_path, students, roster)
    extended = "".join(f"s{number},{number % 4 / 2}\n" for number in range(0, 300, 11))
    (exporting.root / "extensions.csv").write_text("student_id,days\n" + extended)
    rows = {row.student: row for row in read_rows(exporting.root)}
    expected = {student: row.final for student, row in rows.items()}

    with Gradebook(f"sqlite:///{exporting.root}/gradebook.db") as gradebook:
        stored = {s.student.id: s.score for s in gradebook.assignment_submissions(ASSIGNMENT)}
    assert {student: row.total + row.bonus for student, row in rows.items()} == pytest.approx(stored)
    assert len({row.late.factor for row in rows.values() if row.late}) > 20

    canvas = "Student,ID,Section,PSet 4 (7)\n    Points Possible,,,110\n"
    canvas += "".join(f'"Nach, {n}, Zoë",{5000 + n},A,\n' for n in reversed(range(300)))
    filled = list(csv.reader(io.StringIO(exporting.to("canvas", canvas).decode())))[2:]
    assert {f"s{int(line[1]) - 5000}": float(line[3]) for line in filled} == expected

    moodle = "Identifier,Full name,Grade,Maximum Grade\n"
    moodle += "".join(f"Participant {9000 + n},Zoë,,110.00\n" for n in range(300))
    filled = list(csv.reader(io.StringIO(exporting.to("moodle", moodle).decode())))[1:]
    assert {f"s{int(line[0].split()[1]) - 9000}": float(line[2]) for line in filled} == expected

    lines = list(csv.DictReader(io.StringIO(exporting.to("nbgrader").decode())))
    assert {line["student_id"]: float(line["score"]) for line in lines} == expected
    assert {line["last_name"] for line in lines} == {f"Nach, {number}" for number in range(300)}
    for line in lines:
        assert float(line["raw_score"]) - float(line["late_submission_penalty"]) == pytest.approx(float(line["score"]))
