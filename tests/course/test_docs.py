"""What the pages for readers name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from autograder.course.folders import REPOSITORY

PAGES = [
    REPOSITORY / "README.md",
    *sorted((REPOSITORY / "docs").glob("*.md")),
    *sorted((REPOSITORY / "data").glob("*.md")),
]
FOLDERS = ("autograder", "pset4", "training", "tests", "data", "docs", "benchmarks", "notebooks")
# In words about the engine and about exercises, paths begin at these folders.
SHORT = ("autograder", "autograder/engine", "pset4", "pset4/checks", "pset4/checks/misconceptions")


def paths_in(page: Path) -> list[str]:
    """Names of Python files and of folders of the repository, as they stand in the text."""
    words = re.findall(r"`([\w./*<>-]+)`", page.read_text(encoding="utf-8"))
    return [word for word in words if word.endswith(".py") or (word.endswith("/") and word.split("/")[0] in FOLDERS)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    places = [REPOSITORY, *(REPOSITORY / folder for folder in SHORT)]
    lost = [path for path in paths_in(page) if not any(list(place.glob(path.rstrip("/"))) for place in places)]
    assert lost == []


def test_the_search_finds_paths() -> None:
    assert len(paths_in(REPOSITORY / "docs" / "architecture.md")) >= 10


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
