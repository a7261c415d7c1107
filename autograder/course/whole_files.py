"""Files that appear whole or not at all, and files that are nothing but files."""

from __future__ import annotations

import os
import re
import secrets
import stat
from pathlib import Path


def read_regular(path: Path, *, most: int = 256_000_000, only: int = -1) -> bytes:
    """A file's bytes, or only so many of them; links are not followed.

    Raises:
        OSError: If it is a link, a pipe or a device, cannot be read, or is too large.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode) or about.st_size > most:
            raise OSError(f"{path.name} is no regular file of at most {most:,} bytes")
        return file.read(only)


def write_whole(path: Path, content: bytes, *, mode: int, once: bool = False) -> None:
    """Writes a file that appears whole or not at all, and clears away what an interrupted run has left.

    Args:
        path: The file.
        content: Its bytes.
        mode: Who may read and write it.
        once: Whether a file that is there already stays; of two processes that try, the first one wins.
    """
    drafts = re.compile(re.escape(f".{path.name}.") + r"[0-9a-f]{8}\.draft")
    if not once:
        for left in (other for other in path.parent.iterdir() if drafts.fullmatch(other.name)):
            left.unlink(missing_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.draft")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.chmod(mode)
        if once:
            _put_first(draft, path)
        else:
            draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _put_first(draft: Path, path: Path) -> None:
    try:
        os.link(draft, path)
    except FileExistsError:
        return
    except OSError:  # no hard links on this file system
        draft.replace(path)
