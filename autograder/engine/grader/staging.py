"""Reads a submission before anybody else does: nbgrader, its glob patterns and its copying see only a copy of it.

What was handed in belongs to a stranger: links that lead elsewhere, pipes that never end, devices, a million files,
names that are patterns. The copy holds regular files only, within bounds, under the names that the course expects, and
everything that was left out or taken for something else is said. Nothing is executed here.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from hashlib import sha256
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from nbgrader.coursedir import CourseDirectory
from nbgrader.utils import parse_utc

from autograder.engine.wire.limits import MEGABYTE

Arrival = Literal["handed in", "not handed in", "unreadable", "not gradable"]

MAX_FILES = 400
MAX_OTHER_BYTES = 50 * MEGABYTE
MAX_FILE_BYTES = 64 * MEGABYTE
MAX_BYTES = 256 * MEGABYTE  # of everything that is read
MAX_SEEN = 5_000  # entries that are looked at
MAX_DEPTH = 12
MAX_NAMED = 8  # files that one remark names
TIMESTAMP = "timestamp.txt"
EARLIEST_YEAR, LATEST_YEAR = 1990, 2200  # others come of misreading, and overflow when they are compared
NOBODYS = frozenset({".ipynb_checkpoints", "__pycache__", "__MACOSX", ".DS_Store", "Thumbs.db", ".git"})
ARCHIVES = frozenset({".zip", ".rar", ".7z", ".tar", ".gz", ".tgz", ".bz2", ".xz"})
NEWER_SECONDS = 60.0  # files that were copied together differ by less
NOTEBOOK = re.compile(r"\.ipynb(\.(txt|json))?$", re.IGNORECASE)


@dataclass(frozen=True)
class Entry:
    """A file of a submission.

    Attributes:
        place: Where it stood below the student's folder; for one out of an archive, below the archive's name.
        content: Its bytes; None where it could not be read.
        problem: Why not, in words.
        ours: Whether it could not be read for lack of a right of the grader's, which is not the student's fault.
        modified: When it was last written, in seconds.
    """

    place: PurePosixPath
    content: bytes | None
    problem: str = ""
    ours: bool = False
    modified: float = 0.0

    @property
    def is_notebook(self) -> bool:
        """Whether it goes by a notebook's name."""
        return NOTEBOOK.search(self.place.name) is not None

    @property
    def is_archive(self) -> bool:
        """Whether it goes by an archive's name; zip archives are unpacked."""
        return self.place.suffix.lower() in ARCHIVES


@dataclass(frozen=True)
class Taken:
    """What was taken for one of the course's notebooks.

    Attributes:
        arrival: Whether there was one, and whether it could be read.
        content: Its bytes.
        remarks: What a grader should know about the choice.
    """

    arrival: Arrival
    content: bytes = b""
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Staged:
    """A submission as it was read, and its copy once that is written.

    Attributes:
        folder: Where the copy belongs: one file for each of the course's notebooks, and the submission's other files.
        notebooks: What was taken for each notebook, by its name without ".ipynb".
        others: The other files, by their place below the folder.
        timestamp: Text of `timestamp.txt`, "" where there is none that can be read.
        remarks: What a grader should know about the submission as a whole.
    """

    folder: Path
    notebooks: Mapping[str, Taken]
    others: Mapping[PurePosixPath, bytes]
    timestamp: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Hash of the other files, names and bytes, without the time stamp."""
        lines = sorted(f"{place}\0{sha256(content).hexdigest()}" for place, content in self.others.items())
        return sha256("\n".join(lines).encode()).hexdigest()

    def write(self) -> None:
        """Writes the copy; what stands in its place is removed first.

        Raises:
            OSError: If it cannot be written.
        """
        remove(self.folder)
        self.folder.mkdir(parents=True)
        for place, content in self.others.items():
            path = self.folder / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        for name, taken in self.notebooks.items():
            # nbgrader looks for a file of each notebook; what became of it stands in `notebooks`.
            (self.folder / f"{name}.ipynb").write_bytes(taken.content)
        if self.timestamp:
            (self.folder / TIMESTAMP).write_text(self.timestamp + "\n", encoding="utf-8")


Recognise = Callable[[bytes], tuple[str, int]]
"""Which of the course's notebooks a content belongs to ("" for none), and how many of its answers were written."""


