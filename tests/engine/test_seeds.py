"""The seeds of the hidden exams."""

from __future__ import annotations

import stat
from multiprocessing.pool import ThreadPool
from pathlib import Path

import pytest

from autograder.course.seeds import SECRET_FILE, exam_seed


def test_a_seed_is_repeated_and_differs_between_students_assignments_and_courses(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    seed = exam_seed(first, "ada", "pset4")
    assert seed == exam_seed(str(first), "ada", "pset4")
    others = [
        exam_seed(first, "bob", "pset4"),
        exam_seed(first, "ada", "pset5"),
        exam_seed(second, "ada", "pset4"),
        exam_seed(first, "ad", "apset4"),
        exam_seed(first, "\udce9", "pset4"),
    ]
    assert len({seed, *others}) == 6
    assert all(0 <= s < 2**63 for s in [seed, *others])


def test_the_secret_is_private_and_made_only_once(tmp_path: Path) -> None:
    with ThreadPool(8) as pool:
        seeds = pool.map(lambda _: exam_seed(tmp_path, "ada", "pset4"), range(8))
    assert len(set(seeds)) == 1
    assert stat.S_IMODE((tmp_path / SECRET_FILE).stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == [SECRET_FILE]


def test_a_damaged_secret_is_named(tmp_path: Path) -> None:
    (tmp_path / SECRET_FILE).write_text("short")
    with pytest.raises(ValueError, match="5 bytes"):
        exam_seed(tmp_path, "ada", "pset4")
