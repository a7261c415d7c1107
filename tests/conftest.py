"""What several test modules share: one graded sample class, one wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import small_course as small
from loopback import Server, loopback_server
from nbgrader_course import Course as SmallCourse
from nbgrader_course import find_alembic
from small_course import sandbox_options

from autograder.commands import sample_class
from autograder.commands.course import Course, release_into
from autograder.course.folders import REPOSITORY


@pytest.fixture(scope="session")
def graded(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """The sample class, released, handed in, autograded and given feedback with nbgrader's own commands."""
    course = Course(tmp_path_factory.mktemp("course"))
    course.release()
    sample_class.build(course.released, course.submitted)
    course.autograde(*sandbox_options())
    course.feedback()
    return course


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the notebooks as students get them, made anew."""
    folder = tmp_path_factory.mktemp("released-notebooks")
    release_into(folder)
    return folder


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that students install."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(REPOSITORY)]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture
def student_environment() -> Iterator[dict[str, str]]:
    """An environment without anything that grading or this checkout sets."""
    hidden = {"NBGRADER_EXECUTION", "PSET4_EXAM_SEED", "PYTHONPATH"}
    yield {name: value for name, value in os.environ.items() if name not in hidden}


@pytest.fixture(scope="session")
def released_small_course(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    small.register()
    root = tmp_path_factory.mktemp("released")
    with pytest.MonkeyPatch.context() as patch:
        find_alembic(patch)
        SmallCourse(root).release()
    yield root


@pytest.fixture
def course(released_small_course: Path, tmp_path: Path) -> SmallCourse:
    shutil.copytree(released_small_course, tmp_path / "course")
    return SmallCourse(tmp_path / "course")


@pytest.fixture
def server() -> Iterator[Server]:
    """A web server of this machine, with pages that a test puts there."""
    with loopback_server() as running:
        yield running
