"""Results appear complete or not at all, and the old ones stand until the new ones are whole."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autograder.engine.grader import store as module
from autograder.engine.grader.store import Bundle, CannotStore, Key, Store, fingerprint
from autograder.exams.verdict import PropertyResult, Verdict

KEY = Key("ada", "pset4", "problem1_forward")
VERDICT = Verdict("p1a_conv1d", (PropertyResult("values", 4, 5, False, "lost"),), diagnosis="not flipped")
BUNDLE = Bundle(
    KEY, "f1", seed=2**62, remarks=("time limit in cell 3",), outputs={2: [{"output_type": "stream", "text": "x"}]}
).with_verdict(VERDICT)


def finished(store: Store, bundle: Bundle = BUNDLE, mark: str = "m") -> None:
    store.begin(bundle.key.student, bundle.key.assignment)
    store.save(bundle)
    store.finish(bundle.key.student, bundle.key.assignment, mark=mark)


def test_a_bundle_comes_back_as_it_was_stored(tmp_path: Path) -> None:
    Store(tmp_path).save(BUNDLE)
    assert Store(tmp_path).load(KEY) == BUNDLE
    assert Store(tmp_path).load(KEY, expected="f1") == BUNDLE
    assert Store(tmp_path).load(KEY, expected="f2") is None
    assert Store(tmp_path).load(replace(KEY, student="bob")) is None


def test_the_old_result_stands_until_the_new_one_is_whole(tmp_path: Path) -> None:
    store = Store(tmp_path)
    finished(store)
    new = replace(BUNDLE, fingerprint="f2", verdicts={})
    store.save(new)
    assert store.bundles("pset4") == [BUNDLE]
    assert store.load(KEY) == new
    assert store.load(KEY, expected="f1") == BUNDLE
    assert store.mark("ada", "pset4") == "m"
    store.begin("ada", "pset4")
    assert (store.pending("ada", "pset4"), store.mark("ada", "pset4")) == (True, "")
    assert store.known("pset4") == {"ada": True}
    store.finish("ada", "pset4", mark="m2")
    assert store.bundles("pset4") == [new]
    assert (store.pending("ada", "pset4"), store.mark("ada", "pset4")) == (False, "m2")
    assert store.known("pset4") == {"ada": False}


def test_one_student_does_not_touch_another(tmp_path: Path) -> None:
    store = Store(tmp_path)
    bob = replace(BUNDLE, key=replace(KEY, student="bob"))
    finished(store)
    store.save(bob)
    assert store.bundles("pset4") == [BUNDLE]
    assert not store.pending("bob", "pset4")


READERS: dict[str, Callable[[Store], object]] = {
    "load": lambda store: store.load(KEY),
    "bundles": lambda store: store.bundles("pset4"),
    "known": lambda store: store.known("pset4"),
    "mark": lambda store: store.mark("ada", "pset4"),
    "pending": lambda store: store.pending("ada", "pset4"),
}
ABSENT = {"load": None, "bundles": [], "known": {}, "mark": "", "pending": False}


def foreign(path: Path) -> None:
    path.write_bytes(b"")
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE bundle (name TEXT)")


def older(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 2")


def damaged(path: Path) -> None:
    path.write_bytes(b"no database at all, whatever it looks like" * 100)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("spoil", [foreign, older, damaged])
def test_a_file_that_is_not_ours_is_the_same_error_for_everybody_and_no_empty_course(
    tmp_path: Path, spoil: Callable[[Path], None], reader: str
) -> None:
    store = Store(tmp_path)
    finished(store)
    spoil(store.path)
    before = store.path.read_bytes()
    with pytest.raises(CannotStore, match=r"the results in .*results\.db"):
        READERS[reader](store)
    with pytest.raises(CannotStore):
        store.save(BUNDLE)
    assert store.path.read_bytes() == before


@pytest.mark.parametrize("reader", READERS)
def test_whoever_reads_where_nothing_was_stored_leaves_no_file(tmp_path: Path, reader: str) -> None:
    assert READERS[reader](Store(tmp_path)) == ABSENT[reader]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "body",
    [
        "replace(body, '\"format\": 2', '\"format\": 1')",
        "substr(body, 1, 50)",
        "''",
        "NULL",
        "'[]'",
        "json_remove(body, '$.verdicts')",
        "json_set(body, '$.key', 5)",
        "json_set(body, '$.verdicts.p1a_conv1d.results[0].points', 'many')",
        "json_set(body, '$.something', 1)",
        "x'ff'",
    ],
)
def test_a_row_that_cannot_be_read_counts_as_absent_for_everybody(tmp_path: Path, body: str) -> None:
    store = Store(tmp_path)
    finished(store)
    with sqlite3.connect(store.path) as connection:
        connection.execute(f"UPDATE bundle SET body = {body}")
    assert store.load(KEY) is None
    assert store.bundles("pset4") == []
    assert store.known("pset4") == {"ada": False}
    store.save(BUNDLE)
    assert store.load(KEY) == BUNDLE


@pytest.mark.parametrize("sign", ["x", "😀", "\x00", '"', "\n"])
def test_outputs_that_are_too_large_are_left_out_before_a_verdict_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sign: str
) -> None:
    monkeypatch.setattr(module, "MAX_BUNDLE", 1_000_000)
    huge = replace(BUNDLE, outputs={0: [{"text": sign * module.MAX_BUNDLE}], 1: [{"text": "small"}]})
    Store(tmp_path).save(huge)
    stored = Store(tmp_path).load(KEY)
    assert stored is not None
    assert stored.verdicts == BUNDLE.verdicts
    assert stored.outputs == {1: [{"text": "small"}]}
    assert "the outputs of 1 cells are not kept" in stored.remarks[-1]


def test_scores_that_are_no_numbers_are_not_stored(tmp_path: Path) -> None:
    nan = Verdict("p1a_conv1d", (PropertyResult("values", float("nan"), 5, True),))
    with pytest.raises(ValueError, match="not JSON compliant"):
        Store(tmp_path).save(BUNDLE.with_verdict(nan))


def test_what_could_not_be_judged_is_never_complete() -> None:
    assert replace(BUNDLE, status="graded").complete
    assert not replace(BUNDLE.with_ungraded("p1a_conv1d", "no memory"), status="not gradable").complete
    assert not BUNDLE.complete


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


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300), st.text("ab[]*%_'\"; /.", max_size=50))
def test_no_name_meets_another(tmp_path: Path, student: str, notebook: str) -> None:
    store = Store(tmp_path)
    mine = replace(BUNDLE, key=Key(student, "pset4", notebook))
    store.save(mine)
    assert store.load(mine.key) == mine
    assert store.load(replace(mine.key, student=student + "x")) is None


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
