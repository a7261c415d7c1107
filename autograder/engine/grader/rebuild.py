"""Builds the notebook that is executed: ours, with the student's answers put in.

Order, given cells, tests and metadata come from the course; from the student come only the text of the answer cells and
the cells that they added. Answers are found by their id, and by their content where an editor lost the ids, a
copy-and-paste doubled them, or somebody changed them. Whatever stands in a submitted file, the result is a notebook of
the course's form, and a list of remarks that says what was done.

Everything here is pure: bytes and notebooks in, notebooks out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from autograder.course.cells import grade_id, judges, marks
from autograder.engine.grader.given_cells import Additions, additions, names_defined, released_text
from autograder.engine.grader.reading import MAX_BYTES, Piece, Submission, read_submission
from autograder.engine.grader.staging import Arrival

Json = dict[str, Any]

__all__ = ["MAX_BYTES", "Piece", "Rebuilt", "Submission", "names_defined", "read_submission", "rebuild"]


@dataclass(frozen=True)
class Rebuilt:
    """The notebook to execute, and what was done to get there.

    Attributes:
        notebook: In nbformat 4.
        remarks: What was repaired.
        not_taken: Answers that stand in the file and were not used, by grade id: why. A human must see them.
        lost_names: Names that the student defined in a given cell and that nothing defines now: name -> that cell's id.
        arrival: Whether there was a notebook, and whether it could be read.
    """

    notebook: Json
    remarks: tuple[str, ...] = ()
    not_taken: Mapping[str, str] = field(default_factory=dict)
    lost_names: Mapping[str, str] = field(default_factory=dict)
    arrival: Arrival = "handed in"


@dataclass(frozen=True)
class _Slot:
    """A cell of the course's notebook and what is known about it."""

    kind: str
    source: str
    grade_id: str
    answer: bool
    judges: bool  # a check or a test
    names: frozenset[str]

    @property
    def stub(self) -> str:
        return _same(self.source)

    @property
    def released(self) -> str:
        """The text that students got."""
        return released_text(self.source) if self.judges else self.source


def _same(source: str) -> str:
    """The text by which two cells are the same: editors differ in trailing blanks and line ends."""
    return "\n".join(line.rstrip() for line in source.strip().splitlines())


def _slots(template: Mapping[str, Any], names: Mapping[str, frozenset[str]]) -> list[_Slot]:
    slots = []
    for cell in template["cells"]:
        name, source, answer = grade_id(cell), cell["source"], bool(marks(cell).get("solution"))
        is_code = answer and cell["cell_type"] == "code"
        expected = names_defined(source) or names.get(name, frozenset()) if is_code else frozenset()
        slots.append(_Slot(cell["cell_type"], source, name, answer, judges(cell), expected))
    return slots


