"""Every explorer follows the mouse and the keys, can be read by everybody, and outlives its kernel."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import notebook_outputs as shown
import pytest
from axe_playwright_python.sync_playwright import Axe
from explorer_moves import move_by_keys, move_by_mouse
from lab_pages import Lab, NotebookPage
from PIL import Image
from playwright.sync_api import Browser, BrowserContext

from autograder.course.contract import NOTEBOOKS

MAX_BYTES = 400_000
DARK, LIGHT = "JupyterLab Dark", "JupyterLab Light"


@pytest.fixture(scope="module", params=NOTEBOOKS)
def notebook(
    request: pytest.FixtureRequest, context: BrowserContext, lab: Lab, answered: Path
) -> Iterator[NotebookPage]:
    """A notebook with right answers, run to its end and saved."""
    file = f"{request.param}.ipynb"
    shutil.copy(answered / file, lab.folder / file)
    page = NotebookPage(context, lab, file)
    page.run_all(240)
    page.save()
    yield page
    page.close()
    lab.end_kernels()


def test_right_answers_run_to_the_end(notebook: NotebookPage) -> None:
    cells = notebook.cells()
    assert shown.errors(cells) == []
    assert shown.widgets(cells) == 0
    assert all(shown.pictures(cells)), "a figure has no text alternative"
    assert len(notebook.explorers()) == len(shown.pages(cells)) > 0
    assert "Error displaying widget" not in notebook.page.inner_text("body")
    assert notebook.errors == []


def test_an_explorer_is_no_burden_for_the_notebook(notebook: NotebookPage) -> None:
    assert [len(page) for page in shown.pages(notebook.cells()) if len(page) > MAX_BYTES] == []


@pytest.mark.parametrize("move", [move_by_keys, move_by_mouse], ids=["keys", "mouse"])
def test_the_picture_follows(notebook: NotebookPage, move: type) -> None:
    notebook.wait("!document.querySelector('.pset4-note')")  # every explorer has found its kernel
    before = notebook.page.evaluate("jupyterapp.shell.currentWidget.content.model.cells.length")
    assert {e.get_attribute("id"): deaf for e in notebook.explorers() if (deaf := move(e))} == {}
    assert notebook.page.evaluate("jupyterapp.shell.currentWidget.content.model.cells.length") == before
    assert notebook.errors == []


def test_a_photo_of_the_students_own_is_looked_at(notebook: NotebookPage, tmp_path: Path) -> None:
    photo = tmp_path / "my dog.png"
    Image.effect_noise((300, 200), 90).save(photo)
    inputs = notebook.page.locator(".pset4-live input[type=file]").all()
    assert len(inputs) == ("problem2" in notebook.name)
    for chosen in inputs:
        explorer = notebook.page.locator(".pset4-explorer", has=chosen)
        before = explorer.locator(".pset4-words").inner_text()
        chosen.set_input_files(photo)
        explorer.locator(".pset4-words").filter(has_not_text=before).wait_for()
        assert explorer.locator(".pset4-old").count() == 0


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_axe_finds_no_serious_fault(notebook: NotebookPage, theme: str) -> None:
    notebook.page.evaluate("(theme) => jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
    notebook.wait(f"document.body.dataset.jpThemeLight === '{str(theme == LIGHT).lower()}'")
    found = Axe().run(notebook.page, context=".pset4-explorer").response["violations"]
    serious = [fault for fault in found if fault["impact"] in ("serious", "critical")]
    assert [(fault["id"], [node["html"] for node in fault["nodes"]]) for fault in serious] == []


@pytest.mark.parametrize("width", [400, 900])
def test_nothing_is_cut_off_or_covered(notebook: NotebookPage, chromium: Browser, tmp_path: Path, width: int) -> None:
    page = chromium.new_page(viewport={"width": width, "height": 800})
    for number, explorer in enumerate(shown.pages(notebook.cells())):
        file = tmp_path / f"{number}.html"
        file.write_text(f"<!doctype html><meta charset=utf-8><body style='margin:8px'>{explorer}", encoding="utf-8")
        page.goto(file.as_uri())
        page.wait_for_selector(".pset4-live", state="attached")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, number
        assert page.evaluate(OUTSIDE) == []
        assert page.evaluate(COVERED) == []
    page.close()


def test_a_notebook_outlives_its_kernel(context: BrowserContext, lab: Lab, notebook: NotebookPage) -> None:
    lab.end_kernels()
    again = NotebookPage(context, lab, notebook.name)
    assert len(again.explorers()) == len(shown.pages(notebook.cells()))
    assert again.page.locator(".pset4-picture:visible").count() == len(again.explorers())
    _assert_no_error_boxes(again)


def test_a_notebook_that_is_not_trusted_shows_stills(context: BrowserContext, lab: Lab, notebook: NotebookPage) -> None:
    file = f"copy_of_{notebook.name}"
    copy = lab.read(notebook.name)
    copy["metadata"]["copied"] = True  # what was signed is another text
    (lab.folder / file).write_text(json.dumps(copy), encoding="utf-8")
    again = NotebookPage(context, lab, file)
    stills = shown.stills(copy["cells"])
    again.wait(f"document.querySelectorAll('.jp-OutputArea img[alt]:not([alt=\"\"])').length >= {len(stills)}")
    seen = again.page.evaluate(
        "[...document.querySelectorAll('.jp-OutputArea img')]"
        ".filter((image) => image.checkVisibility() && image.naturalWidth).map((image) => image.alt)"
    )
    assert [alt for alt in stills if alt not in seen] == []
    assert again.explorers() == []
    _assert_no_error_boxes(again)


def _assert_no_error_boxes(again: NotebookPage) -> None:
    assert "Error displaying widget" not in again.page.inner_text("body")
    assert "model not found" not in again.page.inner_text("body").lower()
    assert again.errors == []
    again.close()


# Words of a drawing that stand outside of it, or that cover one another.
OUTSIDE = """[...document.querySelectorAll(".pset4-live svg text")].filter((text) => {
  const own = text.getBoundingClientRect(), svg = text.ownerSVGElement.getBoundingClientRect();
  return own.width && (own.left < svg.left - 1 || own.right > svg.right + 1 || own.bottom > svg.bottom + 1); })
  .map((text) => text.textContent)"""
COVERED = """[...document.querySelectorAll(".pset4-live svg")].flatMap((svg) => {
  const texts = [...svg.querySelectorAll("text")].map((text) => [text.textContent, text.getBoundingClientRect()])
    .filter(([, box]) => box.width);
  return texts.flatMap(([one, a], i) => texts.slice(i + 1).filter(([, b]) =>
    Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2 &&
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4)
    .map(([other]) => `${one} | ${other}`)); })"""
