"""The students' page says what is so: its commands, calls, times and pictures."""

from __future__ import annotations

import importlib
import re
import shlex

import nbformat
import pytest
from PIL import Image
from student_pictures import PICTURES, path_of

from autograder.course.contract import NOTEBOOKS
from autograder.course.folders import REPOSITORY
from pset4.command_line import main

TEXT = (REPOSITORY / "docs" / "student.md").read_text(encoding="utf-8")
COMMANDS = sorted(set(re.findall(r"(?:`|^ *)(pset4 \w+[^`\n]*)", TEXT, flags=re.MULTILINE)))
SOURCES = REPOSITORY / "autograder" / "source" / "pset4"


def test_every_picture_is_taken_by_the_script_and_says_what_it_shows() -> None:
    shown = dict(re.findall(r"!\[([^\]]+)\]\((\S+)\)", TEXT))
    assert sorted(shown.values()) == sorted(path_of(name).name for name in PICTURES)
    assert all(len(words) > 20 for words in shown)


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_small(name: str) -> None:
    assert path_of(name).stat().st_size <= 150_000
    with Image.open(path_of(name)) as picture:
        assert picture.width <= 900


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_can_be_typed(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = []
    _, name, *arguments = shlex.split(command)
    monkeypatch.setattr(
        importlib.import_module(f"pset4.commands.{name}"), "run", lambda options: typed.append(name) or 0
    )
    assert main([name, *arguments]) == 0 and typed == [name]


def test_the_search_finds_the_commands() -> None:
    assert {command.split()[1] for command in COMMANDS} >= {"doctor", "fetch", "verify", "handin"}


@pytest.mark.parametrize("module", ["checks", "explore"])
def test_what_is_called_is_there(module: str) -> None:
    names = set(re.findall(rf"\b{module}\.(\w+)\(", TEXT))
    assert names and not [name for name in names if not hasattr(importlib.import_module(f"pset4.{module}"), name)]


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_the_times_are_those_of_the_notebooks(number: int) -> None:
    (row,) = (line for line in TEXT.splitlines() if line.startswith(f"| {number} "))
    title = nbformat.read(SOURCES / f"{NOTEBOOKS[number - 1]}.ipynb", as_version=4).cells[0].source
    (together,) = (line for line in title.splitlines() if "**together**" in line)
    assert re.findall(r"(\d+) minutes", row) == re.findall(r"\*\*(\d+)\*\*", together)[1:]
