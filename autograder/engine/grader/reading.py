"""Reads a notebook that a student has handed in, and believes nothing of it.

Bytes in, cells out: their text, the id that they claim, their pictures. What cannot be used is not forgotten: an answer
that stands in the file and was not taken must be looked at by a human. Everything here is pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autograder.engine.grader.pictures import tidy

# A submission with figures has a few megabytes. A parsed value costs at most a few hundred bytes, so that bounding
# the brackets and commas bounds the memory before anything is parsed.
MAX_BYTES = 64_000_000
MAX_VALUES = 4_000_000
MAX_CELLS = 1_000
MAX_SOURCE = 200_000
MAX_REMARK = 300

KINDS = ("code", "markdown", "raw")

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
class Lost:
    """A cell that stands in the file and cannot be used.

    Attributes:
        reason: Why.
        grade_id: The id that it claims, or "": then it may be the answer to anything.
    """

    reason: str
    grade_id: str = ""


@dataclass(frozen=True)
class Submission:
    """What could be read of a submitted notebook.

    Attributes:
        pieces: Its cells in order.
        remarks: What was wrong with the file.
        readable: Whether it was a notebook at all.
        lost: Cells that cannot be used.
    """

    pieces: tuple[Piece, ...] = ()
    remarks: tuple[str, ...] = ()
    readable: bool = True
    lost: tuple[Lost, ...] = ()


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
    pieces, lost, complaints = [], [], []
    for number, cell in enumerate(cells[:MAX_CELLS], start=1):
        piece, notes = _piece(cell)
        complaints += [f"cell {number}: {note}" for note in notes]
        if isinstance(piece, Piece):
            pieces.append(piece)
        elif piece is not None:
            lost.append(piece)
    if len(cells) > MAX_CELLS:
        remarks = (*remarks, f"only the first {MAX_CELLS} of its {len(cells)} cells were read")
        lost += _cut_off(cells[MAX_CELLS:])
    return Submission(tuple(pieces), (*remarks, *complaints)[:50], lost=tuple(lost))


def _cut_off(cells: list[Any]) -> set[Lost]:
    """Cells behind the last that is read, by the ids that they claim."""
    reason = f"it stands behind the first {MAX_CELLS} cells, which are all that is read"
    filled = (cell for cell in cells if isinstance(cell, dict) and cell.get("source", cell.get("input")))
    return {Lost(reason, _grade_id(cell.get("metadata"))) for cell in filled}


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


def _piece(cell: Any) -> tuple[Piece | Lost | None, list[str]]:
    """A cell as far as it is usable, and what there is to say about it."""
    if not isinstance(cell, dict):
        return None, [f"a {type(cell).__name__} stood where a cell was expected; it was left out"]
    kind, grade_id = cell.get("cell_type"), _grade_id(cell.get("metadata"))
    source = _text(cell.get("source", cell.get("input", "")))
    if source is None:
        return _lost("its source is not text", grade_id)
    attachments: dict[str, dict[str, str]] = {}
    remarks: list[str] = []
    if kind != "code":
        source, attachments, remarks = tidy(source, _attached(cell))
    if len(source) > MAX_SOURCE:
        return _lost(f"it has {len(source):,} characters, at most {MAX_SOURCE:,} are read", grade_id)
    if not (isinstance(kind, str) and kind in KINDS):
        remarks = [*remarks, f"its type {_short(repr(kind))} is unknown; its text is kept and not run"]
        kind = "raw"
    return Piece(str(kind), source, grade_id, attachments), remarks


def _lost(reason: str, grade_id: str) -> tuple[Lost, list[str]]:
    return Lost(reason, grade_id), [f"{reason}; it was left out"]


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


def _attached(cell: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """What is pasted into a cell, as far as it has the form of pictures."""
    attached = cell.get("attachments")
    bundles = attached.items() if isinstance(attached, dict) else ()
    return {name: _pictures(bundle) for name, bundle in bundles if _text(name) == name}


def _pictures(bundle: Any) -> dict[str, str]:
    """The texts of a bundle that claim to be pictures; whether they are is seen by their bytes."""
    if not isinstance(bundle, dict):
        return {}
    pictures = ((mime, _text(data)) for mime, data in bundle.items() if str(mime).startswith("image/"))
    return {mime: data for mime, data in pictures if data}
