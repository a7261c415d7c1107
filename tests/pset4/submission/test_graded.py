"""A zip is graded to the points of its folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_course import sandbox_options

from autograder.commands import sample_class, table
from autograder.commands.course import Course
from pset4.submission.handin import hand_in


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_a_zip_is_graded_to_the_points_of_its_folder(tmp_path: Path) -> None:
    course = Course(tmp_path / "course")
    course.release()
    folder = sample_class.hand_in(sample_class.MEMBERS[0], course.released, course.submitted)
    zipped = course.submitted / "zipped" / folder.name
    zipped.mkdir(parents=True)
    hand_in("zipped", folder=folder, output=zipped / "zipped.zip")
    course.autograde(*sandbox_options())
    rows = {row.student: row for row in table.read_rows(course.root)}
    as_folder, as_zip = rows[sample_class.MEMBERS[0].name], rows["zipped"]
    assert as_zip.by_cell == as_folder.by_cell and as_zip.total > 0
    assert not as_zip.ungraded
