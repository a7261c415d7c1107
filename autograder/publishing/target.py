"""The folder that becomes the students' repository: what may be written there, and what an earlier run has left.

Which files are ours stands in `.published`; every other file belongs to somebody else.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from autograder.course.whole_files import write_whole
from autograder.publishing.contents import Content
from autograder.publishing.leaks import BINARY
from autograder.publishing.refused import Refused

LIST = ".published"
_HEADING = "# Written by `python -m autograder publish`, which replaces and removes these files and no others.\n"


@dataclass(frozen=True)
class Plan:
    """What publishing changes in a folder; paths in it.

    Attributes:
        new: Files that are not there yet.
        changed: Files that are there with other contents.
        removed: Files of an earlier run that are no longer part.
        same: How many stay as they are.
        foreign: What else lies at the top of the folder.
    """

    new: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    same: int
    foreign: tuple[str, ...]


def is_repository(folder: Path) -> bool:
    """Whether git keeps the folder."""
    return (folder / ".git").exists()


def check_place(folder: Path, course: Path) -> None:
    """Refuses folders that must not become the students' repository.

    Raises:
        Refused: If it is the course itself or lies in it, or holds files that publishing has not written.
    """
    place, course = folder.resolve(), course.resolve()
    if place == course or course in place.parents:
        raise Refused(
            f"{folder} lies in the course's own repository ({course}), which holds the solutions; "
            f"choose a folder beside it, such as {course.parent / 'students'}."
        )
    if folder.exists() and not folder.is_dir():
        raise Refused(f"{folder} is a file; give the name of a folder.")
    inside = sorted(path.name for path in folder.iterdir() if path.name != ".git") if folder.exists() else []
    if inside and LIST not in inside:
        raise Refused(
            f"{folder} holds files that publish has not written ({', '.join(inside[:3])}"
            f"{', ...' if len(inside) > 3 else ''}); choose an empty folder, or a clone of an empty repository."
        )


def plan(folder: Path, files: Mapping[str, Content]) -> Plan:
    """What there is to do.

    Raises:
        Refused: If somebody else's file or a link stands in the place of one that would be written or removed.
    """
    ours = _earlier(folder)
    states = {name: _state(folder, name, content, name in ours) for name, content in files.items()}
    for name in ours:
        _refuse_links(folder, name)
    tops = {PurePosixPath(name).parts[0] for name in (*files, *ours)} | {LIST, ".git"}
    there = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    return Plan(
        new=tuple(name for name, state in states.items() if state == "new"),
        changed=tuple(name for name, state in states.items() if state == "changed"),
        removed=tuple(name for name in sorted(ours - files.keys()) if (folder / name).is_file()),
        same=sum(state == "same" for state in states.values()),
        foreign=tuple(name for name in there if name not in tops),
    )


def _earlier(folder: Path) -> set[str]:
    """The files that an earlier run has written, by its own list."""
    path = folder / LIST
    if not path.is_file():
        return set()
    names = {line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")}
    for name in names:
        parts = PurePosixPath(name).parts
        if PurePosixPath(name).is_absolute() or not parts or {"..", ".git"} & set(parts) or "\\" in name:
            raise Refused(f"{path} names {name!r}, which publish has not written; take the line out.")
    return names


def _refuse_links(folder: Path, name: str) -> None:
    steps = [*reversed(PurePosixPath(name).parents), PurePosixPath(name)][1:]
    for step in steps:
        if (folder / step).is_symlink():
            raise Refused(f"{folder / step} is a link, and publish would write elsewhere; remove it.")


def _state(folder: Path, name: str, content: Content, ours: bool) -> str:
    _refuse_links(folder, name)
    path = folder / name
    if any((folder / step).is_file() for step in PurePosixPath(name).parents) or path.is_dir():
        raise Refused(f"{path} cannot be written: a file and a folder would have one name; move what is there away.")
    if not path.exists():
        return "new"
    executable = bool(path.stat().st_mode & 0o100)
    if path.read_bytes() == content.data and executable == content.executable:
        return "same"
    if not ours:
        raise Refused(f"{path} is there, and publish has not written it; move it away, or rename it.")
    return "changed"


def carry_out(folder: Path, files: Mapping[str, Content], todo: Plan) -> None:
    """Writes and removes; a run that was interrupted can be repeated."""
    folder.mkdir(parents=True, exist_ok=True)
    _list(folder, {*files, *todo.removed})
    for name in (*todo.new, *todo.changed):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, files[name].data, mode=0o755 if files[name].executable else 0o644)
    for name in todo.removed:
        (folder / name).unlink()
        for parent in (folder / name).parents:
            if parent == folder or any(parent.iterdir()):
                break
            parent.rmdir()
    _list(folder, set(files))


def _list(folder: Path, names: set[str]) -> None:
    text = _HEADING + "".join(f"{name}\n" for name in sorted(names))
    write_whole(folder / LIST, text.encode(), mode=0o644)


def history(folder: Path) -> dict[str, bytes]:
    """Every text that any commit of a git repository holds, by its path and the name that git has for it."""
    listed = _git(folder, "rev-list", "--objects", "--all").decode("utf-8", "surrogateescape").splitlines()
    paths = dict(line.split(" ", 1) for line in listed if " " in line and Path(line).suffix not in BINARY)
    answer = _git(folder, "cat-file", "--batch", given="".join(f"{name}\n" for name in paths).encode())
    found, position = {}, 0
    while position < len(answer):
        end = answer.index(b"\n", position)
        name, kind, size = answer[position:end].decode().split()
        start = end + 1
        position = start + int(size) + 1
        if kind == "blob":
            found[f"(git show {name[:10]}) {paths[name]}"] = answer[start : position - 1]
    return found


def _git(folder: Path, *arguments: str, given: bytes = b"") -> bytes:
    command = ["git", "-C", os.fspath(folder), *arguments]
    try:
        return subprocess.run(command, check=True, capture_output=True, input=given).stdout
    except FileNotFoundError:
        raise Refused("git is not installed, and the history of the folder cannot be searched; install it.") from None
    except subprocess.CalledProcessError as error:
        raise Refused(f"git cannot read {folder}: {error.stderr.decode('utf-8', 'replace').strip()}") from None