def stage(student: Path, assignment: str, target: Path, names: Sequence[str], recognise: Recognise) -> Staged:
    """Reads one student's submission, without writing anything.

    Args:
        student: The student's folder below `submitted/`.
        assignment: Name of the assignment, which is the name that its folder should have.
        target: Where its copy belongs.
        names: The assignment's notebooks, without ".ipynb".
        recognise: Tells what a notebook's content is.
    """
    found, remarks = read_submission_folder(student, assignment)
    entries = [entry for entry in found if entry.place.name != TIMESTAMP]
    chosen = _choose([entry for entry in entries if entry.is_notebook], names, recognise)
    notebooks = {name: _taken(name, chosen.get(name, []), entries, chosen.get("", [])) for name in names}
    others = [entry for entry in entries if not entry.is_notebook]
    base = _common_folder([candidates[0].place for candidates in chosen.values() if candidates])
    kept, more = _within_bounds(others)
    timestamp, complaint = _timestamp([entry for entry in found if entry.place.name == TIMESTAMP])
    files = {_relative(entry.place, base): entry.content or b"" for entry in reversed(kept)}  # of equals, the first
    files = {place: content for place, content in files.items() if files.keys().isdisjoint(place.parents)}
    return Staged(target, notebooks, files, timestamp, (*remarks, *_unreadable_files(others), *more, *complaint))


def read_submission_folder(student: Path, assignment: str) -> tuple[list[Entry], tuple[str, ...]]:
    """All files of a student's submission: from the assignment's folder, or from where else students put them."""
    if student.is_symlink():
        return [Entry(PurePosixPath("."), None, "the student's folder is a link, which is not followed", ours=True)], ()
    try:
        inside = sorted(student.iterdir())
    except OSError as error:
        return [Entry(PurePosixPath("."), None, f"the folder cannot be read ({error.strerror})", ours=True)], ()
    folders = [path for path in inside if path.is_symlink() or path.is_dir()]
    places = [path for path in folders if path.name == assignment]
    places += [path for path in folders if path.name != assignment and _plain(path.name) == _plain(assignment)]
    readings = [_read_folder(place) for place in places]
    for place, (entries, remarks) in zip(places, readings, strict=True):
        if any(entry.is_notebook or entry.is_archive or entry.ours for entry in entries):
            said = () if place.name == assignment else (f"the folder {place.name!r} was taken for {assignment!r}",)
            return entries, (*said, *remarks)
    entries, remarks = _read_folder(student, depth=0)
    if entries:
        return entries, (f"the files stood directly in the student's folder, not in {assignment!r}", *remarks)
    return readings[0] if readings else ([], ())


def _plain(name: str) -> str:
    """The name without what people change: case, blanks, punctuation."""
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def _read_folder(folder: Path, depth: int = MAX_DEPTH) -> tuple[list[Entry], tuple[str, ...]]:
    if folder.is_symlink():
        return [Entry(PurePosixPath("."), None, f"the folder {folder.name!r} is a link, not followed", ours=True)], ()
    reader = Reader()
    entries: list[Entry] = []
    for entry in reader.read(folder, depth):
        inside, problem = (
            reader.unpack(entry) if entry.is_archive and entry.content is not None else ([], entry.problem)
        )
        entries += [replace(entry, problem=problem), *inside]
    return entries, tuple(reader.remarks)


