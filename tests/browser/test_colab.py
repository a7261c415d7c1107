"""Explorers work in Colab, too, whose pages reach the kernel by `google.colab.kernel.invokeFunction` alone."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from explorer_moves import move_by_keys, move_by_mouse
from playwright.sync_api import Browser, Page
from torch import Tensor

from pset4 import explore
from pset4.figures.gradients import library_conv1d

# Colab's own, as far as explorers use it: the answer is a display.
COLAB = """globalThis.google = {colab: {kernel: {accessAllowed: true, invokeFunction: async (name, args, kwargs) =>
  ({data: {"application/json": await askPython(name, args)}})}}};"""


class Colab:
    """A kernel of Colab's: what its pages may call, and what was displayed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.callbacks: dict[str, Callable[..., Any]] = {}
        self.displayed: list[dict[str, Any]] = []
        package, output = ModuleType("google.colab"), ModuleType("google.colab.output")
        output.register_callback = self.callbacks.__setitem__
        package.output = output
        monkeypatch.setitem(sys.modules, "google.colab", package)
        monkeypatch.setattr("IPython.display.display", lambda data, **_options: self.displayed.append(data))

    def answer(self, name: str, arguments: list[Any]) -> Any:
        return self.callbacks[name](*arguments).data


@pytest.fixture
def colab(monkeypatch: pytest.MonkeyPatch) -> Colab:
    return Colab(monkeypatch)


@pytest.fixture
def opened(chromium: Browser, colab: Colab, tmp_path: Path) -> Iterator[Callable[[], Page]]:
    """Opens what was displayed as a page of Colab's."""
    page = chromium.new_page()
    page.expose_function("askPython", colab.answer)
    page.add_init_script(COLAB)

    def show() -> Page:
        file = tmp_path / "output.html"
        file.write_text(f"<!doctype html><meta charset=utf-8>{colab.displayed[0]['text/html']}", encoding="utf-8")
        page.goto(file.as_uri())
        return page

    yield show
    page.close()


def test_an_explorer_asks_colabs_kernel(opened: Callable[[], Page]) -> None:
    explore.convolution(library_conv1d)
    explorer = opened().locator(".pset4-explorer:has(.pset4-live)")
    assert move_by_keys(explorer) + move_by_mouse(explorer) == []
    assert explorer.locator(".pset4-note").count() == 0  # nothing says that a kernel is missing


def test_an_error_of_the_students_is_one_sentence(opened: Callable[[], Page]) -> None:
    def conv1d(x_in: Tensor, kernel: Tensor) -> Tensor:
        if kernel[0] > 1:
            raise ZeroDivisionError("a mistake of mine")
        return x_in

    explore.convolution(conv1d)
    page = opened()
    page.get_by_label("kernel[0]").press("End")
    page.get_by_text("a mistake of mine").wait_for()
    page.get_by_label("kernel[0]").press("Home")
    page.get_by_text("a mistake of mine").wait_for(state="detached")
