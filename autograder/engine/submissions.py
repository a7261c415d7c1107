"""Finds what was handed in, and builds from it the notebooks to run. Nothing of a student's is executed here."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbgrader.converters import GenerateAssignment
from nbgrader.preprocessors import ClearHiddenTests, SaveCells
from traitlets.config import Config

from autograder.engine.rebuild import MAX_BYTES, Rebuilt, Submission, names_defined, read_submission, rebuild

Json = dict[str, Any]
MAX_LISTED = 2_000


@dataclass(frozen=True)
class Template:
    """One of the course's notebooks as it is executed: released answers, whole tests.

    Attributes:
        notebook: In nbformat 4.
        names: What each answer cell is expected to define, by its id.
    """

    notebook: Json
    names: dict[str, frozenset[str]]


@dataclass(frozen=True)
class Arrived:
    """What became of one notebook of a submission before anything runs.

    Attributes:
        rebuilt: The notebook to run.
        arrival: "handed in", "not handed in" or "unreadable".
    """

    rebuilt: Rebuilt
    arrival: str


def load_template(path: Path, config: Config) -> Template:
    """Reads a source notebook and treats it as the release does, but keeps the hidden tests.

    Args:
        path: The notebook in `source/`.
        config: The course's nbgrader configuration.
    """
    source = nbformat.read(path, as_version=4)
    answers = (cell for cell in source.cells if cell.metadata.get("nbgrader", {}).get("solution"))
    names = {
        cell.metadata.nbgrader.grade_id: names_defined(cell.source) for cell in answers if cell.cell_type == "code"
    }
    resources: Json = {"nbgrader": {"notebook": path.stem}, "unique_key": path.stem}
    configured = config.GenerateAssignment.get("preprocessors") or GenerateAssignment.preprocessors.default()
    for kind in configured:
        if not issubclass(kind, SaveCells | ClearHiddenTests):
            source, resources = kind(config=config).preprocess(source, resources)
    for cell in source.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return Template(_plain(source), names)


def _plain(node: Any) -> Any:
    """Ordinary dictionaries and lists in place of nbformat's nodes."""
    if isinstance(node, dict):
        return {key: _plain(value) for key, value in node.items()}
    return [_plain(value) for value in node] if isinstance(node, list) else node


def collect(folder: Path, name: str, template: Template) -> Arrived:
    """Reads one notebook of a submission and rebuilds it.

    Args:
        folder: The submission's folder.
        name: The notebook's name without ".ipynb".
        template: The course's notebook.
    """
    path, renamed = find_notebook(folder, name)
    if path is None:
        return Arrived(_rebuilt(template, Submission(remarks=(f"{name}.ipynb was not handed in",))), "not handed in")
    content, problem = read_regular_file(path)
    submission = (
        Submission(remarks=(f"{path.name}: {problem}",), readable=False) if problem else read_submission(content)
    )
    rebuilt = _rebuilt(template, submission)
    if renamed:
        rebuilt = Rebuilt(rebuilt.notebook, (f"{path.name!r} was taken for {name}.ipynb", *rebuilt.remarks))
    return Arrived(rebuilt, "handed in" if submission.readable else "unreadable")


def _rebuilt(template: Template, submission: Submission) -> Rebuilt:
    return rebuild(template.notebook, submission, names=template.names)


def find_notebook(folder: Path, name: str) -> tuple[Path | None, bool]:
    """The file that holds a notebook, and whether it goes by another name ("problem1_forward (1).ipynb")."""
    path = folder / f"{name}.ipynb"
    if os.path.lexists(path):
        return path, False
    try:
        others = [p for p in sorted(folder.iterdir())[:MAX_LISTED] if p.suffix == ".ipynb" and name in p.stem.lower()]
    except OSError:
        return None, False
    return (others[-1], True) if others else (None, False)


def read_regular_file(path: Path) -> tuple[bytes, str]:
    """A file's bytes, or why it is not read: links lead elsewhere, pipes and devices never end."""
    try:
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(path, flags)
    except OSError as error:
        return (
            b"",
            "it is a link, which is not followed" if path.is_symlink() else f"it cannot be opened ({error.strerror})",
        )
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return b"", "it is not a regular file"
        return file.read(MAX_BYTES + 1), ""


def not_regular(folder: Path) -> list[str]:
    """Names of the files in a submission that are links, pipes or devices: they must not be copied anywhere."""
    found = []
    for root, _folders, names in os.walk(folder, followlinks=False):
        for name in names:
            try:
                regular = stat.S_ISREG(Path(root, name).lstat().st_mode)
            except OSError:
                regular = False
            if not regular:
                found.append(name)
    return found


def expected_notebooks(source: Path) -> list[str]:
    """Names of the assignment's notebooks, without ".ipynb"."""
    return sorted(path.stem for path in source.glob("*.ipynb"))


def lacking(folder: Path, names: Iterable[str]) -> Sequence[str]:
    """Which of the notebooks are missing from a folder."""
    return [name for name in names if not (folder / f"{name}.ipynb").is_file()]
