"""Hands in: looks at the four notebooks, says what is open, and writes one zip with them and `report.pdf`."""

from __future__ import annotations

import io
import re
import unicodedata
import zipfile
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from pset4.settings import Settings, is_grading, load_settings
from pset4.submission import session
from pset4.submission.contents import Section, sections
from pset4.submission.exercises import NOTEBOOKS
from pset4.submission.notebooks import Notebook, find, read
from pset4.submission.report import Cover, NoReport, make_report
from pset4.submission.review import remarks

MARK = b"made by pset4 handin"
WEEK = timedelta(days=7)


class NotHandedIn(ValueError):
    """There is nothing to hand in, or nowhere to write it; the message says what to do."""


def handin(name: str = "", *, track: str = "", folder: str | Path = ".", output: str | Path = "") -> None:
    """Makes the zip that you hand in, from the saved files of the four notebooks.

    Args:
        name: Your name; it stands on the report and names the zip.
        track: The course that you take, for example "6.819".
        folder: Where the notebooks lie.
        output: The zip; by default `<name>.zip` in that folder.
    """
    if is_grading():
        print("Nothing is handed in while this notebook is graded.")
    elif not name.strip():
        print('Nothing is handed in yet. Write your name between the quotes, "Ada Lovelace", and run this cell.')
    else:
        try:
            session.offer(hand_in(name, track=track, folder=Path(folder), output=output))
        except NotHandedIn as problem:
            print(problem)


def hand_in(
    name: str, *, track: str = "", folder: Path = Path(), output: str | Path = "", now: datetime | None = None
) -> Path:
    """Makes the zip, and prints what a student should know.

    Returns:
        Where the zip lies.

    Raises:
        NotHandedIn: If there is no notebook at all, the track is unknown, or the zip cannot be written.
    """
    settings, now = load_settings(), now or datetime.now().astimezone()
    name = " ".join(name.split())
    if track and track not in settings.tracks:
        raise NotHandedIn(f"There is no track {track!r}; choose one of {', '.join(settings.tracks)}.")
    target = Path(output) if str(output) else folder / f"{file_name(name)}.zip"
    _demand_writable(target)
    notebooks = _found(folder, now)
    if not notebooks:
        raise NotHandedIn(
            f"There is none of the four notebooks in {folder.resolve()}: {session.how_to_add(next(iter(NOTEBOOKS)))}, "
            "and the other three as well."
        )
    notes = _say_what_was_found(notebooks)
    parts = sections({notebook.name: notebook for notebook in notebooks})
    _say_what_is_open(parts, notebooks)
    lateness = describe_lateness(settings, now)
    print(lateness, end="\n" if lateness else "")
    saved = {notebook.name: f"saved {_time(notebook.saved)}" for notebook in notebooks}
    report = _report(Cover(settings.course_name, name, track, now, lateness, saved, notes), parts)
    return _write(target, notebooks, report, now)


def late_factor(due: datetime, now: datetime) -> float:
    """What the points are multiplied by: 1 until the due date, then evenly down to 0.5 in seven days, and 0.5 later."""
    return max(0.5, 1.0 - 0.5 * max(0.0, (now - due) / WEEK))


def describe_lateness(settings: Settings, now: datetime) -> str:
    """The due date and the factor of what is handed in now, or "" where no date is set."""
    if settings.due is None:
        return ""
    factor = f"factor {late_factor(settings.due, now):.2f} if handed in now"
    return f"{'In time' if now <= settings.due else 'Late'}, due {_time(settings.due)}: {factor}"


def file_name(name: str) -> str:
    """A name as a file's: letters of all scripts and digits stay."""
    kept = re.sub(r"\W+", "_", unicodedata.normalize("NFC", name)).strip("_")
    while len(kept.encode()) > 120:
        kept = kept[:-1]
    return kept or "submission"


