"""Reads the bank of answers from its Markdown files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from autograder.exams.exam import EXAMS
from autograder.exams.slips import slip_named
from autograder.exams.verdict import settle

CELLS = Path(__file__).parent / "cells"
_HEADING = re.compile(r"^## (Reference|Right|Wrong|Cell): (.+)$", re.MULTILINE)
_CODE = re.compile(r"^```python(?: (\w+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"^- (loses|misconception|check): (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Answer:
    """One answer of the bank.

    Attributes:
        exercise: Its id in the contract.
        name: What is special about it.
        source: The text of the answer cell.
        loses: Names of the properties that its exam must take from it.
        misconception: Name of the diagnosis that it must get.
        extra_cells: Cells of the student before the answer cell.
        further: What stands in the answer cells of other exercises that have no points of their own, by their ids.
        kind: "reference" stands in the source notebook.
        checked: Whether the visible check can tell it from a right answer.
    """

    exercise: str
    name: str
    source: str
    loses: frozenset[str] = frozenset()
    misconception: str = ""
    extra_cells: tuple[str, ...] = ()
    further: tuple[tuple[str, str], ...] = ()
    kind: Literal["reference", "right", "wrong"] = "right"
    checked: bool = True

    @property
    def right(self) -> bool:
        """Whether it deserves full marks."""
        return self.kind != "wrong"

    @property
    def points(self) -> float:
        """What its exam must give."""
        exam, slip = EXAMS[self.exercise], slip_named(self.exercise, self.misconception)
        return settle(self.exercise, exam.properties, dict.fromkeys(self.loses, ""), slip=slip).points

    @property
    def cells(self) -> tuple[str, ...]:
        """All its cells, in the notebook's order."""
        return (*self.extra_cells, self.source, *(source for _, source in self.further))


def parse(exercise: str, text: str) -> tuple[Answer, ...]:
    """Reads the answers of one Markdown file.

    Raises:
        ValueError: If an answer has no code, a wrong one no `loses`, or a right one some.
    """
    headings = list(_HEADING.finditer(text))
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    sections = [
        (heading.group(1), heading.group(2).strip(), text[heading.end() : end])
        for heading, end in zip(headings, ends, strict=True)
    ]
    shared = {name: _CODE.findall(body)[0][1].rstrip("\n") for kind, name, body in sections if kind == "Cell"}
    return tuple(_answer(exercise, kind, name, body, shared) for kind, name, body in sections if kind != "Cell")


def _answer(exercise: str, kind: str, name: str, body: str, shared: dict[str, str]) -> Answer:
    blocks = [(other, code.rstrip("\n")) for other, code in _CODE.findall(body)]
    cells = [code for other, code in blocks if not other]
    fields = dict(_FIELD.findall(_CODE.sub("", body)))
    if not cells:
        raise ValueError(f"{exercise}, {name!r}: there is no ```python block")
    if (kind == "Wrong") != ("loses" in fields):
        raise ValueError(f"{exercise}, {name!r}: wrong answers, and only they, need a line `- loses: ...`")
    used = [code for function, code in shared.items() if any(re.search(rf"\b{function}\b", cell) for cell in cells)]
    return Answer(
        exercise=exercise,
        name=name,
        source=cells[-1],
        loses=_properties(exercise, fields.get("loses", "")),
        misconception=fields.get("misconception", "").strip(),
        extra_cells=(*used, *cells[:-1]),
        further=tuple((other, code) for other, code in blocks if other),
        kind="reference" if kind == "Reference" else "right" if kind == "Right" else "wrong",
        checked=fields.get("check", "").strip() != "none",
    )


def _properties(exercise: str, text: str) -> frozenset[str]:
    """Names separated by ";", or all of the exam's for "everything"."""
    if text.strip() == "everything":
        return frozenset(p.name for p in EXAMS[exercise].properties)
    return frozenset(part.strip() for part in text.split(";") if part.strip())


def exercises() -> tuple[str, ...]:
    """Ids of all exercises that have answers."""
    return tuple(sorted(path.stem for path in CELLS.glob("*.md")))


@cache
def answers_for(exercise: str) -> tuple[Answer, ...]:
    """All answers to one exercise.

    Raises:
        KeyError: If the bank has none.
    """
    path = CELLS / f"{exercise}.md"
    if not path.exists():
        raise KeyError(f"the bank has no answers to {exercise!r}; it has {', '.join(exercises())}")
    return parse(exercise, path.read_text(encoding="utf-8"))


def all_answers() -> tuple[Answer, ...]:
    """The whole bank."""
    return tuple(answer for exercise in exercises() for answer in answers_for(exercise))


def reference(exercise: str) -> Answer:
    """The answer that stands in the source notebook.

    Raises:
        KeyError: If the exercise has no such answer.
    """
    for answer in answers_for(exercise):
        if answer.kind == "reference":
            return answer
    raise KeyError(f"the bank has no reference answer to {exercise!r}")
