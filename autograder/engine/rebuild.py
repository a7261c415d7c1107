"""Builds the notebook that is executed: ours, with the student's answers put in.

Order, given cells, tests and metadata come from the course; from the student come only the text of the answer cells and
the cells that they added. Answers are found by their id, and by their content where an editor lost the ids, a
copy-and-paste doubled them, or somebody changed them. Whatever stands in a submitted file, the result is a notebook of
the course's form, and a list of remarks that says what was done.

Everything here is pure: bytes and notebooks in, notebooks out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# A submission with figures has a few megabytes. A parsed value costs at most a few hundred bytes, so that bounding
# the brackets and commas bounds the memory before anything is parsed.
MAX_BYTES = 64_000_000
MAX_VALUES = 4_000_000
MAX_CELLS = 1_000
MAX_SOURCE = 200_000
MAX_ATTACHMENTS = 2_000_000
MAX_REMARK = 300

KINDS = ("code", "markdown", "raw")
PICTURES = ("image/png", "image/jpeg", "image/gif")

Json = dict[str, Any]


@dataclass(frozen=True)
class Piece:
    """A cell of a submission, as far as it is believed.

    Attributes:
        kind: "code", "markdown" or "raw".
        source: Its text.
        grade_id: The id that it claims, or "".
        attachments: Pictures pasted into a markdown cell: name -> MIME type -> base64 text.
    """

    kind: str
    source: str
    grade_id: str = ""
    attachments: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Submission:
    """What could be read of a submitted notebook.

    Attributes:
        pieces: Its cells in order.
        remarks: What was wrong with the file.
        readable: Whether it was a notebook at all.
    """

    pieces: tuple[Piece, ...] = ()
    remarks: tuple[str, ...] = ()
    readable: bool = True


@dataclass(frozen=True)
class Rebuilt:
    """The notebook to execute, in nbformat 4, and what was repaired to get there."""

    notebook: Json
    remarks: tuple[str, ...] = ()


def read_submission(content: bytes) -> Submission:
    """Reads a submitted notebook, believing nothing.

    Args:
        content: The file.

    Returns:
        Its cells; `readable` is False where the bytes are no notebook, and the remarks then say why. It never raises.
    """
    if len(content) > MAX_BYTES:
        return _unreadable(f"the file has {len(content) / 1e6:.0f} MB, at most {MAX_BYTES / 1e6:.0f} MB are read")
    if sum(content.count(sign) for sign in (b"[", b"{", b",")) > MAX_VALUES:
        return _unreadable(f"the file holds more than {MAX_VALUES:,} values")
    text, remarks = _decode(content)
    try:
        document = json.loads(text)
    except RecursionError:
        return _unreadable("its JSON is nested too deeply")
    except ValueError as error:
        return _unreadable(f"it is not JSON ({_short(str(error))})")
    cells = _cells_of(document)
    if cells is None:
        return _unreadable("it is JSON, but has no list of cells")
    if len(cells) > MAX_CELLS:
        remarks = (*remarks, f"only the first {MAX_CELLS} of its {len(cells)} cells were read")
    pieces = []
    for number, cell in enumerate(cells[:MAX_CELLS], start=1):
        piece, complaint = _piece(cell)
        if complaint:
            remarks = (*remarks, f"cell {number}: {complaint}")
        if piece is not None:
            pieces.append(piece)
    return Submission(tuple(pieces), remarks[:50])


def _unreadable(reason: str) -> Submission:
    return Submission((), (f"the notebook could not be read: {reason}",), readable=False)


def _short(text: str) -> str:
    return text if len(text) <= MAX_REMARK else text[: MAX_REMARK - 3] + "..."


def _decode(content: bytes) -> tuple[str, tuple[str, ...]]:
    """Text of the file: UTF-8, else what its byte order mark says, else Latin-1, which fits always."""
    for encoding in ("utf-8-sig", "utf-16"):
        if encoding == "utf-16" and content[:2] not in (b"\xff\xfe", b"\xfe\xff"):
            continue
        try:
            text = content.decode(encoding)
        except UnicodeError:
            continue
        return text, () if encoding == "utf-8-sig" else (f"the file was read as {encoding}, not as UTF-8",)
    return content.decode("latin-1"), ("the file was read as Latin-1, it is not UTF-8",)


def _cells_of(document: Any) -> list[Any] | None:
    """The cells of a notebook of format 4, or of format 3 with its worksheets."""
    if not isinstance(document, dict):
        return None
    cells = document.get("cells")
    if isinstance(cells, list):
        return cells
    sheets = document.get("worksheets")
    if not isinstance(sheets, list):
        return None
    found = [sheet["cells"] for sheet in sheets if isinstance(sheet, dict) and isinstance(sheet.get("cells"), list)]
    return [cell for sheet in found for cell in sheet]


def _piece(cell: Any) -> tuple[Piece | None, str]:
    """A cell as far as it is usable, and a complaint about it."""
    if not isinstance(cell, dict):
        return None, f"a {type(cell).__name__} stood where a cell was expected; it was left out"
    kind = cell.get("cell_type")
    source = _text(cell.get("source", cell.get("input", "")))
    if source is None:
        return None, "its source is not text; it was left out"
    if len(source) > MAX_SOURCE:
        return None, f"it has {len(source):,} characters, at most {MAX_SOURCE:,} are read; it was left out"
    known = isinstance(kind, str) and kind in KINDS
    piece = Piece(
        kind if known and isinstance(kind, str) else "raw", source, _grade_id(cell.get("metadata")), _attachments(cell)
    )
    return piece, "" if known else f"its type {_short(repr(kind))} is unknown; its text is kept and not run"


def _text(source: Any) -> str | None:
    """Source as one string without lone surrogates, which no file and no database could hold."""
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str):
        return None
    return source.encode("utf-8", "replace").decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")


def _grade_id(metadata: Any) -> str:
    nbgrader = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    claimed = nbgrader.get("grade_id") if isinstance(nbgrader, dict) else None
    return claimed if isinstance(claimed, str) and len(claimed) <= 200 else ""


def _attachments(cell: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Pasted pictures; anything else that may hang on a cell is left behind."""
    attached = cell.get("attachments")
    if cell.get("cell_type") != "markdown" or not isinstance(attached, dict):
        return {}
    kept: dict[str, dict[str, str]] = {}
    room = MAX_ATTACHMENTS
    for name, bundle in attached.items():
        pictures = _pictures(bundle)
        room -= sum(map(len, pictures.values()))
        if pictures and room >= 0 and _text(name) == name:
            kept[name] = pictures
    return kept


