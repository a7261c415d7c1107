"""Bundles appear complete or not at all, and only the course's own are believed."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import sys
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autograder.engine import store as module
from autograder.engine.store import Bundle, Key, Store, fingerprint
from autograder.exams.verdict import PropertyResult, Verdict

KEY = Key("ada", "pset4", "problem1_forward")
VERDICT = Verdict("p1a_conv1d", (PropertyResult("values", 4, 5, False, "lost"),), diagnosis="not flipped")
BUNDLE = Bundle(
    KEY, "f1", seed=2**62, remarks=("time limit in cell 3",), outputs={2: [{"output_type": "stream", "text": "x"}]}
).with_verdict(VERDICT)


def test_a_bundle_comes_back_as_it_was_stored(tmp_path: Path) -> None:
    Store(tmp_path).save(BUNDLE)
    assert Store(tmp_path).load(KEY) == BUNDLE
    assert Store(tmp_path).bundles("pset4") == [BUNDLE]
    assert Store(tmp_path).load(KEY, expected="f1") == BUNDLE
    assert Store(tmp_path).load(KEY, expected="f2") is None
    assert Store(tmp_path).load(replace(KEY, student="bob")) is None


def test_a_bundle_of_another_course_student_or_with_one_changed_byte_is_not_believed(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    ours = Store(here)
    ours.save(BUNDLE)
    content = ours.path(KEY).read_bytes()
    forgeries = [
        content[:-1],
        content.replace(b'"points": 4', b'"points": 5'),
        b"",
        b"\n" + content.partition(b"\n")[2],
    ]
    Store(there).save(BUNDLE)
    forgeries.append(Store(there).path(KEY).read_bytes())
    assert all(forged != content for forged in forgeries)
    for forged in forgeries:
        ours.path(KEY).write_bytes(forged)
        assert ours.load(KEY) is None
        assert ours.bundles("pset4") == []
    bob = replace(KEY, student="bob")
    ours.path(bob).parent.mkdir(parents=True)
    ours.path(bob).write_bytes(content)
    assert ours.load(bob) is None


def test_a_link_in_place_of_a_bundle_is_not_followed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save(BUNDLE)
    elsewhere = tmp_path / "elsewhere"
    store.path(KEY).rename(elsewhere)
    store.path(KEY).symlink_to(elsewhere)
    assert store.load(KEY) is None


def test_clearing_forgets_a_notebook_or_a_submission(tmp_path: Path) -> None:
    store = Store(tmp_path)
    other = replace(BUNDLE, key=replace(KEY, notebook="problem3_backward"))
    store.save(BUNDLE)
    store.save(other)
    store.clear("ada", "pset4", "problem1_forward")
    assert store.bundles("pset4") == [other]
    store.clear("ada", "pset4")
    assert store.bundles("pset4") == []
    store.clear("nobody", "pset4")


def test_a_bundle_has_a_largest_size(tmp_path: Path) -> None:
    huge = replace(BUNDLE, outputs={0: [{"text": "x" * module.MAX_BUNDLE}]})
    with pytest.raises(ValueError, match="at most"):
        Store(tmp_path).save(huge)
    assert Store(tmp_path).load(KEY) is None


def test_scores_that_are_no_numbers_are_not_stored(tmp_path: Path) -> None:
    nan = Verdict("p1a_conv1d", (PropertyResult("values", float("nan"), 5, True),))
    with pytest.raises(ValueError, match="not JSON compliant"):
        Store(tmp_path).save(BUNDLE.with_verdict(nan))


def test_remarks_are_bounded_and_not_repeated() -> None:
    bundle = BUNDLE
    for number in range(200):
        bundle = bundle.with_remark(f"remark {number}").with_remark(f"remark {number}")
    assert len(bundle.remarks) == module.MAX_REMARKS
    assert BUNDLE.with_remark("a\x1b]0;title\x07b\nc" + "x" * 10_000).remarks[-1].startswith("a ]0;title b cxx")


def test_the_fingerprint_sees_what_decides_the_result() -> None:
    def of(source: str = "x", grade_id: str = "a", seed: int = 1, sandboxed: bool = True, limit: int = 3) -> str:
        cell = {"cell_type": "code", "source": source, "metadata": {"nbgrader": {"grade_id": grade_id}}, "outputs": []}
        return fingerprint({"cells": [cell]}, seed=seed, sandboxed=sandboxed, conditions={"limit": limit})

    assert of() == of()
    assert len({of(), of("y"), of(grade_id="b"), of(seed=2), of(sandboxed=False), of(limit=4)}) == 6


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=300), st.text(max_size=50))
def test_no_name_leaves_the_folder_or_meets_another(tmp_path: Path, student: str, notebook: str) -> None:
    store = Store(tmp_path)
    key = Key(student, "pset4", notebook)
    path = store.path(key)
    assert path.resolve().is_relative_to(store.folder.resolve())
    assert len(path.relative_to(store.folder).parts) == 3
    assert path == store.path(KEY) if key == KEY else path != store.path(KEY)
    store.save(replace(BUNDLE, key=key))
    assert store.load(key) == replace(BUNDLE, key=key)
    store.clear(student, "pset4")


def write_for_ever(folder: Path, counted: Connection) -> None:
    store = Store(folder)
    for number in itertools.count():
        text = f"{number} " * 20_000
        store.save(Bundle(Key("ada", "pset4", "one"), "f", seed=number, outputs={0: [{"text": text}]}))
        counted.send(number)


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is a POSIX signal")
def test_a_killed_writer_leaves_a_whole_bundle(tmp_path: Path) -> None:
    key = Key("ada", "pset4", "one")
    fork = multiprocessing.get_context("fork")
    for moment in range(8):
        reader, counted = fork.Pipe(duplex=False)
        writer = fork.Process(target=write_for_ever, args=(tmp_path, counted))
        writer.start()
        last = [reader.recv() for _ in range(3 + moment)][-1]
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        bundle = Store(tmp_path).load(key)
        assert bundle is not None
        assert bundle.seed >= last
        assert bundle.outputs[0][0]["text"] == f"{bundle.seed} " * 20_000
