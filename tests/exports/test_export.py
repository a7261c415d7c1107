"""Whatever the platform: who waits for a human is named, mistakes are sentences, nothing given is overwritten."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest
from exporting import CANVAS, MOODLE, STUDENTS, Exporting
from marked_class import mark_by_hand, set_due
from rich.console import Console

from autograder.commands.export import export
from autograder.course.folders import ASSIGNMENT


def test_canvas_is_never_built_from_nothing(exporting: Exporting) -> None:
    assert exporting.to("canvas") == b""
    assert "never made from nothing" in exporting.said
    exporting.to("canvas", path=exporting.folder / "missing.csv")
    assert "cannot be read (No such file" in exporting.said


def test_what_was_downloaded_is_not_overwritten(exporting: Exporting) -> None:
    path = exporting.given(CANVAS)
    assert export("canvas", root=exporting.root, given=path, output=path, console=Console(file=io.StringIO())) == 1
    assert path.read_text() == CANVAS


def test_a_trial_writes_nothing(exporting: Exporting) -> None:
    for platform, given in (("canvas", CANVAS), ("moodle", MOODLE), ("nbgrader", None), ("gradescope", None)):
        assert exporting.to(platform, given, dry_run=True) == b""
        assert "would write" in exporting.said and exporting.status == 0


@pytest.mark.parametrize("platform", ["canvas", "moodle", "nbgrader"])
def test_whoever_waits_for_a_human_is_named_and_nothing_goes_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    set_due(monkeypatch, tmp_path, "")
    students = [
        replace(STUDENTS[0], open=("p1a_equation",)),
        replace(STUDENTS[1], open=("p1a_conv1d_test",)),
        *STUDENTS[2:],
    ]
    exporting = Exporting(tmp_path, students)
    (exporting.root / "submitted" / "s6" / ASSIGNMENT).mkdir(parents=True)
    given = {"canvas": CANVAS, "moodle": MOODLE}.get(platform)
    assert exporting.to(platform, given) == b""
    assert exporting.status == 1
    for words in (
        "s1: awaiting a human: 1 written answers",
        "s2: needs a human: not gradable (p1a_conv1d_test)",
        "s6: not graded yet",
        "3 of 6 have no final points",
    ):
        assert words in exporting.said
    content = exporting.to(platform, given, force=True).decode()
    assert exporting.status == 3
    written = {
        "canvas": ("77.50 ,53,,2,", '"A",EX,12,,,'),  # s1: the points so far; s2: as it was
        "moodle": ('late",53,110', "x,3.00,110"),
        "nbgrader": ("53.0,0.0,53.0,110.0,2.0,awaiting", ",,,110.0,,needs a human: not gradable"),
    }[platform]
    assert all(words in content for words in written)


def test_a_mark_by_hand_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_due(monkeypatch, tmp_path, "")
    exporting = Exporting(tmp_path, [replace(STUDENTS[0], open=("p1a_equation",)), *STUDENTS[1:]])
    mark_by_hand(exporting.root, "s1", "p1a_equation", 3.5)
    assert "77.50 ,56.5,,2," in exporting.to("canvas", CANVAS).decode()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"extensions.csv": "student_id,days\ns1,x\n"}, "days must be a number"),
        ({"roster.csv": "id\ns1\ns1\n"}, "names s1 more than once"),
    ],
)
def test_a_mistake_in_the_courses_files_is_a_sentence(exporting: Exporting, change: dict[str, str], said: str) -> None:
    for name, text in change.items():
        (exporting.root / name).write_text(text)
    assert exporting.to("canvas", CANVAS) == b""
    assert said in exporting.said and exporting.status == 1


def test_an_extension_of_nobody_is_said(exporting: Exporting) -> None:
    (exporting.root / "extensions.csv").write_text("student_id,days\ns9,1\ns2,3.5\n")
    assert "EX,110,,4," in exporting.to("canvas", CANVAS).decode()
    assert "extensions.csv names s9, who handed in nothing" in exporting.said


def test_a_folder_that_is_no_course_is_refused_and_stays_empty(tmp_path: Path) -> None:
    buffer = io.StringIO()
    assert export("nbgrader", root=tmp_path, console=Console(file=buffer, width=200)) == 1
    assert "holds no graded course" in buffer.getvalue() and not list(tmp_path.iterdir())
    assert export("excel", root=tmp_path, console=Console(file=buffer, width=200)) == 1
    assert "There is no export to 'excel'; there is: canvas, moodle, feedback, grade" in buffer.getvalue()


def test_a_target_that_cannot_be_written_is_a_sentence(exporting: Exporting) -> None:
    buffer = io.StringIO()
    target = exporting.folder / "missing" / "grades.csv"
    assert export("nbgrader", root=exporting.root, output=target, console=Console(file=buffer, width=300)) == 1
    assert "cannot be written (No such file or directory); name another file with --output" in buffer.getvalue()


def test_nbgraders_table_is_quoted_and_harmless(exporting: Exporting) -> None:
    lines = {line["student_id"]: line for line in csv.DictReader(io.StringIO(exporting.to("nbgrader").decode()))}
    late = lines["s2"]
    assert (late["last_name"], late["first_name"]) == ("van der Berg, Jr.", 'Ada "A"')
    assert [late[name] for name in ("raw_score", "late_submission_penalty", "score", "max_score", "bonus")] == [
        *("110.0", "27.5", "82.5", "110.0", "3.0")
    ]
    eve = [lines["s5"][name] for name in ("last_name", "first_name", "email")]
    assert eve == ['\'=HYPERLINK("http://x")', "'+Eve", "'@eve"]
