"""Answers that are alike, once the text that everybody was given and what many wrote are left out.

Fingerprints are those of winnowing (Schleimer, Wilkerson and Aiken, 2003), by `copydetect`: pieces of the code in which
names and strings are replaced, so that another name makes no other code. The answers are short, so that all pieces are
kept. Alike is not copied: it says which two answers a human might want to read side by side, and nothing else.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from autograder.course.cells import grade_id, marks
from autograder.course.contract import AUTO_GRADED, NOTEBOOKS
from autograder.course.folders import ASSIGNMENT
from autograder.course.whole_files import read_regular

PIECE = 25  # characters of code without names
FEWEST, LEAST_SHARE = 40, 0.6  # a pair shares so many rare pieces, and so much of the smaller answer's
FEW, RARE = 2, 0.05  # a piece is rare if so many students, or so much of the class, have it
MOST_PAIRS = 20
MAX_ANSWER = 20_000
SHOWN = 4_000

Answers = Mapping[tuple[str, str], str]


class NotInstalled(Exception):
    """The library is not there; the message says how to get it."""


@dataclass(frozen=True)
class Alike:
    """Two answers that are alike.

    Attributes:
        exercise: To which exercise.
        students: Whose they are.
        share: Which part of the smaller one's rare pieces the other has, too.
        answers: The code of both, for a human.
    """

    exercise: str
    students: tuple[str, str]
    share: float
    answers: tuple[str, str]


def alike_answers(root: Path, students: Sequence[str], stubs: Mapping[str, str]) -> list[Alike]:
    """The pairs of answers that are most alike.

    Args:
        root: Root of the nbgrader course.
        students: Whose answers are compared.
        stubs: The text that everybody was given, by exercise.

    Raises:
        NotInstalled: If `copydetect` is not there.
    """
    answers = read_answers(root, students)
    pairs = [pair for e in AUTO_GRADED for pair in _of_exercise(e.id, answers, _given(e.id, stubs), len(students))]
    return sorted(pairs, key=lambda pair: (-pair.share, pair.exercise, pair.students))[:MOST_PAIRS]


def read_answers(root: Path, students: Iterable[str]) -> Answers:
    """The answers in code, by student and exercise, from the graded notebooks; one that cannot be read has none."""
    wanted = {exercise.id for exercise in AUTO_GRADED}
    answers: dict[tuple[str, str], str] = {}
    for student in students:
        for name in NOTEBOOKS:
            try:
                cells = json.loads(read_regular(root / "autograded" / student / ASSIGNMENT / f"{name}.ipynb"))["cells"]
                found = {grade_id(cell): "".join(cell["source"]) for cell in cells if marks(cell).get("solution")}
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                continue
            answers |= {(student, one): text[:MAX_ANSWER] for one, text in found.items() if one in wanted}
    return answers


def _given(exercise: str, stubs: Mapping[str, str]) -> list[str]:
    """What no two students have from each other: the given text, and the answers that we know ourselves."""
    from autograder.answers.bank import answers_for, exercises  # loads torch

    known = [cell for answer in answers_for(exercise) for cell in answer.cells] if exercise in exercises() else []
    return [stubs.get(exercise, ""), *known]


def _of_exercise(exercise: str, answers: Answers, given: Sequence[str], size: int) -> list[Alike]:
    own = {student: text for (student, one), text in answers.items() if one == exercise}
    left_out = set().union(*map(pieces, given)) if own else set()
    found = {student: pieces(text) - left_out for student, text in own.items()}
    holders: dict[int, list[str]] = {}
    for student, mine in found.items():
        for piece in mine:
            holders.setdefault(piece, []).append(student)
    most = max(FEW, RARE * size)
    rare = {piece: who for piece, who in holders.items() if len(who) <= most}
    counts = Counter(student for who in rare.values() for student in who)
    shared = Counter(pair for who in rare.values() for pair in combinations(sorted(who), 2))
    return [
        Alike(exercise, (one, other), together / smaller, (own[one][:SHOWN], own[other][:SHOWN]))
        for (one, other), together in shared.items()
        if together >= FEWEST and together >= LEAST_SHARE * (smaller := min(counts[one], counts[other]))
    ]


def pieces(code: str) -> set[int]:
    """Fingerprints of code.

    Raises:
        NotInstalled: If `copydetect` is not there.
    """
    try:
        from copydetect import CodeFingerprint
    except ImportError:
        raise NotInstalled("Answers were not compared: install the extra `grading`, which brings copydetect.") from None
    return set(CodeFingerprint("answer.py", PIECE, 1, fp=io.StringIO(code)).hashes)
