"""What the right notebooks cost: `python benchmarks/notebooks.py` runs the sources and writes `notebooks.md`.

The sources hold the model answers; cells of hidden exams are left out. Processor time is that of the kernel's process,
threads included, so that it says about the same on a busy machine; bytes are those of the outputs as they are stored.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
import psutil
import torch
from nbclient import NotebookClient

HERE = Path(__file__).parent
SOURCES = HERE.parent / "autograder" / "source" / "pset4"
PICTURES = {"image/png", "image/jpeg"}
Rows = list[dict[str, Any]]


def measure(source: Path, keep: Path | None) -> tuple[Rows, tuple[float, float], int]:
    """Runs a notebook.

    Args:
        source: The notebook.
        keep: Where the executed notebook goes, if it is wanted.

    Returns:
        What each cell took; the time from the kernel's start to the first picture, wall and processor; the notebook's
        size in bytes.
    """
    notebook = nbformat.read(source, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if not cell.id.endswith("_test")]
    client = NotebookClient(notebook, timeout=None, kernel_name="python3")
    rows: Rows = []
    started, first_picture = time.perf_counter(), (0.0, 0.0)
    with client.setup_kernel():
        kernel = psutil.Process(client.km.provisioner.pid)  # type: ignore[union-attr]
        before = 0.0  # what the kernel's start takes counts for the first cell
        for number, cell in enumerate(notebook.cells):
            if cell.cell_type != "code":
                continue
            client.execute_cell(cell, number)
            times = kernel.cpu_times()
            now = times.user + times.system
            size = len(json.dumps(cell.outputs).encode())
            rows.append({"cell": cell.id, "seconds": now - before, "bytes": size})
            before = now
            if not first_picture[0] and any(PICTURES & output.get("data", {}).keys() for output in cell.outputs):
                first_picture = time.perf_counter() - started, now
    text = nbformat.writes(notebook)
    if keep:
        (keep / source.name).write_text(text, encoding="utf-8")
    return rows, first_picture, len(text.encode())


def table(name: str, rows: Rows, first_picture: tuple[float, float], size: int) -> list[str]:
    """A notebook's part of the page: its sums, and the cells that take more than a second or 20 kB."""
    seconds = sum(row["seconds"] for row in rows)
    lines = [
        f"## {name}",
        "",
        f"{seconds:.0f} s of processor time, {size / 1e6:.2f} MB saved; the first picture {first_picture[0]:.1f} s "
        f"after the kernel's start ({first_picture[1]:.1f} s of processor time).",
        "",
        "| cell | processor time (s) | outputs (kB) |",
        "|---|---:|---:|",
    ]
    large = [row for row in rows if row["seconds"] >= 1 or row["bytes"] >= 20_000]
    return [*lines, *(f"| `{r['cell']}` | {r['seconds']:.1f} | {r['bytes'] / 1000:.0f} |" for r in large), ""]


def main() -> None:
    """Runs the notebooks that were named, or all four."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", help="beginnings of names, such as problem4")
    parser.add_argument("--into", type=Path, default=HERE / "notebooks.md")
    parser.add_argument("--keep", type=Path, help="a folder for the executed notebooks")
    options = parser.parse_args()
    page = [
        "# What the right notebooks cost",
        "",
        f"{platform.machine()}, {os.cpu_count()} cores, {os.environ.get('OMP_NUM_THREADS', os.cpu_count())} threads; "
        f"Python {platform.python_version()}, torch {torch.__version__}; embedded networks. "
        "Written by `benchmarks/notebooks.py`; cells below a second and below 20 kB are left out.",
        "",
    ]
    chosen = tuple(options.notebooks) or ("problem",)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for source in sorted(SOURCES.glob("*.ipynb")):
            if source.name.startswith(chosen):
                page += table(source.stem, *measure(source, options.keep))
    options.into.write_text("\n".join(page), encoding="utf-8")


if __name__ == "__main__":
    main()
