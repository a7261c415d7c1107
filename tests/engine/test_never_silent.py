"""Nothing that was earned is lost or made up: whatever changes, collides or is interrupted while a class is graded."""

from __future__ import annotations

import copy
import logging
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
import small_course as small
from nbgrader.converters import NbGraderException
from nbgrader_course import Course, stop_after

from autograder.commands.table import read_rows
from autograder.course.folders import REPOSITORY
from autograder.engine.grader import converter
from autograder.engine.grader.converter import SandboxedAutograde, one_grader
from autograder.engine.grader.judging import _meaning
from autograder.engine.grader.store import CannotStore, Store

ALL = {"s1_double": 5.0, "s2_total": 3.0}
WITH_HELPER = {**small.ANSWERS, "s1_double": "from helper import factor\ndef double(x):\n    return factor * x"}


def graded(course: Course, caplog: pytest.LogCaptureFixture, *, force: bool = False) -> str:
    """Grades, and returns what the run says of itself at its end."""
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="traitlets"):
        course.convert(SandboxedAutograde, force=force)
    return caplog.messages[-1]


def test_a_run_says_what_is_new_changed_and_unchanged(course: Course, caplog: pytest.LogCaptureFixture) -> None:
    course.hand_in("ada", small.submission())
    course.hand_in("bob", small.submission())
    assert graded(course, caplog) == "2 new"
    course.hand_in("eve", small.submission())
    course.hand_in("bob", small.submission({}))
    assert graded(course, caplog) == "1 unchanged, 1 changed, 1 new"
    assert course.scores()["bob"] == {"s1_double": 0.0, "s2_total": 0.0}
    assert graded(course, caplog) == "3 unchanged"
    assert graded(course, caplog, force=True) == "3 graded again"


def test_every_file_that_was_handed_in_decides_whether_a_grade_still_holds(
    course: Course, caplog: pytest.LogCaptureFixture
) -> None:
    course.hand_in("ada", small.submission(WITH_HELPER))
    helper = course.folder("ada") / "helper.py"
    helper.write_text("factor = 2\n")
    graded(course, caplog)
    assert course.scores()["ada"] == ALL
    helper.write_text("factor = 3\n")
    assert graded(course, caplog) == "1 changed"
    assert course.scores()["ada"]["s1_double"] == 0.0
    helper.write_text("factor = 2\n")
    assert graded(course, caplog) == "1 changed"
    assert course.scores()["ada"] == ALL


