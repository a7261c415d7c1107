"""The notebook that `handin` is called from: whether it has been saved, and what is different on Colab."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pset4.submission.exercises import EXERCISES
from pset4.submission.notebooks import Notebook, parse

DRIVE = Path("/content/drive/MyDrive/Colab Notebooks")


def on_colab() -> bool:
    """Whether this is a notebook on Google Colab."""
    return "google.colab" in sys.modules


def places(folder: Path) -> list[Path]:
    """Where the notebooks may lie."""
    return [folder, folder / "notebooks", *([Path("/content"), DRIVE] if on_colab() else [])]


def how_to_add(name: str) -> str:
    """What a student does about a notebook that was not found."""
    if on_colab():
        return (
            "open it in Colab, choose File > Download > Download .ipynb, and put the file here with the folder icon on "
            "the left and the upload icon above the files"
        )
    return f"put {name}.ipynb into this folder"


def open_notebook(now: datetime) -> Notebook | None:
    """The notebook in this tab of Colab, as it is now; Colab keeps no file of it where Python can see it."""
    if not on_colab():
        return None
    try:
        from google.colab import _message

        table = _message.blocking_request("get_ipynb", request="", timeout_sec=20)["ipynb"]
        content = json.dumps(table, indent=1, ensure_ascii=False).encode()
    except Exception:  # Colab promises nothing about this; the files do as well
        return None
    read = parse("", Path("/content/open.ipynb"), content, now)
    names = [exercise.notebook for exercise in EXERCISES if read.cell(exercise.id)]
    return parse(names[0], Path(f"/content/{names[0]}.ipynb"), content, now) if names else None


def unsaved(notebooks: Sequence[Notebook]) -> str:
    """What to do where the calling notebook was changed since it was saved, or "".

    The cell that is running, and the one that ran before it, must stand in a file as they ran.
    """
    history = _history()
    if not history or "handin(" not in history[-1]:
        return ""
    sources = [{cell.source.strip() for cell in notebook.cells} for notebook in notebooks]
    if any(
        history[-1].strip() in known and _knows_the_last_run(notebook, history)
        for known, notebook in zip(sources, notebooks, strict=True)
    ):
        return ""
    return "This notebook has changed since it was saved. Save it (Ctrl+S, or Cmd+S), and run this cell again."


def _knows_the_last_run(notebook: Notebook, history: Sequence[str]) -> bool:
    number = len(history) - 1  # of the cell before, counting from 1
    if number < 1:
        return True
    return any(cell.count == number and cell.source.strip() == history[-2].strip() for cell in notebook.cells)


def in_notebook() -> bool:
    """Whether this runs in a notebook's kernel."""
    return _shell() is not None


def _shell() -> Any:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell if getattr(shell, "kernel", None) else None


def _history() -> list[str]:
    """The cells that ran in this session, the running one last; none outside of a notebook."""
    shell = _shell()
    return [str(source) for source in shell.history_manager.input_hist_raw[1:]] if shell else []


def offer(path: Path) -> None:
    """Sends a file from Colab to the student's own machine."""
    if on_colab():
        from google.colab import files

        files.download(str(path))
