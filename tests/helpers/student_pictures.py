"""Takes the pictures of `docs/student.md` anew, from the released notebooks in JupyterLab and Chromium.

    python tests/helpers/student_pictures.py            # all of them
    python tests/helpers/student_pictures.py check      # docs/student_check.png alone

Look at what it took before it is committed.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from lab_pages import NotebookPage, open_chromium, serve
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[2]
NOTEBOOK = "problem1_forward.ipynb"
WIDTH, HEIGHT = 900, 700
# The badge comes from a server; the pictures do not depend on it.
BADGE = """\
<svg xmlns="http://www.w3.org/2000/svg" width="117" height="20"><rect width="117" height="20" rx="3" fill="#555"/>
<text x="58" y="14" fill="#fff" font-family="sans-serif" font-size="11" text-anchor="middle"
>Open in Colab</text></svg>"""
# The most frequent slip: it does not flip the kernel.
ANSWER = """\
def conv1d(x_in: Tensor, kernel: Tensor) -> Tensor:
    \"\"\"A first try.\"\"\"
    half = len(kernel) // 2
    padded = F.pad(x_in, (half, half))
    return torch.stack([(kernel * padded[n : n + len(kernel)]).sum() for n in range(len(x_in))])
"""


def opened(notebook: NotebookPage) -> bytes:
    """The notebook beside the file browser, before anything was run."""
    return notebook.page.screenshot()


def check(notebook: NotebookPage) -> bytes:
    """A check that fails, with its figure."""
    return shown(notebook, notebook.index(grade_id="p1a_conv1d_check"))


def hint(notebook: NotebookPage) -> bytes:
    """The second stage of the same check."""
    return shown(notebook, notebook.add_cell("checks.p1a_conv1d(conv1d, hint=2)"))


def summary(notebook: NotebookPage) -> bytes:
    """What the checks have found so far."""
    return shown(notebook, notebook.add_cell("checks.summary()"))


def explorer(notebook: NotebookPage) -> bytes:
    """The convolution's explorer with that answer."""
    return shown(notebook, notebook.add_cell("from pset4 import explore\n\nexplore.convolution(conv1d)"))


PICTURES: dict[str, Callable[[NotebookPage], bytes]] = {
    "notebook": opened,
    "check": check,
    "hint": hint,
    "summary": summary,
    "explorer": explorer,
}
"""What each `docs/student_<name>.png` shows; the order matters, because one notebook is used for all."""


def path_of(name: str) -> Path:
    """Where a picture is kept."""
    return REPOSITORY / "docs" / f"student_{name}.png"


def shown(notebook: NotebookPage, cell: int) -> bytes:
    """Runs a cell, and takes a picture of it and of what it shows."""
    notebook.run(cell)
    notebook.page.wait_for_timeout(1500)  # figures and fonts
    notebook.page.mouse.move(WIDTH - 1, 1)
    return notebook.view(cell).screenshot()


def prepare(notebook: NotebookPage) -> None:
    """Closes the file browser, gives the wrong answer, and runs what stands above it."""
    notebook.page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")
    notebook.page.set_viewport_size({"width": WIDTH, "height": 2 * HEIGHT})
    answer = notebook.index(grade_id="p1a_conv1d")
    notebook.set_source(answer, ANSWER)
    for cell in (notebook.index(grade_id="p1_setup"), notebook.index(grade_id="p1_imports"), answer):
        notebook.run(cell)


def save(name: str, picture: bytes) -> None:
    """Keeps a picture in as few colours as its text needs."""
    Image.open(BytesIO(picture)).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(
        path_of(name), optimize=True
    )
    print(f"{path_of(name)}: {path_of(name).stat().st_size / 1e3:.0f} kB")


def main(names: list[str]) -> None:
    """Takes the pictures."""
    with tempfile.TemporaryDirectory() as root, serve(Path(root)) as lab, open_chromium() as chromium:
        for path in (REPOSITORY / "notebooks").glob("*.ipynb"):
            shutil.copy(path, lab.folder)
        context = chromium.new_context(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        context.route("**/colab-badge.svg", lambda route: route.fulfill(body=BADGE, content_type="image/svg+xml"))
        notebook = NotebookPage(context, lab, NOTEBOOK)
        if "notebook" in names:
            notebook.page.wait_for_timeout(2000)  # mathematics and fonts
            save("notebook", PICTURES["notebook"](notebook))
        prepare(notebook)
        for name in names:
            if name != "notebook":
                save(name, PICTURES[name](notebook))


if __name__ == "__main__":
    main(sys.argv[1:] or list(PICTURES))
