"""The notebooks in JupyterLab, in a real browser, as a student meets them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_pages import Lab, open_chromium, serve
from playwright.sync_api import Browser, BrowserContext
from right_notebooks import write_right_notebooks


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
def answered(released: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The released notebooks with right answers, and attacks that are short."""
    folder = tmp_path_factory.mktemp("answered")
    write_right_notebooks(released, folder)
    return folder


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with serve(tmp_path_factory.mktemp("lab")) as lab:
        yield lab
