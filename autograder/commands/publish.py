"""Writes the students' repository: notebooks, package and data, and no line of an answer."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from autograder.commands.course import release_into
from autograder.course.address import UNKNOWN, on_github, origin
from autograder.course.agreement import Disagreement
from autograder.course.folders import REPOSITORY
from autograder.publishing import target
from autograder.publishing.contents import Content, students_files
from autograder.publishing.leaks import Leak, is_searchable, leaks
from autograder.publishing.refused import Refused
from pset4 import settings as course_settings
from pset4.settings import Settings

MOST_SHOWN = 10


def publish(folder: Path, *, dry_run: bool = False, console: Console | None = None) -> int:
    """Writes the students' repository into a folder, or brings it up to date; nothing of the course itself changes.

    Args:
        folder: Made if it is missing. `.git` and files of others in it stay as they are.
        dry_run: Say what would change, and change nothing.
        console: Where that is said.

    Returns:
        0 if the folder is up to date (or would be); 1 if publishing was refused, with a sentence that says why.
    """
    console = console or Console()
    try:
        settings = course_settings.load_settings()
        target.check_place(folder, REPOSITORY)
        check_address(settings, folder)
        files = _made(settings)
        check_secrets(files, folder)
        todo = target.plan(folder, files)
        if not dry_run:
            target.carry_out(folder, files, todo)
    except (Refused, Disagreement, ValueError, RuntimeError) as reason:
        console.print(f"Nothing is published. {reason}", markup=False, highlight=False, soft_wrap=True)
        return 1
    except OSError as reason:
        console.print(f"{reason}. Mend this and publish again.", markup=False, highlight=False, soft_wrap=True)
        return 1
    for line in _report(folder, todo, settings, dry_run):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return 0


def check_address(settings: Settings, folder: Path, course: Path = REPOSITORY) -> None:
    """Refuses an address that is not the students'.

    Raises:
        Refused: If none is set, or it is that of the course's own repository, or the folder is pushed elsewhere.
    """
    address = settings.repository
    where = f'{course_settings.settings_file()}, [course] repository = "{address}"'
    if address.startswith(UNKNOWN):
        raise Refused(f"{where} names nobody yet; set it to the students' repository, the public one.")
    if on_github(origin(course)).lower() == address.lower():
        raise Refused(
            f"{where} is this repository itself, which holds the solutions and stays private; "
            "set it to the students' repository, the public one."
        )
    pushed = on_github(origin(folder)) if target.is_repository(folder) else ""
    if pushed and pushed.lower() != address.lower():
        raise Refused(f"{where}, but {folder} is pushed to {pushed}; make both the same.")


def _made(settings: Settings) -> dict[str, Content]:
    """The files of the students' repository, with notebooks that are released anew."""
    with tempfile.TemporaryDirectory() as notebooks:
        release_into(Path(notebooks))
        return students_files(REPOSITORY, Path(notebooks), course_settings.settings_file(), settings)


def check_secrets(files: Mapping[str, Content], folder: Path) -> None:
    """Refuses files that hold a line of a solution, an exam or the bank, and a folder whose history holds one.

    Raises:
        Refused: With file, line and origin of the first ones.
    """
    contents = {name: content.data for name, content in files.items()}
    if blind := [name for name, content in contents.items() if not is_searchable(name, content)]:
        raise Refused(f"{blind[0]} is no text and cannot be searched for answers; take it out of the course's folder.")
    if found := leaks(contents):
        raise Refused(
            "Students would see what they must not:\n" + _some(found) + "\nTake these lines out, and try again."
        )
    if target.is_repository(folder) and (found := leaks(target.history(folder))):
        raise Refused(
            f"The history of {folder} holds what students must not see:\n{_some(found)}\n"
            "Whoever clones it gets its history; publish into a new folder, and push that to a new repository."
        )


def _some(found: Sequence[Leak]) -> str:
    lines = [f"  {leak}" for leak in found]
    more = [f"  and {len(lines) - MOST_SHOWN} more"] if len(lines) > MOST_SHOWN else []
    return "\n".join([*lines[:MOST_SHOWN], *more])


def _report(folder: Path, todo: target.Plan, settings: Settings, dry_run: bool) -> list[str]:
    """What was done or would be, and what to type next."""
    lines = []
    if dry_run:
        named = (("new", todo.new), ("changed", todo.changed), ("removed", todo.removed))
        lines += [f"{word:8} {name}" for word, names in named for name in names]
    lines.append(
        f"{folder} {'would be' if dry_run else 'is'} the students' repository: {len(todo.new)} files new, "
        f"{len(todo.changed)} changed, {len(todo.removed)} removed, {todo.same} as they were."
    )
    if todo.foreign:
        lines.append(f"Also there, and not from publish: {', '.join(todo.foreign)}. Look at them before you push.")
    if not dry_run and (todo.new or todo.changed or todo.removed or not target.is_repository(folder)):
        lines += ["To push it:", *(f"  {command}" for command in pushing(folder, settings))]
    return lines


def pushing(folder: Path, settings: Settings) -> list[str]:
    """The commands that push the folder to the students' repository."""
    begin = [f"cd {shlex.quote(str(folder))}"]
    commit = ["git add --all", f"git commit -m {shlex.quote(settings.course_name)}"]
    if target.is_repository(folder):
        return [*begin, *commit, "git push"]
    remote = f"git remote add origin https://github.com/{settings.repository}.git"
    return [*begin, f"git init -b {settings.branch}", *commit, remote, f"git push -u origin {settings.branch}"]
