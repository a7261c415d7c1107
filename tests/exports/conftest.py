"""A course to export from, with a due date."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from exporting import DUE, STUDENTS, Exporting
from marked_class import make_class, set_due


@pytest.fixture(scope="session")
def graded_class(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_class(tmp_path_factory.mktemp("class"), STUDENTS)


@pytest.fixture
def exporting(graded_class: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Exporting:
    set_due(monkeypatch, tmp_path, DUE.isoformat())
    shutil.copytree(graded_class, tmp_path / "course")
    return Exporting(tmp_path, [])
