"""Reads a download: a folder or a zip archive of anything, within bounds, without following or unpacking tricks."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path, PurePosixPath, PureWindowsPath

from autograder.engine.grader.staging import NOBODYS, Reader, harmless
from autograder.engine.wire.limits import MEGABYTE

MAX_ARCHIVES = 2  # an archive in an archive: a student's zip in the platform's zip
MAX_ENTRIES = 20_000
MAX_TOTAL_BYTES = 4_000 * MEGABYTE
MAX_FILE_BYTES = 64 * MEGABYTE
MAX_ARCHIVE_BYTES = 512 * MEGABYTE
EARLIEST = datetime(1980, 1, 2, tzinfo=UTC).timestamp()  # zip archives without dates say 1980-01-01


class NoSource(Exception):
    """A download that cannot be read as a whole, in a sentence."""


@dataclass(frozen=True)
class Found:
    """A file of a download.

    Attributes:
        place: Where it stood: the names of folders and archives, and its own.
        content: Its bytes; None where it was refused.
        problem: Why it was refused.
        modified: When it was last written, in seconds since 1970; 0 where nobody knows.
    """

    place: PurePosixPath
    content: bytes | None
    problem: str = ""
    modified: float = 0.0


class _Room:
    """Bytes and files that may still be read, of the whole download."""

    def __init__(self) -> None:
        self.bytes, self.entries = MAX_TOTAL_BYTES, MAX_ENTRIES


def read_source(source: Path) -> Iterator[Found]:
    """Every file of a folder or a zip archive, those in archives inside of it, too.

    Args:
        source: A folder, or a file that is a zip archive.

    Raises:
        NoSource: If there is no such folder or file, or it is no zip archive.
    """
    room = _Room()
    if source.is_dir():
        for entry in Reader(room=MAX_TOTAL_BYTES, most=MAX_ENTRIES, largest=MAX_ARCHIVE_BYTES).read(source):
            yield from _opened(Found(entry.place, entry.content, entry.problem, entry.modified), room, 1)
    elif not source.is_file():
        raise NoSource(f"{source}: there is no such file or folder. Give the zip that the platform made, or a folder.")
    elif not zipfile.is_zipfile(source):
        raise NoSource(f"{source} is no zip archive. Give the zip that the platform made, or a folder of hand-ins.")
    else:
        with zipfile.ZipFile(source) as archive:
            yield from _unpacked(archive, PurePosixPath(), room, 1)


def _opened(found: Found, room: _Room, depth: int) -> Iterator[Found]:
    """The file itself, or what is in it if it is an archive."""
    if found.place.suffix.lower() != ".zip" or found.content is None:
        yield found
        return
    if depth > MAX_ARCHIVES:
        yield Found(found.place, None, "an archive in an archive in an archive is not opened")
        return
    try:
        with zipfile.ZipFile(BytesIO(found.content)) as archive:
            yield from _unpacked(archive, found.place, room, depth)
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError) as error:
        yield Found(found.place, None, f"the archive cannot be unpacked ({error})")


def _unpacked(archive: zipfile.ZipFile, place: PurePosixPath, room: _Room, depth: int) -> Iterator[Found]:
    for info in archive.infolist():
        path = PurePosixPath(info.filename.replace("\\", "/"))
        if info.is_dir() or NOBODYS & set(path.parts):
            continue
        room.entries -= 1
        if room.entries < 0:
            yield Found(place / path.name, None, f"more than {MAX_ENTRIES:,} files: the rest was not looked at")
            return
        if trick := _trick(info, path):
            yield Found(place / path.name, None, trick)
        else:
            inside = PurePosixPath(place, *map(harmless, path.parts))
            yield from _opened(_read(archive, info, inside, room), room, depth + 1)


def _trick(info: zipfile.ZipInfo, path: PurePosixPath) -> str:
    """Why an entry is refused unread, or ""."""
    if stat.S_ISLNK(info.external_attr >> 16):
        return "it is a link"
    if path.is_absolute() or ".." in path.parts or PureWindowsPath(info.filename).drive or not path.name:
        return f"its path leads out of the archive ({info.filename!r})"
    return "it is locked with a password" if info.flag_bits & 1 else ""


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, place: PurePosixPath, room: _Room) -> Found:
    """Reads what is really there, whatever the table of contents claims."""
    most = min(MAX_ARCHIVE_BYTES if place.suffix.lower() == ".zip" else MAX_FILE_BYTES, room.bytes)
    try:
        with archive.open(info) as file:
            content = file.read(most + 1)
    except Exception as error:  # zipfile and the decompressors raise many kinds for a damaged entry
        return Found(place, None, f"it cannot be unpacked ({type(error).__name__})")
    if len(content) > most:
        return Found(place, None, f"it unpacks to more than {most / MEGABYTE:.0f} MB")
    room.bytes -= len(content)
    return Found(place, content, modified=_modified(info))


def _modified(info: zipfile.ZipInfo) -> float:
    """Zip archives keep the local time of the machine that made them; ours is the best guess at it."""
    try:
        seconds = datetime(*info.date_time).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0
    return seconds if seconds >= EARLIEST else 0.0