class Reader:
    """Reads a folder within bounds on files and bytes, through open folders, so that no link is ever followed.

    Attributes:
        room: Bytes that may still be read.
        remarks: What was not looked at.
    """

    def __init__(self, *, room: int = MAX_BYTES, most: int = MAX_SEEN, largest: int = MAX_FILE_BYTES) -> None:
        """Reads at most so many bytes and entries, and no file that is larger than `largest`."""
        self.room = room
        self.seen = 0
        self.most, self.largest = most, largest
        self.remarks: list[str] = []

    def read(self, folder: Path, depth: int = MAX_DEPTH) -> Iterator[Entry]:
        """Everything below a folder."""
        return self.walk(str(folder), None, PurePosixPath(), depth)

    def walk(self, name: str, parent: int | None, place: PurePosixPath, depth: int) -> Iterator[Entry]:
        """Everything below a folder, files and what is none."""
        try:
            descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        except OSError as error:
            words = f"the folder cannot be read ({error.strerror})"
            yield Entry(place, None, words, ours=isinstance(error, PermissionError))
            return
        try:
            with os.scandir(descriptor) as listed:
                children = sorted(listed, key=lambda child: child.name)
            for child in children:
                yield from self._look_at(child, descriptor, place / harmless(child.name), depth)
        finally:
            os.close(descriptor)

    def _look_at(self, child: os.DirEntry[str], parent: int, place: PurePosixPath, depth: int) -> Iterator[Entry]:
        self.seen += 1
        if self.seen == self.most:
            self.remarks.append(f"only the first {self.most:,} files were looked at")
        if self.seen >= self.most or child.name in NOBODYS:
            return
        if child.is_symlink():
            yield Entry(place, None, "it is a link, which is not followed")
        elif not child.is_dir(follow_symlinks=False):
            yield self._read(child.name, parent, place)
        elif depth > 0:
            yield from self.walk(child.name, parent, place, depth - 1)

    def _read(self, name: str, folder: int, place: PurePosixPath) -> Entry:
        try:
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
            with os.fdopen(descriptor, "rb") as file:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    return Entry(place, None, "it is not a regular file")
                return self._kept(file, place, status.st_mtime)
        except OSError as error:
            # A right that this account lacks is not the student's fault; what is no file is.
            denied = isinstance(error, PermissionError) or error.errno == errno.EIO
            return Entry(place, None, f"it cannot be opened ({error.strerror})", ours=denied)

    def _kept(self, file: IO[bytes], place: PurePosixPath, modified: float) -> Entry:
        most = min(self.largest, self.room)
        content = file.read(most + 1)
        if len(content) > most:
            return Entry(place, None, f"it has more than {most / MEGABYTE:.0f} MB", modified=modified)
        self.room -= len(content)
        return Entry(place, content, modified=modified)

    def unpack(self, archive: Entry) -> tuple[list[Entry], str]:
        """The regular files of a zip archive, whatever its table of contents claims; or why there are none."""
        if archive.place.suffix.lower() != ".zip":
            return [], "only zip archives are unpacked"
        found = []
        try:
            with zipfile.ZipFile(BytesIO(archive.content or b"")) as packed:
                for info in packed.infolist()[:MAX_SEEN]:
                    names = PurePosixPath(info.filename.replace("\\", "/")).parts
                    names = tuple(name for name in names if name not in ("/", ".."))
                    if info.is_dir() or stat.S_ISLNK(info.external_attr >> 16) or not names or NOBODYS & set(names):
                        continue
                    place = PurePosixPath(archive.place, *map(harmless, names))
                    with packed.open(info) as file:
                        found.append(self._kept(file, place, archive.modified))
        except Exception as error:  # zipfile raises many kinds, for archives that are damaged or locked
            return [], f"the archive cannot be unpacked ({type(error).__name__})"
        return found, ""


def harmless(name: str) -> str:
    """The name without control characters and undecodable bytes, short enough for every file system."""
    shown = name.encode("utf-8", "replace").decode("utf-8")
    kept = "".join(sign if sign.isprintable() and sign not in "/\\" else "_" for sign in shown).strip() or "_"
    if kept in (".", ".."):
        return "_"
    if len(kept.encode()) <= 200:
        return kept
    return f"{kept[:40]}_{sha256(kept.encode()).hexdigest()[:12]}{PurePosixPath(kept).suffix[:20]}"


def _choose(notebooks: Sequence[Entry], names: Sequence[str], recognise: Recognise) -> dict[str, list[Entry]]:
    """The candidates for each of the course's notebooks, the best one first; "" holds those for none."""
    chosen: dict[str, list[Entry]] = {}
    for entry in notebooks:
        name = notebook_by_name(entry.place.name, names) or _recognised(entry, recognise)[0]
        chosen.setdefault(name, []).append(entry)
    return {name: _best_first(name, candidates, recognise) for name, candidates in chosen.items()}


def _recognised(entry: Entry, recognise: Recognise) -> tuple[str, int]:
    return recognise(entry.content) if entry.content is not None else ("", 0)


def _best_first(name: str, candidates: Sequence[Entry], recognise: Recognise) -> list[Entry]:
    """Written on before left blank; then the newer one, by its date, or by its number where dates say nothing."""
    if len(candidates) == 1:
        return list(candidates)
    dates = [entry.modified for entry in candidates]
    dated = max(dates) - min(dates) > NEWER_SECONDS

    def rank(entry: Entry) -> tuple[bool, bool, float, int, bool]:
        written = _recognised(entry, recognise)[1] > 0
        date = entry.modified if dated else 0.0
        return entry.content is not None, written, date, _copy_number(entry), _is_exact(entry, name)

    return sorted(candidates, key=rank, reverse=True)


def notebook_by_name(file_name: str, names: Sequence[str]) -> str:
    """The notebook that a file's name says, whatever was put before or behind it, and however it is spelled."""
    said = _plain(NOTEBOOK.sub("", file_name))
    return next((name for name in names if _plain(name) in said), "")


def _copy_number(entry: Entry) -> int:
    """9 for "name (9).ipynb" and "name-Copy9.ipynb", 0 for the original."""
    stem = NOTEBOOK.sub("", entry.place.name)
    found = re.search(r"(?:\(|copy\s*|[-_ ])(\d{1,4})\)?\s*$", stem, re.IGNORECASE)
    return int(found.group(1)) if found else int("copy" in stem.casefold())


def _is_exact(entry: Entry, name: str) -> bool:
    """Whether it has the expected name where it is expected, or at the top of an archive, as `pset4 handin` does it."""
    *folders, last = entry.place.parts
    in_archive = len(folders) == 1 and folders[0].lower().endswith(".zip")
    return last == f"{name}.ipynb" and (not folders or in_archive)