def _pictures(bundle: Any) -> dict[str, str]:
    if not isinstance(bundle, dict):
        return {}
    is_base64 = re.compile(r"[A-Za-z0-9+/=\s]*")
    return {
        mime: data
        for mime, data in bundle.items()
        if mime in PICTURES and isinstance(data, str) and is_base64.fullmatch(data)
    }


# Read line by line: Python's own parser can be made to exhaust the stack of the process that calls it.
_DEFINITION = re.compile(r"^(?:async[ \t]+def|def|class)[ \t]+(\w+)", re.MULTILINE)
_ASSIGNMENT = re.compile(
    r"^([A-Za-z_]\w*(?:[ \t]*,[ \t]*[A-Za-z_]\w*)*)[ \t]*(?::[^=\n]{0,200})?(?:=(?!=)|[-+*/@]=)", re.MULTILINE
)


def names_defined(source: str) -> frozenset[str]:
    """Names of the functions, classes and variables that a code cell defines at its top level."""
    assigned = (name.strip() for names in _ASSIGNMENT.findall(source) for name in names.split(","))
    return frozenset(_DEFINITION.findall(source)) | frozenset(assigned)


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


def _same(source: str) -> str:
    """The text by which two cells are the same: editors differ in trailing blanks and line ends."""
    return "\n".join(line.rstrip() for line in source.strip().splitlines())


