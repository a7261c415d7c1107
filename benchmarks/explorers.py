"""How fast explorers answer: `python benchmarks/explorers.py` runs the right notebooks in JupyterLab and writes
`explorers.md`.

Measured in Chromium, from the key until the picture of the answer is drawn: the way to the kernel, the student's
function, and the drawing. Every control and every bar is moved, several times; where a position was computed in
advance, no kernel is asked.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles

import torch

HERE = Path(__file__).parent
REPOSITORY = HERE.parent
sys.path.insert(0, str(REPOSITORY / "tests" / "helpers"))

import notebook_outputs as shown  # noqa: E402  with the tests, whose pages these are
from explorer_moves import move_by_keys  # noqa: E402
from lab_pages import Lab, NotebookPage, open_chromium, serve  # noqa: E402
from playwright.sync_api import BrowserContext, Locator  # noqa: E402
from right_notebooks import write_right_notebooks  # noqa: E402

from autograder.course.contract import NOTEBOOKS  # noqa: E402
from autograder.course.folders import RELEASED  # noqa: E402

ALLOWED = 150  # milliseconds
# Notes how long each key waits for its picture: until the answer is drawn, or, if no kernel was asked, the next frame.
WATCH = """(root) => {
  const model = window.pset4Links[root.id], send = model.send.bind(model);
  const drawn = (note) => requestAnimationFrame(() => setTimeout(note));
  let pressed = null, asked = false;
  root.pset4Asked = []; root.pset4Framed = [];
  model.send = (request) => { asked = true; return send(request); };
  model.on("msg:custom", () => { const began = pressed; if (began !== null) drawn(() => {
    if (pressed === began) { root.pset4Asked.push(performance.now() - began); pressed = null; } }); });
  root.addEventListener("keydown", (event) => { if (event.target.localName === "button") { pressed = null; return; }
    const began = pressed = performance.now(); asked = false; drawn(() => {
    if (!asked && pressed === began) { root.pset4Framed.push(performance.now() - began); pressed = null; } }); }, true);
}"""


def times(explorer: Locator, rounds: int) -> tuple[list[float], list[float]]:
    """Milliseconds of all moves: those that the kernel answered, and those whose positions were there."""
    explorer.evaluate(WATCH)
    for _ in range(rounds):
        deaf = move_by_keys(explorer)
        if deaf:
            print(f"  nothing followed: {', '.join(deaf)}")
    asked, framed = explorer.evaluate("(root) => [root.pset4Asked, root.pset4Framed]")
    return asked, framed


def rows(context: BrowserContext, lab: Lab, name: str, rounds: int) -> Iterator[str]:
    """A row of the table for each explorer of a notebook."""
    notebook = NotebookPage(context, lab, f"{name}.ipynb")
    notebook.run_all(600)
    notebook.wait("!document.querySelector('.pset4-note')")
    for page, explorer in zip(shown.pages(notebook.cells()), notebook.explorers(), strict=True):
        asked, framed = times(explorer, rounds)
        about = [name, explorer.get_attribute("aria-label"), f"{len(page) / 1e3:.0f}"]
        yield f"| {' | '.join([*about, _in_short(asked), _in_short(framed)])} |"
    notebook.close()
    lab.end_kernels()


def _in_short(milliseconds: list[float]) -> str:
    """Number, median, 95th percentile and largest, as columns."""
    if not milliseconds:
        return "0 | – | – | –"
    slow = quantiles(milliseconds, n=20, method="inclusive")[-1] if len(milliseconds) > 1 else milliseconds[0]
    return f"{len(milliseconds)} | {median(milliseconds):.0f} | {slow:.0f} | {max(milliseconds):.0f}"


def main() -> None:
    """Measures, and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=4, help="how often everything is moved")
    rounds = parser.parse_args().rounds
    load = os.getloadavg()[0]
    table: list[str] = []
    with tempfile.TemporaryDirectory() as root, serve(Path(root)) as lab, open_chromium() as chromium:
        write_right_notebooks(RELEASED, lab.folder)
        context = chromium.new_context(viewport={"width": 1200, "height": 1000})
        for name in NOTEBOOKS:
            for row in rows(context, lab, name, rounds):
                table.append(row)
                print(row)
        browser = f"Chromium {chromium.version}"
    (HERE / "explorers.md").write_text(
        f"""# How fast explorers answer

From a key to the picture of its answer, in milliseconds; at most {ALLOWED} are promised on 2 idle cores. Where a
position was computed in advance, the picture does not wait for the kernel. Buttons, which do more than answer, are left
out. {platform.machine()}, {os.cpu_count()} cores, load {load:.1f} before; Python {platform.python_version()}, torch
{torch.__version__}, {browser}, without a GPU. Written by `benchmarks/explorers.py`.

| notebook | explorer | kB | asked | median | 95 % | most | in advance | median | 95 % | most |
|---|---|---|---|---|---|---|---|---|---|---|
"""
        + "\n".join(table)
        + "\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
