"""The notebooks in JupyterLab, in a real browser, as a student meets them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from lab_pages import Lab, open_chromium, serve
from playwright.sync_api import Browser, BrowserContext

from autograder.commands.course import release_into
from autograder.commands.sample_class import Member, fill_in
from pset4.settings import load_settings


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    # For one module: as long as it is open, no other test of this process can run an event loop.
    with open_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def context(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context(viewport={"width": 1200, "height": 1000})
    yield context
    context.close()


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("released")
    release_into(folder)
    return folder


@pytest.fixture(scope="session")
def answered(released: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The released notebooks with right answers, and attacks that are short."""
    folder = tmp_path_factory.mktemp("answered")
    for path in released.glob("*.ipynb"):
        notebook = fill_in(nbformat.read(path, as_version=4), Member("right", "every answer is right"))
        for cell in notebook.cells:
            cell.source = cell.source.replace("N_ITER = n_iter()", f"N_ITER = {load_settings().n_iter_while_grading}")
        nbformat.write(notebook, folder / path.name)
    return folder


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with serve(tmp_path_factory.mktemp("lab")) as lab:
        yield lab
