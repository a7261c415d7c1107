"""Finds and reads the notebooks. A file may hold anything: what is not as a notebook should be is left out or named."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

MAX_BYTES = 64_000_000
_NO_TEXT = re.compile(
    r"\x1b\[[0-9;?]*[ -/]*[@-~]"  # colours of a terminal
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"  # control characters, except for tab and newline
    r"|[\u202a-\u202e\u2066-\u2069]"  # what shows a text in another order than it is read
)


@dataclass(frozen=True)
class Cell:
    """A cell.

    Attributes:
        kind: "code" or "markdown".
        source: Its text.
        name: nbgrader's id, or "".
        id: The notebook format's id, or "".
        count: Its execution count, None where it was not run.
        outputs: As they are saved.
        attachments: Pictures that were pasted into it, by name and then by MIME type.
    """

    kind: str
    source: str
    name: str = ""
    id: str = ""
    count: int | None = None
    outputs: tuple[Mapping[str, Any], ...] = ()
    attachments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Notebook:
    """One of the four notebooks, as it was found.

    Attributes:
        name: The course's name for it, without ".ipynb".
        path: Where it lies.
        content: The file's bytes.
        saved: When it was last saved.
        cells: Its cells; none where it cannot be read.
        problem: Why it cannot be read, or "".
    """

    name: str
    path: Path
    content: bytes
    saved: datetime
    cells: tuple[Cell, ...] = ()
    problem: str = ""

    def cell(self, name: str) -> Cell | None:
        """The cell with that nbgrader id."""
        return next((cell for cell in self.cells if cell.name == name), None)


def find(name: str, folders: Iterable[Path]) -> Path | None:
    """The file of a notebook: under its own name, or else the newest copy ("problem1_forward (1).ipynb").

    Args:
        name: The course's name for it, without ".ipynb".
        folders: Where to look; the first folder that has one counts.
    """
    for folder in folders:
        if (exact := folder / f"{name}.ipynb").is_file():
            return exact
        if copies := [path for path in folder.glob("*.ipynb") if name in path.name and path.is_file()]:
            return max(copies, key=lambda path: (path.stat().st_mtime, path.name))
    return None


def read(name: str, path: Path) -> Notebook:
    """Reads a notebook's file; one that is no notebook has a `problem` and no cells.

    Raises:
        OSError: If the file cannot be read.
    """
    status = path.stat()
    saved = datetime.fromtimestamp(status.st_mtime).astimezone()
    if status.st_size > MAX_BYTES:
        return Notebook(name, path, b"", saved, problem=f"it has {status.st_size / 1e6:.0f} MB: clear its outputs")
    return parse(name, path, path.read_bytes(), saved)


def parse(name: str, path: Path, content: bytes, saved: datetime) -> Notebook:
    """The notebook that these bytes hold."""
    try:
        cells = _cells(json.loads(content))
    except (ValueError, RecursionError) as error:  # a UnicodeDecodeError is a ValueError, too
        return Notebook(name, path, content, saved, problem=f"it is no notebook ({error})")
    return Notebook(name, path, content, saved, cells)


def _cells(table: Any) -> tuple[Cell, ...]:
    listed = table.get("cells") if isinstance(table, dict) else None
    if not isinstance(listed, list):
        raise ValueError("it has no cells")
    return tuple(_cell(entry) for entry in listed if isinstance(entry, dict))


def _cell(entry: Mapping[str, Any]) -> Cell:
    metadata = _mapping(entry.get("metadata"))
    count, outputs = entry.get("execution_count"), entry.get("outputs")
    return Cell(
        kind=str(entry.get("cell_type")),
        source=text_of(entry.get("source")),
        name=str(_mapping(metadata.get("nbgrader")).get("grade_id", "")),
        id=str(entry.get("id") or metadata.get("id") or ""),  # Colab keeps a cell's id in its metadata
        count=count if isinstance(count, int) else None,
        outputs=tuple(o for o in outputs if isinstance(o, dict)) if isinstance(outputs, list) else (),
        attachments=_mapping(entry.get("attachments")),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def text_of(value: Any) -> str:
    """A text of the notebook format, which may be a list of lines, without what is no text."""
    lines = value if isinstance(value, list) else [value]
    text = "".join(line for line in lines if isinstance(line, str)).replace("\r\n", "\n")
    return _NO_TEXT.sub("", text).encode("utf-8", "replace").decode()


def printed(cell: Cell) -> str:
    """What a cell printed, showed as text, or raised."""
    return "\n".join(text for output in cell.outputs if (text := _printed(output).strip()))


def _printed(output: Mapping[str, Any]) -> str:
    if output.get("output_type") == "error":
        return f"{text_of(output.get('ename'))}: {text_of(output.get('evalue'))}"
    if output.get("output_type") == "stream":
        return text_of(output.get("text"))
    data = _mapping(output.get("data"))
    is_object = {"image/png", "image/jpeg", "text/html", "application/vnd.jupyter.widget-view+json"} & data.keys()
    return "" if is_object else text_of(data.get("text/plain"))


def error_of(cell: Cell) -> str:
    """The first line of the error that a cell ended in, in short, or ""."""
    errors = [output for output in cell.outputs if output.get("output_type") == "error"]
    line = _printed(errors[0]).splitlines()[0] if errors else ""
    return line if len(line) <= 160 else f"{line[:160]}…"


def label(cells: Sequence[Cell], place: int) -> str:
    """How a cell is called in a sentence."""
    cell = cells[place]
    known = cell.name or (cell.id if re.match(r"p[1-4]", cell.id) else "")
    return f"`{known}`" if known else f"number {place + 1} from the top"
