"""Four notebooks as a student has them: the released ones, with answers and outputs written into their cells."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from autograder.course.cells import grade_id
from autograder.course.folders import RELEASED
from pset4.submission.exercises import EXERCISES, NOTEBOOKS

Table = dict[str, Any]
WRITTEN = r"It is $x_{out}[n] = \sum_m W[m]\, x_{in}[n-m]$, for $ 0 \le n<N $."


def png(width: int = 60, height: int = 40, colour: str = "teal") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "PNG")
    return buffer.getvalue()


def shown(picture: bytes, words: str = "") -> Table:
    """An output that shows a picture."""
    data = {"image/png": base64.b64encode(picture).decode(), "text/plain": "<Figure>"}
    return {"output_type": "display_data", "data": data, "metadata": {"image/png": {"alt": words}}}


def said(text: str) -> Table:
    return {"output_type": "stream", "name": "stdout", "text": text}


def answer(exercise: str) -> str:
    """A text that counts as an answer."""
    names = next(each.names for each in EXERCISES if each.id == exercise)
    return "\n".join(f"{name} = helper(1)" for name in names) or WRITTEN


def answered(table: Table) -> Table:
    """Every cell run in order, every exercise answered, every check passed, one figure after each check."""
    ids = {exercise.id for exercise in EXERCISES}
    for number, cell in enumerate(table["cells"], start=1):
        name = grade_id(cell)
        if name in ids:
            cell["source"] = answer(name)
        if cell["cell_type"] == "code":
            cell["execution_count"] = number
        if name.endswith("_check"):
            cell["outputs"] = [said(f"{name.removesuffix('_check')}: all good."), shown(png(), f"What {name} drew")]
    return table


def edit(folder: Path, notebook: str, change: Callable[[Table], Any]) -> None:
    """Changes a notebook's file."""
    path = folder / f"{notebook}.ipynb"
    table = json.loads(path.read_text(encoding="utf-8"))
    change(table)
    path.write_text(json.dumps(table), encoding="utf-8")


def write_answer(folder: Path, exercise: str, source: str, **about: Any) -> None:
    """Writes one answer, and what else shall stand in its cell."""

    def change(table: Table) -> None:
        cell = next(cell for cell in table["cells"] if grade_id(cell) == exercise)
        cell.update({"source": source, **about})

    edit(folder, next(each.notebook for each in EXERCISES if each.id == exercise), change)


def hand_in_folder(folder: Path, change: Callable[[Table], Table] = answered) -> Path:
    """A folder with the four notebooks, made from the released ones."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in NOTEBOOKS:
        table = json.loads((RELEASED / f"{name}.ipynb").read_text(encoding="utf-8"))
        (folder / f"{name}.ipynb").write_text(json.dumps(change(table), ensure_ascii=False), encoding="utf-8")
    return folder


def unpacked(path: Path) -> Mapping[str, bytes]:
    """What a zip holds."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