def _demand_writable(target: Path) -> None:
    if not target.parent.is_dir():
        raise NotHandedIn(f"The zip cannot be written: there is no folder {target.parent}.")
    if target.exists() and not _is_ours(target):
        raise NotHandedIn(
            f"{target} was not made by this command, so it stays; give another name for the zip with output."
        )


def _is_ours(target: Path) -> bool:
    try:
        with zipfile.ZipFile(target) as archive:
            return archive.comment == MARK
    except (OSError, zipfile.BadZipFile):
        return False


def _found(folder: Path, now: datetime) -> list[Notebook]:
    in_this_tab = session.open_notebook(now)
    notebooks = []
    for name in NOTEBOOKS:
        path = find(name, session.places(folder))
        if in_this_tab and in_this_tab.name == name:
            notebooks.append(in_this_tab)
        elif path is not None:
            try:
                notebooks.append(read(name, path))
            except OSError as error:
                print(f"{path.name} cannot be opened ({error.strerror}).")
    return notebooks


def _say_what_was_found(notebooks: Sequence[Notebook]) -> list[str]:
    """Prints one line for each notebook and each remark on it, and returns what the report repeats."""
    notes = []
    found = {notebook.name: notebook for notebook in notebooks}
    for name in NOTEBOOKS:
        if name not in found:
            print(f"{name}.ipynb is missing: {session.how_to_add(name)}.")
            notes.append(f"{name}.ipynb is missing")
            continue
        notebook = found[name]
        copy = "" if notebook.path.stem == name else f" (taken from {notebook.path.name!r})"
        print(f"{name}.ipynb: saved {_time(notebook.saved)}{copy}")
        for remark in remarks(notebook):
            print(f"  {remark}")
            notes.append(f"{name}.ipynb: {remark}")
    if changed := session.unsaved(notebooks):
        print(changed)
    return notes


def _say_what_is_open(parts: Iterable[Section], notebooks: Iterable[Notebook]) -> None:
    readable = {notebook.name for notebook in notebooks if not notebook.problem}
    left = [part for part in parts if part.open]
    named = [part for part in left if part.exercise.notebook in readable]
    print(f"Still open: {len(left)} exercises" if left else "All exercises are answered.")
    for part in named:
        print(f"  {part.exercise.id} ({part.exercise.worth}), {part.exercise.title}: {part.open}")
    if missing := [part.exercise.id for part in left if part not in named]:
        print(f"  and those of the notebooks that are missing or cannot be read: {', '.join(missing)}")


def _report(cover: Cover, parts: Sequence[Section]) -> bytes | None:
    try:
        return make_report(cover, parts)
    except NoReport as problem:
        percent = "%" if session.in_notebook() else ""
        print(f"The zip has no report.pdf: {str(problem).replace('pip install', f'{percent}pip install')}")
        return None


def _write(target: Path, notebooks: Sequence[Notebook], report: bytes | None, now: datetime) -> Path:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for notebook in notebooks:
            archive.writestr(_entry(f"{notebook.name}.ipynb", notebook.saved), notebook.content)
        if report is not None:
            archive.writestr(_entry("report.pdf", now), report)
        archive.comment = MARK
    part = target.with_name(f".{target.name}.part")
    replaced = " (in place of the one that you made before)" if target.exists() else ""
    try:
        part.write_bytes(packed.getvalue())
        part.replace(target)
    except OSError as error:
        raise NotHandedIn(f"The zip cannot be written to {target} ({error.strerror}).") from None
    inside = f"{len(notebooks)} notebook{'s' * (len(notebooks) != 1)}{' and report.pdf' if report is not None else ''}"
    print(f"Hand in {target.resolve()}: {inside}, {packed.tell() / 1e6:.1f} MB{replaced}")
    return target


def _entry(name: str, time: datetime) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, max(time.timetuple()[:6], (1980, 1, 1, 0, 0, 0)))
    entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
    return entry


def _time(time: datetime) -> str:
    return f"{time.day} {time:%b %Y, %H:%M}"