def test_a_changed_exam_is_a_reason_to_grade_again(
    course: Course, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    course.hand_in("ada", small.submission())
    graded(course, caplog)
    monkeypatch.setattr("autograder.engine.grader.run.judging_code", lambda: "another exam")
    assert graded(course, caplog) == "1 changed"


def test_a_lost_database_is_filled_again(course: Course, caplog: pytest.LogCaptureFixture) -> None:
    released = (course.root / "gradebook.db").read_bytes()
    course.hand_in("ada", small.submission())
    graded(course, caplog)
    (course.root / "gradebook.db").write_bytes(released)
    graded(course, caplog)
    assert course.scores() == {"ada": ALL}


def test_table_and_export_leave_no_results_where_nothing_was_graded(course: Course) -> None:
    course.hand_in("ada", small.submission())
    assert [row.graded for row in read_rows(course.root)] == [False]
    assert course.exported()["ada"]["status"] == "not graded yet"
    assert not (course.root / "results").exists()


def test_comments_and_layout_are_no_other_exam(tmp_path: Path) -> None:
    path = tmp_path / "exam.py"
    meanings = []
    for text in ("x = 1\n", "# why\nx  =  1\n", "x = 2\n"):
        path.write_text(text)
        meanings.append(_meaning(path))
    assert meanings[0] == meanings[1] != meanings[2]


def test_a_second_grader_is_told_to_wait_and_the_first_goes_on(course: Course) -> None:
    course.hand_in("ada", small.submission())
    with one_grader(course.root), pytest.raises(NbGraderException, match="another grading run is at work"):
        course.convert(SandboxedAutograde)
    assert course.scores() == {}
    course.convert(SandboxedAutograde)
    assert course.scores() == {"ada": ALL}


def test_a_course_that_cannot_be_written_is_refused_in_a_sentence() -> None:
    with pytest.raises(CannotStore, match="cannot be written"), one_grader(Path(os.devnull) / "course"):
        pass


def test_a_test_cell_without_an_exam_stops_grading_by_name(course: Course) -> None:
    path = course.root / "source" / small.ASSIGNMENT / f"{small.NOTEBOOK}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    extra = copy.deepcopy(notebook.cells[-1])
    extra.id, extra.metadata.nbgrader.grade_id = "new", "s3_new_test"
    notebook.cells.append(extra)
    nbformat.write(notebook, path)
    course.hand_in("ada", small.submission())
    with pytest.raises(NbGraderException, match="s3_new_test"):
        course.convert(SandboxedAutograde)
    assert course.scores() == {}


def test_every_folder_of_submitted_is_listed(course: Course, caplog: pytest.LogCaptureFixture) -> None:
    (course.root / "submitted" / "empty").mkdir(parents=True)
    course.hand_in("[x]", small.submission())
    course.hand_in("with blank", small.submission())
    other = course.root / "submitted" / "loose"
    other.mkdir()
    (course.folder("with blank") / f"{small.NOTEBOOK}.ipynb").rename(other / "My Problem0_Small.ipynb")
    graded(course, caplog)
    scores = course.scores()
    assert scores["[x]"] == scores["loose"] == ALL
    assert scores["empty"] == scores["with blank"] == {"s1_double": 0.0, "s2_total": 0.0}
    assert course.statuses()["empty"] == "not handed in"


def test_one_submission_that_breaks_us_does_not_stop_the_others(
    course: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    for student in ("ada", "bob", "eve"):
        course.hand_in(student, small.submission())
    stage = converter.stage

    def failing(folder: Path, *rest: object) -> object:
        if folder.name == "bob":
            raise ZeroDivisionError("something that nobody has thought of")
        return stage(folder, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(converter, "stage", failing)
        with pytest.raises(NbGraderException, match="bob was not graded"):
            course.convert(SandboxedAutograde)
    assert course.scores() == {"ada": ALL, "eve": ALL}
    assert {row.student: row.graded for row in read_rows(course.root)} == {"ada": True, "bob": False, "eve": True}
    assert course.exported()["bob"]["status"] == "not graded yet"
    course.convert(SandboxedAutograde)
    assert course.scores()["bob"] == ALL


CONFIG = f"""
import sys
sys.path.insert(0, {str(REPOSITORY / "tests/helpers")!r})
import small_course
small_course.register()
from autograder.engine.grader.plugs import use_two_processes
c = get_config()
c.ClearSolutions.code_stub = {{"python": "raise NotImplementedError"}}
use_two_processes(c)
c.RunTwoProcesses.unsafe_no_sandbox = {not small.sandbox_here()}
"""


def test_ctrl_c_says_two_lines_and_leaves_the_old_grades(course: Course) -> None:
    (course.root / "nbgrader_config.py").write_text(CONFIG)
    course.hand_in("ada", small.submission())
    course.convert(SandboxedAutograde)
    before = course.database()
    course.hand_in("ada", small.submission({"s1_double": "import time\ntime.sleep(100)"}))
    command = [sys.executable, "-m", "nbgrader", "autograde", small.ASSIGNMENT]
    running = subprocess.Popen(
        command,
        cwd=course.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    assert running.stdout is not None
    said = []
    for line in running.stdout:
        said.append(line)
        if "Grading ada" in line:
            running.send_signal(signal.SIGINT)
    assert running.wait() == 130
    assert "Traceback" not in "".join(said)
    assert [line.split("] ")[-1].strip() for line in said[-2:]] == [
        "Interrupted: every grade that was stored stands",
        "Run the same command again to go on",
    ]
    assert course.database() == before
    assert [row.total for row in read_rows(course.root)] == [8.0]


def shown(course: Course) -> Iterator[tuple[str, float]]:
    """Every score that table and export show."""
    for row in read_rows(course.root):
        if row.graded and not row.ungraded:
            yield row.student, row.total
    for student, line in course.exported().items():
        if line["score"]:
            yield student, float(line["score"])


def check_interruptions(course: Course, kind: str, by: signal.Signals, moments: int) -> None:
    dice = random.Random(f"{kind} {by}")
    answers = {"ada": small.ANSWERS, "bob": {"s2_total": small.TOTAL}, "eve": {"s1_double": small.DOUBLE}}
    earned = {"ada": {8.0}, "bob": {3.0}, "eve": {5.0}}
    for student, mine in answers.items():
        course.hand_in(student, small.submission(mine))
    if kind != "first run":
        course.convert(SandboxedAutograde)
    for _ in range(moments):
        if kind == "handed in again":
            other = dice.choice([{"s1_double": small.DOUBLE}, small.ANSWERS])
            course.hand_in("eve", small.submission({**other, "s_words": str(dice.random())}))
            earned["eve"] |= {5.0, 8.0}
        stop_after(course, dice.randint(1, 6), dice.uniform(0, 0.4), force=kind == "forced", by=by)
        for student, score in shown(course):
            assert score in earned[student]
    course.convert(SandboxedAutograde)
    assert len({student for student, _ in shown(course)}) == 3


KINDS = ["first run", "forced", "handed in again"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
@pytest.mark.parametrize(("kind", "by"), zip(KINDS, [signal.SIGKILL, signal.SIGINT, signal.SIGKILL], strict=True))
def test_interrupted_no_score_is_shown_that_nobody_earned(course: Course, kind: str, by: signal.Signals) -> None:
    check_interruptions(course, kind, by, 2)


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT])
def test_interrupted_at_ten_moments_no_score_is_shown_that_nobody_earned(
    course: Course, kind: str, by: signal.Signals
) -> None:
    check_interruptions(course, kind, by, 10)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root mounts a small disk")
def test_a_full_disk_stops_grading_in_a_sentence_and_makes_up_nothing(course: Course, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(disk)], check=True)
    try:
        small_disk = Course(disk / "course")
        subprocess.run(["cp", "-a", f"{course.root}/.", str(small_disk.root)], check=True)
        for number in range(30):
            small_disk.hand_in(f"student{number}", small.submission(first=[f"# {number}\n" + "x = 1\n" * 3_000]))
        with pytest.raises(NbGraderException, match=r"disk is full|free space"):
            small_disk.convert(SandboxedAutograde)
        known = Store(small_disk.root).known(small.ASSIGNMENT) if (disk / "course" / "results").exists() else {}
        for student, scores in small_disk.scores().items():
            assert known.get(student, True) or scores == ALL
    finally:
        subprocess.run(["umount", str(disk)], check=True)
