"""What Gradescope is given: the autograder's zip, and results in its form."""

from __future__ import annotations

import io
import json
import stat
import zipfile
from dataclasses import replace
from pathlib import Path, PurePosixPath

from exporting import STUDENTS, Exporting
from marked_class import make_class

from autograder.commands.gradescope import outcome_of, stage
from autograder.commands.table import read_rows
from autograder.course.contract import NOTEBOOKS
from autograder.course.folders import ASSIGNMENT
from autograder.engine.grader.store import Bundle, Key, Store
from autograder.exams.verdict import PropertyResult, Verdict
from autograder.exports.gradescope import results


def test_gradescopes_zip_holds_the_engine_and_nothing_of_a_class(exporting: Exporting) -> None:
    content = exporting.to("gradescope")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = set(archive.namelist())
        for script in ("setup.sh", "run_autograder"):
            assert stat.S_IMODE(archive.getinfo(script).external_attr >> 16) == 0o755
            assert archive.read(script).startswith(b"#!/bin/sh\n")
    assert {f"autograder/source/pset4/{name}.ipynb" for name in NOTEBOOKS} < names
    assert {"pset4.toml", "pyproject.toml", "pset4/settings.py", "autograder/commands/gradescope.py"} < names
    parts = {part for name in names for part in PurePosixPath(name).parts[:2]}
    assert not parts & {"tests", "submitted", "autograded", "release", "feedback", "results", "gradebook.db", ".git"}
    assert not {PurePosixPath(name).suffix for name in names} & {".csv", ".db", ".log", ".pyc", ".zip"}


def test_gradescope_is_told_points_reasons_and_who_waits(exporting: Exporting) -> None:
    student = replace(STUDENTS[1], id="late", open=("p1a_equation", "p2c_corgi_test"), points={"p1a_conv1d_test": 4.0})
    root = exporting.folder / "other"
    root.mkdir()
    make_class(root, [student])
    verdict = Verdict("p1a_conv1d", (PropertyResult("kernel is flipped", 4, 6, False, "the kernel is not flipped"),))
    store = Store(root)
    ungraded = {"p2c_corgi": "the machine was too slow"}
    bundle = Bundle(Key("late", ASSIGNMENT, NOTEBOOKS[0]), "x", 1, status="graded", verdicts={"p1a_conv1d": verdict})
    store.save(replace(bundle, ungraded=ungraded, remarks=("odd",)))
    store.finish("late", ASSIGNMENT)
    (row,) = read_rows(root)
    told = json.loads(json.dumps(results(outcome_of(root, row, "no sandbox"))))
    tests = {test["name"]: test for test in told["tests"]}
    assert told["score"] == row.final and told["visibility"] == "hidden"
    assert told["output"].startswith("handed in 3 d 12 h late: 101 x 0.75 = ")
    conv = tests["p1a_conv1d"]
    assert (conv["score"], conv["max_score"], conv["status"]) == (4.0, 6.0, "failed")
    assert "the kernel is not flipped" in conv["output"]
    assert tests["p1a_equation"]["output"] == "awaiting a human: 4 points" and "score" not in tests["p1a_equation"]
    assert "the machine was too slow" in tests["p2c_corgi"]["output"] and "score" not in tests["p2c_corgi"]
    assert tests["p4g_inversion"]["tags"] == ["bonus"]
    said = tests["For the instructor"]
    assert said["visibility"] == "hidden" and "no sandbox" in said["output"]
    assert {key for test in told["tests"] for key in test} <= {
        *("name", "number", "score", "max_score", "status", "output", "output_format", "tags", "visibility")
    }


def test_gradescopes_submission_is_put_where_nbgrader_looks(tmp_path: Path) -> None:
    (tmp_path / "submission").mkdir()
    (tmp_path / "submission" / "problem1_forward.ipynb").write_text("{}")
    about = {"id": 5, "created_at": "2026-10-02T01:00:00.5-04:00", "users": [{"email": "a+b@uni.example", "id": 1}]}
    (tmp_path / "submission_metadata.json").write_text(json.dumps(about))
    assert stage(tmp_path, tmp_path / "course") == "a-b@uni.example"
    folder = tmp_path / "course" / "submitted" / "a-b@uni.example" / ASSIGNMENT
    assert (folder / "timestamp.txt").read_text() == "2026-10-02 05:00:00 UTC\n"
    assert (folder / "problem1_forward.ipynb").exists()