class _Match:
    """Which cell of the student fills which slot; every cell and every slot is used at most once."""

    def __init__(self, slots: Sequence[_Slot], pieces: Sequence[Piece]) -> None:
        self.slots = slots
        self.pieces = pieces
        self.names = [names_defined(p.source) if p.kind == "code" else frozenset() for p in pieces]
        self.slot_of: dict[int, int] = {}
        self.piece_of: dict[int, int] = {}
        self.remarks: list[str] = []
        self.joined: dict[int, list[int]] = {}  # slot -> further pieces of a written answer
        self.not_taken: dict[str, str] = {}
        self.claims: dict[str, list[int]] = {}  # id -> the pieces that carry it
        for number, piece in enumerate(pieces):
            if piece.grade_id:
                self.claims.setdefault(piece.grade_id, []).append(number)

    def put(self, slot: int, piece: int) -> None:
        self.slot_of[piece] = slot
        self.piece_of[slot] = piece

    def free(self) -> list[int]:
        taken = {piece for pieces in self.joined.values() for piece in pieces}
        return [number for number in range(len(self.pieces)) if number not in self.slot_of and number not in taken]

    def open_answers(self) -> list[int]:
        return [n for n, slot in enumerate(self.slots) if slot.answer and n not in self.piece_of]

    def by_id(self) -> None:
        """The cells that carry a slot's id; of doubles, the last that is not the released text."""
        for number, slot in enumerate(self.slots):
            claimed = self.claims.get(slot.grade_id, []) if slot.grade_id else []
            if not claimed:
                continue
            parts = self._parts(slot, claimed)
            if len(claimed) > 1 and slot.answer:
                done = "their texts were put together" if len(parts) > 1 else "the last answer was taken"
                self.remarks.append(f"{slot.grade_id}: {len(claimed)} cells carry this id; {done}")
            if len(parts) > 1:
                self.put(number, parts[0])
                self.joined[number] = parts[1:]
            else:
                self.put(number, max(claimed, key=lambda n: (self._answers(slot, n), n)))

    def _parts(self, slot: _Slot, claimed: Sequence[int]) -> list[int]:
        """The parts of a written answer: an editor that splits a cell gives both halves its id."""
        if not slot.answer or slot.kind == "code":
            return []
        texts = {_same(self.pieces[n].source): n for n in reversed(claimed) if self._answers(slot, n)}
        return sorted(texts.values())

    def answered(self, number: int) -> bool:
        """Whether a slot holds something that the student wrote."""
        return number in self.piece_of and (
            self._answers(self.slots[number], self.piece_of[number]) or self.has_words(number)
        )

    def has_words(self, number: int) -> bool:
        """Whether a slot holds more than nothing, or than the released text."""
        piece = self.pieces[self.piece_of[number]] if number in self.piece_of else None
        return number in self.joined or (piece is not None and _same(piece.source) not in ("", self.slots[number].stub))

    def _answers(self, slot: _Slot, number: int) -> bool:
        piece = self.pieces[number]
        if _same(piece.source) == slot.stub or not piece.source.strip():
            return False
        return not slot.names or slot.kind != "code" or bool(slot.names & self.names[number])

    def correct_wrong_ids(self) -> None:
        """Answers whose id was swapped: content decides where the cell with the id defines none of the names."""
        for number, slot in enumerate(self.slots):
            if not (slot.answer and slot.kind == "code" and slot.names and number in self.piece_of):
                continue
            held = self.piece_of[number]
            if _same(self.pieces[held].source) == slot.stub or slot.names & self.names[held]:
                continue
            better = [n for n in range(len(self.pieces)) if self._fits_better(n, slot)]
            if better:
                del self.slot_of[self.piece_of.pop(number)]
                self._take_over(number, better[-1])
                self.remarks.append(f"{slot.grade_id}: its id was on another cell; it was found by its content")

    def _fits_better(self, number: int, slot: _Slot) -> bool:
        """Whether a cell defines all names of the slot and does not rightly stand somewhere else."""
        if not slot.names <= self.names[number]:
            return False
        if number not in self.slot_of:
            return True
        holder = self.slots[self.slot_of[number]]
        return holder.answer and bool(holder.names) and not holder.names & self.names[number]

    def _take_over(self, slot: int, piece: int) -> None:
        if piece in self.slot_of:
            del self.piece_of[self.slot_of.pop(piece)]
        self.put(slot, piece)

    def by_text(self) -> None:
        """Given cells whose text is unchanged, where the id is missing (text cells never have one)."""
        waiting: dict[tuple[str, str], list[int]] = {}
        for number, slot in enumerate(self.slots):
            if not slot.answer and number not in self.piece_of:
                waiting.setdefault((slot.kind, slot.stub), []).append(number)
        for piece in self.free():
            same = waiting.get((self.pieces[piece].kind, _same(self.pieces[piece].source)))
            if same:
                self.put(same.pop(0), piece)

    def by_names(self) -> None:
        """Code answers without an id: the cell that defines most of what the exercise asks for, the last of equals."""
        for number in self.open_answers():
            slot = self.slots[number]
            if slot.kind != "code" or not slot.names:
                continue
            counts = {n: len(slot.names & self.names[n]) for n in self.free()}
            best = max(counts, key=lambda n: (counts[n], _same(self.pieces[n].source) != slot.stub, n), default=None)
            if best is not None and counts[best]:
                self.put(number, best)
                self.remarks.append(f"{slot.grade_id}: the cell had lost its id; it was found by what it defines")

    def by_place(self) -> None:
        """Answers that are still missing: the cells that stand where the answer stood, between the same neighbours."""
        for number in self.open_answers():
            slot = self.slots[number]
            here = [n for n in self._gap(number) if self.pieces[n].kind == slot.kind and self.pieces[n].source.strip()]
            if slot.kind == "code":
                # Further code cells are run where they stand, so that nothing is won by guessing between several.
                here = here if len(here) == 1 else []
            if not here:
                continue
            self.put(number, here[0])
            self.joined[number] = here[1:]
            self.remarks.append(f"{slot.grade_id}: the cell had lost its id; it was found by its place")

    def words_elsewhere(self) -> None:
        """Written answers whose cell is as it was released: words below it are taken, others are for a human to see."""
        for number, slot in enumerate(self.slots):
            if not slot.answer or slot.kind == "code" or self.has_words(number):
                continue
            near = [n for n in self._gap(number) if self.pieces[n].source.strip()]
            here = self.piece_of.get(number, -1)
            below = [n for n in near if n > here and self.pieces[n].kind != "code"]
            if number in self.piece_of and below:
                del self.slot_of[self.piece_of[number]]
                self.put(number, below[0])
                self.joined[number] = below[1:]
                self.remarks.append(f"{slot.grade_id}: its cell was left as it was; the text below it was taken")
            elif near:
                reason = "its cell is as it was released, and the student wrote into another cell next to it"
                self.not_taken[slot.grade_id] = reason
                self.remarks.append(f"{slot.grade_id}: {reason}")

    def code_in_text(self) -> None:
        """Code answers that stand in a text cell, where nothing runs them: for a human to see."""
        free = [n for n in self.free() if self.pieces[n].kind != "code"]
        for number, slot in enumerate(self.slots):
            if not slot.answer or slot.kind != "code" or self.has_words(number):
                continue
            if any(slot.names & names_defined(self.pieces[n].source) for n in free):
                reason = "its cell is as it was released, and a text cell holds code that defines what it asks for"
                self.not_taken[slot.grade_id] = reason
                self.remarks.append(f"{slot.grade_id}: {reason}")

    def _gap(self, slot: int) -> list[int]:
        before = [self.piece_of[n] for n in range(slot) if n in self.piece_of]
        after = [self.piece_of[n] for n in range(slot + 1, len(self.slots)) if n in self.piece_of]
        start = before[-1] if before else -1
        stop = after[0] if after else len(self.pieces)
        free = set(self.free())
        return [n for n in range(start + 1, stop) if n in free]


