"""The files that a submission brought along, on their way into its home in the sandbox."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from autograder.engine.wire.limits import Limits

MOST_FILES = 400


def copy_files(folder: Path | None, home: Path, limits: Limits) -> None:
    """Copies the regular files of a folder into a home, as far as they fit; links and special files are left out.

    Nobody else is in that home yet. What stands in it already is the environment, on a machine that keeps it there:
    nothing is copied into that, since a link in it would be followed.
    """
    left = limits.file_bytes // 4
    taken = {path.name for path in home.iterdir()}
    for path, relative in _regular_files(folder) if folder else ():
        if relative.parts[0] not in taken:
            with contextlib.suppress(OSError):  # it cannot be read, or has no room
                left -= _copy_file(path, relative, home, most=left)


def _regular_files(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Regular files of a folder and their places relative to it, without following links."""
    number = 0
    for root, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if not Path(root, name).is_symlink())
        for path in (Path(root, name) for name in sorted(names)):
            if stat.S_ISREG(path.lstat().st_mode) and number < MOST_FILES:
                number += 1
                yield path, path.relative_to(folder)


def _copy_file(path: Path, relative: Path, home: Path, *, most: int) -> int:
    """Copies a file, unless it has more than `most` bytes; the bytes that were copied."""
    source = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(source, "rb") as reader:
        status = os.fstat(source)
        if not stat.S_ISREG(status.st_mode) or status.st_size > most:
            return 0
        for parent in [home / parent for parent in relative.parents][-2::-1]:
            with contextlib.suppress(FileExistsError):
                parent.mkdir()
                parent.chmod(0o777)
        with (home / relative).open("xb") as writer:
            os.fchmod(writer.fileno(), 0o666)
            return writer.write(reader.read(status.st_size))
