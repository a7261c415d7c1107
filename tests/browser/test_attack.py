"""A long attack shows itself, can be interrupted, and leaves the notebook usable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nbformat
import notebook_outputs as shown
import pytest
from lab_pages import Lab, NotebookPage
from playwright.sync_api import BrowserContext

from autograder.course.cells import grade_id

FILE = "problem4_adversarial.ipynb"
NEEDED = ("p4_setup", "p4_imports", "p4_given", "p4_standard_step", "p4a_attack")


@pytest.fixture
def notebook(context: BrowserContext, lab: Lab, answered: Path) -> Iterator[NotebookPage]:
    """What an attack needs of notebook 4."""
    whole = nbformat.read(answered / FILE, as_version=4)
    whole.cells = [cell for cell in whole.cells if grade_id(cell) in NEEDED]
    nbformat.write(whole, lab.folder / FILE)
    page = NotebookPage(context, lab, FILE)
    assert page.run_all(), shown.errors(page.cells())
    yield page
    page.close()


def test_an_interrupted_attack_says_what_was_kept_and_leaves_the_notebook_usable(notebook: NotebookPage) -> None:
    endless = "tarantula = generate_adversarial_example(standard, corgi, 76, standard_step, 10**6)"
    attack = notebook.add_cell(endless)
    notebook.start(attack)
    notebook.view(attack).get_by_text("step", exact=False).and_(
        notebook.view(attack).locator(".jp-OutputArea-output *")
    ).first.wait_for()
    notebook.menu("Kernel", "Interrupt Kernel")
    notebook.wait_for_cell(attack)
    said = notebook.text(attack)
    assert "Stopped after step" in said
    assert "Traceback" not in said
    assert "`standard_step.latest`" in said

    kept = notebook.add_cell("print(standard_step.latest.shape, 'tarantula' in globals())")
    assert notebook.run(kept) == "torch.Size([1, 3, 224, 224]) False"
    notebook.set_source(attack, endless.replace("10**6", "20"))
    assert "Stopped" not in notebook.run(attack)
    assert notebook.run(notebook.add_cell("checks.p4a_tarantula(tarantula)")).startswith("p4a_tarantula: all good")
    assert notebook.errors == []
