"""The files of the students' repository: copied from the course, or written from its settings."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import tomlkit

from autograder.publishing.refused import Refused
from pset4.settings import Settings

COPIED_FOLDERS = ("pset4", "data")
STUDENT_PAGE = "docs/student.md"
LEFT_OUT = re.compile(r"^[.]|~$|^__pycache__$|\.pyc$")
"""Names in copied folders that belong to a machine or an editor."""
STUDENTS_EXTRAS = ("embedded", "lab", "handin")
INSTRUCTORS_SETTINGS = ("grading",)
BADGE = "https://colab.research.google.com/assets/colab-badge.svg"
IGNORED = """\
__pycache__/
*.egg-info/
.venv/
.ipynb_checkpoints/
/dist/
/build/
# what you save and hand in
*.zip
/notebooks/*.png
"""


@dataclass(frozen=True)
class Content:
    """What a published file holds.

    Attributes:
        data: Its bytes.
        executable: Whether it may be run.
    """

    data: bytes
    executable: bool = False


def students_files(course: Path, notebooks: Path, settings_file: Path, settings: Settings) -> dict[str, Content]:
    """Everything that students get, by its path in their repository.

    Args:
        course: Top of the course's own repository.
        notebooks: Folder of the released notebooks, made anew.
        settings_file: The course's `pset4.toml`.
        settings: What stands in it.

    Raises:
        Refused: If a file is missing or is a link.
    """
    project = tomllib.loads(_text(course / "pyproject.toml"))
    page = _text(course / STUDENT_PAGE)
    pictures = sorted(set(re.findall(r"!\[[^\]]*\]\(([^):]+)\)", page)))
    single = ["LICENSE", STUDENT_PAGE, *(f"docs/{picture}" for picture in pictures)]
    written = {
        "README.md": readme(notebooks, settings),
        "environment.yml": environment(project),
        "pyproject.toml": students_project(project),
        "pset4.toml": students_settings(tomllib.loads(_text(settings_file))),
        ".gitignore": IGNORED,
    }
    copied = [(name, course / name) for name in single]
    copied += [(name, path) for folder in COPIED_FOLDERS for name, path in _walk(course / folder, folder)]
    copied += [(f"notebooks/{path.name}", path) for path in sorted(notebooks.glob("*.ipynb"))]
    contents = {name: Content(text.encode()) for name, text in written.items()}
    contents |= {name: _copy(path) for name, path in copied}
    return dict(sorted(contents.items()))


def _walk(folder: Path, name: str) -> Iterator[tuple[str, Path]]:
    """Paths of the files of a folder and what they are called in the students' repository."""
    if not folder.is_dir():
        raise Refused(f"{folder} is missing, and students need it; it is part of the course.")
    for path in sorted(folder.iterdir()):
        if LEFT_OUT.search(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path, f"{name}/{path.name}")
        else:
            yield f"{name}/{path.name}", path


def _copy(path: Path) -> Content:
    if path.is_symlink() or not path.is_file():
        what = "is a link" if path.is_symlink() else "is missing" if not path.exists() else "is no file"
        raise Refused(f"{path} {what}; only files of the course are published. Put the file itself there.")
    return Content(path.read_bytes(), executable=bool(path.stat().st_mode & 0o100))


def _text(path: Path) -> str:
    return _copy(path).data.decode("utf-8")


def students_project(project: Mapping[str, Any]) -> str:
    """The students' `pyproject.toml`: the course's package and its dependencies, nothing of grading and development."""
    about = dict(project["project"])
    extras = about["optional-dependencies"]
    about["optional-dependencies"] = {name: extras[name] for name in STUDENTS_EXTRAS if name in extras}
    about["scripts"] = {name: where for name, where in about["scripts"].items() if where.startswith("pset4.")}
    build = dict(project["tool"]["hatch"]["build"])
    build["targets"] = {"wheel": build["targets"]["wheel"]}
    kept = {"build-system": project["build-system"], "project": about, "tool": {"hatch": {"build": build}}}
    return tomlkit.dumps(_one_a_line(kept))


def _one_a_line(value: Any) -> Any:
    """The same with every list of several entries written on as many lines."""
    if isinstance(value, Mapping):
        return {name: _one_a_line(part) for name, part in value.items()}
    if isinstance(value, list) and len(value) > 1:
        lines = tomlkit.array()
        lines.extend(value)
        return lines.multiline(True)
    return value


def students_settings(settings: Mapping[str, Any]) -> str:
    """The students' `pset4.toml`: what their package reads, without what concerns grading."""
    kept = {name: section for name, section in settings.items() if name not in INSTRUCTORS_SETTINGS}
    return "# The settings of your course; your instructors publish them.\n\n" + tomlkit.dumps(kept)


def environment(project: Mapping[str, Any]) -> str:
    """The students' conda file; the list of dependencies is the one in `pyproject.toml`."""
    about = project["project"]
    extras = ",".join(name for name in STUDENTS_EXTRAS if name in about["optional-dependencies"])
    return (
        "# conda env create -f environment.yml && conda activate pset4\n"
        "name: pset4\nchannels:\n  - conda-forge\ndependencies:\n"
        f"  - python{about['requires-python']}\n  - pip\n  - pip:\n      - -e .[{extras}]\n"
    )


def readme(notebooks: Path, settings: Settings) -> str:
    """The front page of the students' repository."""
    github = f"https://colab.research.google.com/github/{settings.repository}/blob/{settings.branch}/notebooks"
    rows = [
        f"| [{_title(path)}](notebooks/{path.name}) | [![Open in Colab]({BADGE})]({github}/{path.name}) |"
        for path in sorted(notebooks.glob("*.ipynb"))
    ]
    page = files("autograder.publishing").joinpath("students_readme.md").read_text(encoding="utf-8")
    return Template(page).substitute(
        name=settings.course_name,
        notebooks="\n".join(rows),
        repository=settings.repository,
        folder=settings.repository.rpartition("/")[2],
        track=f" --track {settings.tracks[-1]}" if settings.tracks else "",
    )


def _title(notebook: Path) -> str:
    """The first heading of a notebook, or its name."""
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if heading := re.match(r"# (.+)", "".join(cell["source"])):
            return heading[1]
    return notebook.stem
