"""Sets `report.pdf`: pandoc reads the written answers, Typst sets the pages, in a temporary folder that holds all."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pset4.submission.contents import Section
from pset4.submission.exercises import NOTEBOOKS
from pset4.submission.markdown import NotConverted, lift_pictures, to_typst
from pset4.submission.pictures import Picture, make_prints

TEMPLATE = Path(__file__).with_name("report.typ")
INSTALL = "pip install pypandoc-binary typst"
_RUN = re.compile(r"\S{60}")


class NoReport(RuntimeError):
    """The report cannot be made; the message says why."""


@dataclass(frozen=True)
class Cover:
    """What stands on the first page.

    Attributes:
        course: Name of the problem set.
        name: Who hands in.
        track: As which course, or "".
        now: When.
        lateness: What the due date means for it, or "".
        notebooks: For each notebook when it was saved, in words.
        remarks: What else a reader should know.
    """

    course: str
    name: str
    track: str
    now: datetime
    lateness: str
    notebooks: Mapping[str, str]
    remarks: Sequence[str]


def demand_packages() -> None:
    """Refuses to go on without the two packages.

    Raises:
        NoReport: If one is missing.
    """
    missing = [
        package for package, module in (("pypandoc-binary", "pypandoc"), ("typst", "typst")) if not find_spec(module)
    ]
    if missing:
        raise NoReport(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed: {INSTALL}")


def make_report(cover: Cover, sections: Sequence[Section]) -> bytes:
    """The report as a PDF.

    Raises:
        NoReport: If a package is missing, or Typst cannot set the pages.
    """
    demand_packages()
    with tempfile.TemporaryDirectory(prefix="pset4-report-") as name:
        return _Pages(Path(name)).set(cover, sections)


class _Pages:
    """The folder that Typst sees: the template, the data, one file for each answer, and the pictures."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lifted: dict[str, tuple[str, dict[str, bytes]]] = {}  # text and pictures of the written answers
        shutil.copyfile(TEMPLATE, folder / "report.typ")

    def set(self, cover: Cover, sections: Sequence[Section]) -> bytes:
        from typst import TypstError

        self.lifted = {section.exercise.id: _lifted(section) for section in sections}
        files = self._write_pictures(sections)
        answers = {section.exercise.id: self._answer(section, files) for section in sections if section.answer}
        exercises = [_exercise(section, files, answers.get(section.exercise.id)) for section in sections]
        self._write_data(cover, exercises)
        try:
            return self._compile("report.typ")
        except TypstError:
            for exercise in exercises:  # one answer may be more than Typst takes; the others shall not suffer
                if exercise["answer"] and not self._compiles(exercise["answer"]):
                    exercise["answer"] = ""
            self._write_data(cover, exercises)
        try:
            return self._compile("report.typ")
        except TypstError as error:
            raise NoReport(f"Typst could not set the pages ({error})") from None

    def _write_pictures(self, sections: Sequence[Section]) -> dict[tuple[str, str], dict[str, Any]]:
        """Writes every picture, and says by exercise and address where it lies and how wide it is."""
        pictures = {
            (section.exercise.id, _figure(n)): picture
            for section in sections
            for n, picture in enumerate(section.figures)
        }
        for section in sections:
            found = self.lifted[section.exercise.id][1]
            pictures |= {(section.exercise.id, address): Picture(content) for address, content in found.items()}
        files = {}
        for number, (key, made) in enumerate(zip(pictures, make_prints(list(pictures.values())), strict=True)):
            if made:
                name = f"picture-{number}{made.suffix}"
                (self.folder / name).write_bytes(made.content)
                files[key] = {"file": f"/{name}", "width": made.width}
        return files

    def _answer(self, section: Section, files: Mapping[tuple[str, str], Mapping[str, Any]]) -> str:
        """Writes a written answer as a file of its own, and returns its name; "" where pandoc gives up."""
        exercise = section.exercise.id
        pictures = {address: found for (where, address), found in files.items() if where == exercise}
        try:
            markup = to_typst(self.lifted[exercise][0], pictures)
        except NotConverted:
            return ""
        (self.folder / f"{exercise}.typ").write_text(markup, encoding="utf-8")
        return f"{exercise}.typ"

    def _write_data(self, cover: Cover, exercises: Sequence[Mapping[str, Any]]) -> None:
        problems = [
            {
                "title": title,
                "saved": cover.notebooks.get(name, ""),
                "exercises": [e for e in exercises if e["notebook"] == name],
            }
            for name, title in NOTEBOOKS.items()
        ]
        now = f"{cover.now.day} {cover.now:%B %Y, %H:%M %Z}".strip()
        data = {
            "course": cover.course,
            "name": _breakable(cover.name),
            "track": cover.track,
            "now": now,
            "date": [cover.now.year, cover.now.month, cover.now.day],
            "lateness": cover.lateness,
            "remarks": [_breakable(remark) for remark in cover.remarks],
            "problems": problems,
        }
        (self.folder / "report.json").write_text(json.dumps(data), encoding="utf-8")

    def _compiles(self, name: str) -> bool:
        from typst import TypstError

        try:
            self._compile(name)
        except TypstError:
            return False
        return True

    def _compile(self, name: str) -> bytes:
        import matplotlib
        import typst

        # DejaVu Sans, which comes with matplotlib, has letters and signs that Typst's own fonts lack.
        fonts = [str(Path(matplotlib.get_data_path()) / "fonts" / "ttf")]
        compiled = typst.compile(str(self.folder / name), root=str(self.folder), font_paths=fonts, format="pdf")
        if not isinstance(compiled, bytes):
            raise NoReport("Typst made no file")
        return compiled


def _figure(number: int) -> str:
    """Stands for a figure's number where a pasted picture has its address, and can be none."""
    return f"\0{number}"


def _lifted(section: Section) -> tuple[str, dict[str, bytes]]:
    if section.answer is None:
        return "", {}
    try:
        return lift_pictures(section.answer, section.folder)
    except NotConverted:
        return section.answer.source, {}


def _exercise(
    section: Section, files: Mapping[tuple[str, str], Mapping[str, Any]], answer: str | None
) -> dict[str, Any]:
    exercise = section.exercise
    drawn = [(files.get((exercise.id, _figure(n))), picture.words) for n, picture in enumerate(section.figures)]
    return {
        "id": exercise.id,
        "notebook": exercise.notebook,
        "title": exercise.title[0].upper() + exercise.title[1:],
        "worth": exercise.worth,
        "open": section.open,
        "answer": answer or "",
        "source": _breakable(section.answer.source) if section.answer else "",
        "code": [_breakable(text) for text in section.code],
        "check": _breakable(section.check),
        "verdict": section.verdict,
        "figures": [{**found, "words": _breakable(words)} for found, words in drawn if found],
        "left_out": section.left_out + sum(found is None for found, _ in drawn),
    }


def _breakable(text: str) -> str:
    """The text with places for a new line where there are none for long."""
    return _RUN.sub("\\g<0>\u200b", text)
