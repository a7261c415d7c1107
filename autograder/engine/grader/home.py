"""The files that a submission brought along, on their way into its home in the sandbox."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from autograder.engine.grader.places import HOME
from autograder.engine.wire.limits import Limits

MOST_FILES = 400


def regular_files(folder: Path | None, *, most: int) -> list[tuple[Path, Path]]:
    """Regular files of a folder and their places relative to it, without following links."""
    found: list[tuple[Path, Path]] = []
    if folder is None:
        return found
    for root, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if not Path(root, name).is_symlink())
        for name in sorted(names):
            path = Path(root, name)
            if stat.S_ISREG(path.lstat().st_mode) and len(found) < most:
                found.append((path, path.relative_to(folder)))
    return found


def copy_into_home(root: int, folder: Path | None, limits: Limits) -> None:
    """Copies the regular files of a folder, as far as they fit; links and special files are left out.

    Nobody else is in the namespaces yet. What stands in the home already is the environment, on a machine that keeps
    it there: nothing is copied into that, since a link in it would be followed.
    """
    home, left = HOME[1:], limits.file_bytes // 4
    taken = {path.name for path in Path(f"/proc/self/fd/{root}", home).iterdir()}
    for path, relative in regular_files(folder, most=MOST_FILES):
        if relative.parts[0] not in taken:
            with contextlib.suppress(OSError):  # it cannot be read, or has no room
                left -= _copy_file(path, f"{home}/{relative}", root=root, most=left)


def _copy_file(path: Path, target: str, *, root: int, most: int) -> int:
    """Copies a file below an open folder, unless it has more than `most` bytes; the bytes that were copied."""
    source = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(source, "rb") as reader:
        status = os.fstat(source)
        if not stat.S_ISREG(status.st_mode) or status.st_size > most:
            return 0
        for parent in list(Path(target).parents)[-2::-1]:
            with contextlib.suppress(FileExistsError):
                os.mkdir(parent, dir_fd=root)
                os.chmod(parent, 0o777, dir_fd=root)
        copy = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, dir_fd=root)
        with os.fdopen(copy, "wb") as writer:
            os.fchmod(writer.fileno(), 0o666)
            return writer.write(reader.read(status.st_size))
