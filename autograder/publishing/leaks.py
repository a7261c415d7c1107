"""Looks in what is published for lines of the solutions, the hidden tests, the exams and the bank of answers.

The package that students install tells wrong answers apart, and so it shares words with exams and bank. What counts as
a leak is therefore what an answer says and nothing else does:

* of solutions and right answers, a line that computes something, or two lines that follow one another;
* of exams and wrong answers, three lines that follow one another, or all lines where there are fewer;
* the marks around solutions, and whatever is imported from `autograder`.

Lines that stand in the source notebooks outside of the solutions are given to everybody, and never count.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

import nbformat

from autograder.course.agreement import MARKERS
from autograder.course.folders import COURSE, SOURCE

BINARY = frozenset({".png", ".safetensors"})
"""Endings of published files that hold no text, and so no line of an answer."""
LINE, TWO_LINES, THREE_LINES = 30, 40, 60
"""From how many characters on one line, or lines that follow one another, are nobody else's. Measured on this course:
at half of it, loop headers and library calls of `pset4` would be taken for answers."""
# What begins like this tells no answer on its own: headers, messages, remarks. It counts beside a neighbour.
_SAYS_NOTHING = re.compile(r"(for|while|if|elif|with|def|class|raise|print|assert|@)\b|[#@\"'*|]|- loses")
# Any two modules share these, one after the other: imports, and names in a list.
_IMPORT = re.compile(r"(import|from) |[\w.]+,$|\)$|\($")


@dataclass(frozen=True)
class Leak:
    """A line that must not be published.

    Attributes:
        path: The file that holds it.
        place: Where in the file: a line, or a cell and its line.
        text: The line.
        home: Where it comes from.
    """

    path: str
    place: str
    text: str
    home: str

    def __str__(self) -> str:
        return f"{self.path}, {self.place}: {self.text!r} stands in {self.home}"


def leaks(files: Mapping[str, bytes]) -> list[Leak]:
    """The lines of solutions, exams and bank that stand in these files.

    Args:
        files: Their contents by path; notebooks are read cell by cell.
    """
    secrets = secret_texts()
    return [leak for path, content in files.items() for leak in _leaks_of(path, content, secrets)]


def is_searchable(path: str, content: bytes) -> bool:
    """Whether a file is text, or of a kind that holds none."""
    return PurePosixPath(path).suffix in BINARY or _decoded(content) is not None


def _leaks_of(path: str, content: bytes, secrets: Mapping[str, str]) -> Iterator[Leak]:
    lines = [(place, line) for place, text in _lines(path, content) if (line := " ".join(text.split()))]
    whole = "\n".join(line for _, line in lines)
    for text, home in secrets.items():
        if (found := whole.find(text)) >= 0:
            yield Leak(path, lines[whole.count("\n", 0, found)][0], text.splitlines()[0], home)


def _lines(path: str, content: bytes) -> Iterator[tuple[str, str]]:
    """Places and lines of a file; none of one that is no text."""
    text = None if PurePosixPath(path).suffix in BINARY else _decoded(content)
    if text is not None and path.endswith(".ipynb"):
        try:
            cells = json.loads(text)["cells"]
        except (ValueError, LookupError, TypeError):
            cells = []  # then it is searched as text below
        for number, cell in enumerate(cells, start=1):
            for row, line in enumerate("\n".join(_strings(cell)).splitlines(), start=1):
                yield f"cell {number}, line {row}", line
    for row, line in enumerate((text or "").splitlines(), start=1):
        yield f"line {row}", line


def _decoded(content: bytes) -> str | None:
    try:
        return None if b"\0" in content else content.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _strings(value: object) -> Iterator[str]:
    """The texts of a cell: its source first, then whatever its outputs and metadata say."""
    if isinstance(value, dict):
        yield from _strings(value.get("source", ""))
        for name, part in value.items():
            if name != "source":
                yield from _strings(part)
    elif isinstance(value, list):
        lines = all(isinstance(part, str) for part in value)
        yield from ["".join(value)] if lines else (text for part in value for text in _strings(part))
    elif isinstance(value, str):
        yield value


def secret_texts() -> dict[str, str]:
    """What must not be published, one to three lines each, and where it comes from; lines without their indentation."""
    given, solutions = _source()
    right, wrong = _bank()
    found: dict[str, str] = {}
    for home, lines in (*solutions, *right):
        telling = (line for line in lines if len(line) >= LINE and not _SAYS_NOTHING.match(line))
        texts = (*telling, *_runs(lines, 2, TWO_LINES, given))
        found.update((text, home) for text in texts if text not in given and not _IMPORT.match(text))
    for home, lines in (*_exams(), *wrong):
        number, least = (3, THREE_LINES) if len(lines) >= 3 else (2, TWO_LINES)
        found.update((text, home) for text in _runs(lines, number, least, given))
    found.update((begin, "the source notebooks, around what students do not see") for begin, _ in MARKERS)
    return found | dict.fromkeys(("from autograder", "import autograder"), "what students do not have")


Lines = tuple[str, list[str]]  # where they come from, and the lines


def _runs(lines: list[str], number: int, least: int, given: Iterable[str]) -> Iterator[str]:
    """So many lines that follow one another, not all of them given, without imports."""
    for run in zip(*(lines[start:] for start in range(number)), strict=False):
        if not any(map(_IMPORT.match, run)) and not all(line in given for line in run) and sum(map(len, run)) >= least:
            yield "\n".join(run)


def _squeezed(text: str) -> list[str]:
    return [line for row in text.splitlines() if (line := " ".join(row.split()))]


def _source() -> tuple[set[str], list[Lines]]:
    """The given lines of the source notebooks, and the solutions with the given line before each."""
    given: set[str] = set()
    solutions: list[Lines] = []
    for path in sorted(SOURCE.glob("*.ipynb")):
        for number, cell in enumerate(nbformat.read(path, as_version=4).cells, start=1):
            inside, before = False, ""
            for line in _squeezed(cell.source):
                if any(marker in line for pair in MARKERS for marker in pair):
                    inside = any(begin in line for begin, _ in MARKERS)
                    if inside:
                        solutions.append((f"{path.name}, cell {number}", [before] if before else []))
                elif inside:
                    solutions[-1][1].append(line)
                else:
                    given.add(line)
                    before = line
    return given, solutions


def _bank() -> tuple[list[Lines], list[Lines]]:
    """The right answers of the bank, and the wrong ones."""
    from autograder.answers.bank import all_answers  # imports torch

    answers = [
        (answer.right, (f"the bank's answer {answer.name!r} to {answer.exercise}", _squeezed(cell)))
        for answer in all_answers()
        for cell in answer.cells
    ]
    return [lines for right, lines in answers if right], [lines for right, lines in answers if not right]


def _exams() -> Iterator[Lines]:
    for path in sorted((COURSE / "exams").rglob("*.py")):
        yield f"autograder/exams/{path.name}", _squeezed(path.read_text(encoding="utf-8"))