def rebuild(
    template: Mapping[str, Any], submission: Submission, *, names: Mapping[str, frozenset[str]] | None = None
) -> Rebuilt:
    """Puts a student's answers into the course's notebook.

    Args:
        template: The course's notebook in nbformat 4, with the released text in its answer cells and with its tests.
        submission: What could be read of the student's.
        names: What each answer cell is expected to define, by its id, where the released text does not say it.

    Returns:
        A notebook with every cell of the template, in its order and with its metadata; between them the cells that the
        student added, and what they added to given cells, without ids; `metadata.pset4.origin` tells "course", "answer"
        and "student" apart. No outputs.
    """
    match = _Match(_slots(template, names or {}), submission.pieces)
    match.by_id()
    match.correct_wrong_ids()
    match.by_text()
    match.by_names()
    match.by_place()
    match.words_elsewhere()
    match.code_in_text()
    extras, added = _extras(match), _added(match)
    cells = [_extra_cell(match.pieces[n], n) for n in extras.get(-1, [])]
    for number, cell in enumerate(template["cells"]):
        own = added.get(number, Additions())
        cells.extend(_added_cells(f"before-{number}", own.before))
        cells.append(_course_cell(cell, match, number))
        cells.extend(_added_cells(f"behind-{number}", own.after))
        cells.extend(_extra_cell(match.pieces[n], n) for n in extras.get(number, []))
    notebook = {**template, "metadata": dict(template.get("metadata", {})), "cells": cells}
    remarks = (*submission.remarks, *match.remarks, *_on_given_cells(match, added))
    lost = {name: match.slots[number].grade_id for number, one in added.items() for name in sorted(one.lost)}
    return Rebuilt(notebook, remarks, {**match.not_taken, **_not_read(match, submission)}, lost)


