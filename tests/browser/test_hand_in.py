"""The last cell of notebook 4 makes the zip that a student hands in."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

from lab_pages import Lab, NotebookPage
from playwright.sync_api import BrowserContext

from autograder.course.contract import NOTEBOOKS


def test_the_last_cell_makes_a_zip_with_notebooks_and_report(context: BrowserContext, lab: Lab, answered: Path) -> None:
    shutil.copytree(answered, lab.folder, dirs_exist_ok=True)
    notebook = NotebookPage(context, lab, f"{NOTEBOOKS[-1]}.ipynb")
    cell = notebook.index(text="handin(")
    assert "Write your name" in notebook.run(cell)
    assert list(lab.folder.glob("*.zip")) == []

    notebook.set_source(cell, notebook.cells()[cell]["source"].replace('name=""', 'name="Ada Lovelace"'))
    notebook.save()
    said = notebook.run(cell)
    assert "Hand in" in said.splitlines()[-1]
    (made,) = lab.folder.glob("*.zip")
    assert "Ada" in made.name
    with zipfile.ZipFile(made) as content:
        assert {Path(name).name for name in content.namelist()} >= {f"{name}.ipynb" for name in NOTEBOOKS}
        (report,) = (name for name in content.namelist() if name.endswith("report.pdf"))
        assert content.read(report).startswith(b"%PDF")
    assert notebook.errors == []
    notebook.close()