def _taken(name: str, candidates: Sequence[Entry], entries: Sequence[Entry], unknown: Sequence[Entry]) -> Taken:
    if not candidates:
        return _missing(name, entries, unknown)
    best, *others = candidates
    remarks = [] if _is_exact(best, name) else [f"{str(best.place)!r} was taken for {name}.ipynb"]
    if others:
        remarks.append(f"{_listed(others)} could be {name}.ipynb, too; {str(best.place)!r} was taken")
    if best.content is not None:
        return Taken("handed in", best.content, tuple(remarks))
    problem = f"{best.place}: {best.problem}"
    return Taken("not gradable" if best.ours else "unreadable", b"", (problem, *remarks))


def _missing(name: str, entries: Sequence[Entry], unknown: Sequence[Entry]) -> Taken:
    """A notebook that was not found: where something else was, or could not be looked at, a human must look."""
    first = f"{name}.ipynb was not handed in"
    hidden = [entry for entry in entries if entry.ours]
    if hidden:
        return Taken("not gradable", b"", (f"{first}, but not everything could be looked at: {_listed(hidden)}",))
    if not_understood := [*unknown, *(entry for entry in entries if entry.is_archive and entry.problem)]:
        return Taken("not gradable", b"", (f"{first}; found and not understood: {_listed(not_understood)}",))
    seen = [entry for entry in entries if not entry.is_notebook]
    return Taken("not handed in", b"", (f"{first} (there is {_listed(seen)})" if seen else first,))


def _listed(entries: Sequence[Entry]) -> str:
    shown = ", ".join(repr(str(entry.place)) for entry in entries[:MAX_NAMED])
    return shown if len(entries) <= MAX_NAMED else f"{shown} and {len(entries) - MAX_NAMED} more"


def _common_folder(places: Sequence[PurePosixPath]) -> PurePosixPath:
    """The folder in which all notebooks stood: their helpers are imported from there."""
    parents = {place.parent for place in places}
    return parents.pop() if len(parents) == 1 else PurePosixPath()


def _relative(place: PurePosixPath, base: PurePosixPath) -> PurePosixPath:
    return place.relative_to(base) if place.is_relative_to(base) else place


def _within_bounds(entries: Sequence[Entry]) -> tuple[list[Entry], list[str]]:
    """The other files as far as they are given to the notebook, and what was left out."""
    kept: list[Entry] = []
    left_out: list[Entry] = []
    room = MAX_OTHER_BYTES
    for entry in entries:
        if entry.content is None or (entry.is_archive and not entry.problem):  # what was unpacked stands unpacked
            continue
        if len(kept) < MAX_FILES and len(entry.content) <= room:
            kept.append(entry)
            room -= len(entry.content)
        else:
            left_out.append(entry)
    if not left_out:
        return kept, []
    bound = f"at most {MAX_FILES} files and {MAX_OTHER_BYTES / MEGABYTE:.0f} MB are given to the notebook"
    return kept, [f"{bound}; left out: {_listed(left_out)}"]


def _unreadable_files(entries: Sequence[Entry]) -> list[str]:
    broken = [entry for entry in entries if entry.problem]
    shown = [f"{entry.place}: {entry.problem}" for entry in broken[:MAX_NAMED]]
    return shown if len(broken) <= MAX_NAMED else [*shown, f"and {len(broken) - MAX_NAMED} more files like these"]


def _timestamp(entries: Sequence[Entry]) -> tuple[str, list[str]]:
    """Text of the time stamp that the exchange or the collecting wrote; a damaged one counts as none."""
    if not entries:
        return "", []
    entry = min(entries, key=lambda entry: len(entry.place.parts))
    text = (entry.content or b"")[:200].decode("utf-8", "replace").strip()
    try:
        time = parse_utc(text)
        if not EARLIEST_YEAR <= time.year <= LATEST_YEAR:
            raise ValueError
    except (ValueError, OverflowError):
        return "", [f"{entry.place}: it holds no time that can be read; the submission counts as being in time"]
    return f"{time:%Y-%m-%d %H:%M:%S} UTC", []


def remove(folder: Path) -> None:
    """Removes a copy, if there is one."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)


def students(submitted: Path) -> list[str]:
    """Ids of all students with a folder in `submitted/`, whatever is in it."""
    try:
        return sorted(path.name for path in submitted.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return []


def is_meant(student: str, coursedir: CourseDirectory) -> bool:
    """Whether nbgrader's options mean a student: by the id itself or by a pattern, and not left out by name."""
    wanted, without = coursedir.student_id, str(coursedir.student_id_exclude).split(",")
    return (student == wanted or fnmatchcase(student, wanted)) and student not in without
