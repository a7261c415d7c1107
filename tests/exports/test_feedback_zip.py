"""Feedback pages go back under the names that Canvas and Moodle gave."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from exporting import CANVAS, Exporting

from autograder.course.folders import ASSIGNMENT


def pages(exporting: Exporting) -> None:
    for student in ("s1", "s2", "s3"):
        folder = exporting.root / "feedback" / student / ASSIGNMENT
        folder.mkdir(parents=True)
        (folder / "feedback.html").write_text(f"page of {student}")


def submissions(exporting: Exporting, names: Sequence[str]) -> Path:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return exporting.given(buffer.getvalue(), "submissions.zip")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (
            [
                "mllerjrg_4711_9001_problem1_forward.ipynb",
                "mllerjrg_LATE_4711_9007_problem1_forward-1.ipynb",
                "bergada_4712_9002_ada.zip",
                "kimji_4713_9003_x.ipynb",
                "stranger_1_2_x.ipynb",
            ],
            {
                "mllerjrg_LATE_4711_9007_feedback.html": "s1",
                "bergada_4712_9002_feedback.html": "s2",
                "kimji_4713_9003_feedback.html": "s3",
            },
        ),
        (
            [
                "Jörg Müller_123_assignsubmission_file/problem1_forward.ipynb",
                "Ada van der Berg_124_assignsubmission_file_/a/b.ipynb",
                "Participant_125_assignsubmission_file/x.ipynb",
                "../../evil_99_assignsubmission_file/x.ipynb",
            ],
            {
                "Jörg Müller_123_assignsubmission_file/feedback.html": "s1",
                "Ada van der Berg_124_assignsubmission_file_/feedback.html": "s2",
                "Participant_125_assignsubmission_file/feedback.html": "s3",
            },
        ),
    ],
)
def test_pages_go_back_under_the_names_that_the_platform_gave(
    exporting: Exporting, names: list[str], expected: dict[str, str]
) -> None:
    pages(exporting)
    content = exporting.to("feedback", path=submissions(exporting, names))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert {name: archive.read(name).decode() for name in archive.namelist()} == {
            name: f"page of {student}" for name, student in expected.items()
        }
    assert exporting.status == 3 and "no page for s4, s5" in exporting.said


def test_pages_need_the_platforms_zip(exporting: Exporting) -> None:
    assert exporting.to("feedback") == b"" and "Give the zip of submissions" in exporting.said
    assert exporting.to("feedback", CANVAS) == b"" and "is no zip archive" in exporting.said
    assert exporting.to("feedback", path=submissions(exporting, ["a.ipynb"])) == b""
    assert "holds nothing that Canvas or Moodle named" in exporting.said
    names = ["kimji_4713_9003_x.ipynb"]
    assert exporting.to("feedback", path=submissions(exporting, names)) == b""
    assert "There are no pages" in exporting.said