def _not_read(match: _Match, submission: Submission) -> dict[str, str]:
    """Answers of which the file holds a cell that could not be used, and no other."""
    reasons = {lost.grade_id: lost.reason for lost in submission.lost}
    open_ones = [slot for number, slot in enumerate(match.slots) if slot.answer and not match.answered(number)]
    return {
        slot.grade_id: f"an answer stands in the file and was not taken: {reason}"
        for slot in open_ones
        if (reason := reasons.get(slot.grade_id) or reasons.get(""))
    }


def _added(match: _Match) -> dict[int, Additions]:
    """What the student added to given code cells, by slot."""
    found = {}
    for number, slot in enumerate(match.slots):
        if slot.answer or slot.kind != "code" or number not in match.piece_of:
            continue
        theirs = _version(match, number)
        if _same(theirs) != _same(slot.released):
            found[number] = additions(slot.released, theirs, judges=slot.judges)
    return found


def _version(match: _Match, number: int) -> str:
    """The student's text of a given cell; an editor that splits a cell gives both halves its id."""
    slot = match.slots[number]
    carriers = {match.piece_of[number], *match.claims.get(slot.grade_id, ())}
    own = sorted(n for n in carriers if match.slot_of.get(n, number) == number and match.pieces[n].kind == "code")
    # A hidden part that somebody hands in, as the course's own proof does, never runs in the student's process.
    sources = (match.pieces[n].source for n in own)
    texts = dict.fromkeys(_same(released_text(source) if slot.judges else source) for source in sources)
    ours = _same(slot.released)
    return "\n".join([ours, *(text for text in texts if text != ours)] if ours in texts else texts)


def _added_cells(place: str, sources: Sequence[str]) -> list[Json]:
    return [_extra_cell(Piece("code", source), f"{place}-{n}") for n, source in enumerate(sources)]


def _extras(match: _Match) -> dict[int, list[int]]:
    """The student's own cells, by the slot after which they are run."""
    ours = {slot.grade_id: slot for slot in match.slots if slot.grade_id}
    stubs = {slot.stub for slot in match.slots if slot.answer and slot.kind == "code"}
    free = set(match.free())
    extras: dict[int, list[int]] = {}
    anchor = -1
    for number, piece in enumerate(match.pieces):
        anchor = match.slot_of.get(number, anchor)
        claimed = ours.get(piece.grade_id)
        copy_of_given = claimed is not None and not claimed.answer
        # A second copy of the released text would overwrite the answer above it.
        if number in free and piece.source.strip() and not copy_of_given and _same(piece.source) not in stubs:
            extras.setdefault(_past_missing(match, anchor), []).append(number)
    return extras


def _past_missing(match: _Match, anchor: int) -> int:
    """The slot after which a student's cell runs: past given cells that it may replace, but before the next test."""
    while anchor + 1 < len(match.slots) and anchor + 1 not in match.piece_of and not match.slots[anchor + 1].judges:
        anchor += 1
    return anchor


def _extra_cell(piece: Piece, name: int | str) -> Json:
    cell: Json = {
        "cell_type": piece.kind,
        "id": f"student-{name}",
        "metadata": {"pset4": {"origin": "student"}},
        "source": piece.source,
    }
    return _with_form(cell, piece)