def _slots(template: Mapping[str, Any], names: Mapping[str, frozenset[str]]) -> list[_Slot]:
    slots = []
    for cell in template["cells"]:
        nbgrader = cell.get("metadata", {}).get("nbgrader", {})
        grade_id, source = nbgrader.get("grade_id", ""), cell["source"]
        answer = bool(nbgrader.get("solution"))
        is_code = answer and cell["cell_type"] == "code"
        expected = names_defined(source) or names.get(grade_id, frozenset()) if is_code else frozenset()
        judges = bool(nbgrader.get("grade")) and not answer
        slots.append(_Slot(cell["cell_type"], source, grade_id, answer, judges, expected))
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
        claims: dict[str, list[int]] = {}
        for number, piece in enumerate(self.pieces):
            if piece.grade_id:
                claims.setdefault(piece.grade_id, []).append(number)
        for number, slot in enumerate(self.slots):
            claimed = claims.get(slot.grade_id, []) if slot.grade_id else []
            if not claimed:
                continue
            if len(claimed) > 1 and slot.answer:
                self.remarks.append(f"{slot.grade_id}: {len(claimed)} cells carry this id; the last answer was taken")
            self.put(number, max(claimed, key=lambda n: (self._answers(slot, n), n)))

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
        student added, without ids; `metadata.pset4.origin` tells "course", "answer" and "student" apart. No outputs.
    """
    match = _Match(_slots(template, names or {}), submission.pieces)
    match.by_id()
    match.correct_wrong_ids()
    match.by_text()
    match.by_names()
    match.by_place()
    extras = _extras(match)
    cells = [_extra_cell(match.pieces[n], n) for n in extras.get(-1, [])]
    for number, cell in enumerate(template["cells"]):
        cells.append(_course_cell(cell, match, number))
        cells.extend(_extra_cell(match.pieces[n], n) for n in extras.get(number, []))
    notebook = {**template, "metadata": dict(template.get("metadata", {})), "cells": cells}
    remarks = (*submission.remarks, *match.remarks, *_changed_given_cells(match))
    return Rebuilt(notebook, remarks)


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


def _extra_cell(piece: Piece, number: int) -> Json:
    cell: Json = {
        "cell_type": piece.kind,
        "id": f"student-{number}",
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
        parts = [piece, *(match.pieces[n] for n in match.joined.get(number, []))]
        rebuilt["source"] = "\n\n".join(part.source for part in parts)
        if piece.kind != slot.kind:
            match.remarks.append(f"{slot.grade_id}: its type was changed to {piece.kind}; it is {slot.kind} again")
    elif slot.answer and slot.kind == "code" and _defined_elsewhere(slot, match):
        # The released text would raise, or overwrite what another cell of the student defines.
        rebuilt["source"] = "# The answer stands in another cell."
        match.remarks.append(f"{slot.grade_id}: the cell is missing; another cell defines what it asks for")
    elif slot.answer and match.pieces:
        match.remarks.append(f"{slot.grade_id}: the answer cell is missing")
    return _with_form(rebuilt, piece)


def _defined_elsewhere(slot: _Slot, match: _Match) -> bool:
    return any(slot.names & names for names in match.names)


def _changed_given_cells(match: _Match) -> list[str]:
    """Remarks on given cells that the student edited: ours were used."""
    changed = (
        slot.grade_id
        for number, slot in enumerate(match.slots)
        if slot.grade_id
        and not slot.answer
        and number in match.piece_of
        # Tests lose their hidden part on release, so that only cells that are released whole can be compared.
        and not slot.grade_id.endswith("_test")
        and _same(match.pieces[match.piece_of[number]].source) != slot.stub
    )
    return [f"{grade_id}: this given cell was changed; the course's own text was used" for grade_id in changed]