def _with_form(cell: Json, piece: Piece | None) -> Json:
    """Adds what nbformat wants of each kind of cell."""
    if cell["cell_type"] == "code":
        cell |= {"execution_count": None, "outputs": []}
    elif cell["cell_type"] == "markdown" and piece is not None and piece.attachments:
        cell["attachments"] = {name: dict(bundle) for name, bundle in piece.attachments.items()}
    return cell


def _course_cell(cell: Mapping[str, Any], match: _Match, number: int) -> Json:
    slot = match.slots[number]
    piece = match.pieces[match.piece_of[number]] if slot.answer and number in match.piece_of else None
    origin = "answer" if piece is not None else "course"
    rebuilt: Json = {
        "cell_type": slot.kind,
        "id": f"course-{number}",
        "metadata": {**cell.get("metadata", {}), "pset4": {"origin": origin}},
        "source": slot.source,
    }
    if piece is not None:
        piece = _together([piece, *(match.pieces[n] for n in match.joined.get(number, []))])
        rebuilt["source"] = piece.source
        if piece.kind != slot.kind:
            match.remarks.append(f"{slot.grade_id}: its type was changed to {piece.kind}; it is {slot.kind} again")
    if slot.answer and slot.kind == "code" and not match.has_words(number) and _defined_elsewhere(slot, match):
        # The released text would raise, or overwrite what another cell of the student defines.
        rebuilt["source"] = "# The answer stands in another cell."
        state = "is missing" if piece is None else "is as it was released"
        match.remarks.append(f"{slot.grade_id}: the cell {state}; another cell defines what it asks for")
    elif slot.answer and piece is None and match.pieces:
        match.remarks.append(f"{slot.grade_id}: the answer cell is missing")
    return _with_form(rebuilt, piece)


def _together(parts: Sequence[Piece]) -> Piece:
    """Several cells as one. Editors call every pasted picture "image.png", so that names are told apart."""
    source, attachments = "", dict[str, Mapping[str, str]]()
    for part in parts:
        text = part.source
        for name, bundle in part.attachments.items():
            fresh = name
            while attachments.get(fresh, bundle) != bundle:
                fresh = f"also-{fresh}"
            text = text.replace(f"attachment:{name}", f"attachment:{fresh}")
            attachments[fresh] = bundle
        source = f"{source}\n\n{text}" if source else text
    return replace(parts[0], source=source, attachments=attachments)


def _defined_elsewhere(slot: _Slot, match: _Match) -> bool:
    """Whether a cell of the student's own, or another answer, defines what an exercise asks for."""
    for number, piece in enumerate(match.pieces):
        given = number in match.slot_of and not match.slots[match.slot_of[number]].answer
        if slot.names & match.names[number] and not given and _same(piece.source) != slot.stub:
            return True
    return False


def _on_given_cells(match: _Match, added: Mapping[int, Additions]) -> list[str]:
    """Remarks on given cells that the student edited."""
    remarks = []
    for number, slot in enumerate(match.slots):
        if slot.answer or number not in match.piece_of:
            continue
        one = added.get(number)
        if one is not None:
            remarks += _on_additions(slot.grade_id or f"given cell {number + 1}", one)
        elif slot.grade_id and slot.kind != "code" and _same(match.pieces[match.piece_of[number]].source) != slot.stub:
            remarks.append(f"{slot.grade_id}: this given cell was changed; the course's own text was used")
    return remarks


def _on_additions(name: str, added: Additions) -> list[str]:
    if not added.changed and not added.kept:
        return []
    text = f"{name}: this given cell was changed; the course's own text was used" if added.changed else f"{name}:"
    if added.kept:
        place = "in front of" if added.before and not added.after else "behind"
        text += f"{'; ' if added.changed else ' '}lines that the student added are run {place} it"
    if added.lost:
        text += f"; what defined {', '.join(sorted(added.lost)[:10])} was not kept"
    return [text]
