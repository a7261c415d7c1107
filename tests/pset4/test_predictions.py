"""Questions before results, figures before exercises, and what waits for an answer."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor

from autograder.course.folders import SOURCE
from pset4.figures import previews
from pset4.figures.gradients import library_conv1d, library_maxpool1d, rows_of_backward, three_ways
from pset4.figures.predictions import predict
from pset4.figures.questions import QUESTIONS
from pset4.figures.signals import draw_signals, show_convolution, show_signals
from pset4.figures.waiting import when_answered
from pset4.notebook.own_layers import layers_of_problem1

VALUES = {"before": 0.4, "size": 7, "unchanged": "Pembroke", "share": 0.011}


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What is displayed."""
    bundles: list[dict[str, Any]] = []

    def display(bundle: dict[str, Any], **options: Any) -> None:
        bundles.append(bundle | options)

    monkeypatch.setattr("IPython.display.display", display)
    return bundles


def figure() -> Figure:
    return draw_signals({"x_in": [1.0, 2.0]}, title="a < b")


class TestPrediction:
    @pytest.mark.parametrize("name", QUESTIONS)
    def test_every_choice_has_a_reason_and_one_is_right(self, name: str) -> None:
        question = QUESTIONS[name]
        assert len(question.reasons) >= 3 and all(question.reasons.values())
        assert question.right in question.reasons or name == "variants"
        assert "{" not in question.text.format(**VALUES)

    def test_the_notebooks_ask_each_of_them_once_and_hold_no_reason(self) -> None:
        texts = [path.read_text(encoding="utf-8") for path in sorted(SOURCE.glob("*.ipynb"))]
        asked = [re.findall(r'predict\((?:\\n",\s*" *)?\\"(\w+)\\"', text) for text in texts]
        assert sorted(name for names in asked for name in names) == sorted(QUESTIONS)
        assert all(2 <= len(names) <= 3 for names in asked)
        assert not [r for q in QUESTIONS.values() for r in q.reasons.values() if any(r in text for text in texts)]

    def test_reasons_and_result_are_folded_and_need_neither_script_nor_kernel(
        self, shown: list[dict[str, Any]]
    ) -> None:
        predict("edges", result=figure())
        page = shown[0]["text/html"]
        assert page.count("<details") == page.count("</details>") == 4
        assert " open" not in re.sub(r"<style>.*</style>", "", page, flags=re.DOTALL)
        assert "<script" not in page and "<input" not in page
        assert page.count("<b>Right.</b>") == 1
        assert len(set(re.findall(r'name="([\w-]+)"', page))) == 1

    def test_the_picture_stands_alone_where_no_html_is_taken(self, shown: list[dict[str, Any]]) -> None:
        predict("edges", result=figure())
        [kind] = [kind for kind in shown[0] if kind.startswith("image/")]
        assert shown[0]["metadata"][kind]["alt"].startswith("a < b")
        assert 'alt="a &lt; b' in shown[0]["text/html"]
        assert shown[0]["text/plain"].splitlines()[1:] == [f"  - {choice}" for choice in QUESTIONS["edges"].reasons]

    def test_what_is_right_may_depend_on_what_was_computed(self, shown: list[dict[str, Any]]) -> None:
        predict("variants", unchanged="Pembroke", right=["shuffled", "enlarged"])
        assert shown[0]["text/html"].count("<b>Right.</b>") == 2

    def test_a_table_can_be_the_result(self, shown: list[dict[str, Any]]) -> None:
        predict("tie", result=three_ways(lambda x: 2 * x, lambda g: 2 * g, torch.ones(2), output=0))
        assert "<table>" in shown[0]["text/html"]

    def test_an_unknown_question_is_named(self) -> None:
        with pytest.raises(ValueError, match=r"no question 'edge'; there are edges"):
            predict("edge")


@pytest.mark.parametrize(
    "draw",
    [previews.draw_forward, previews.draw_classification, previews.draw_backward, previews.draw_adversarial],
)
def test_a_preview_says_in_words_what_it_shows(draw: Any) -> None:
    assert len(draw().get_label()) > 60


OPEN_CONV1D = """
def conv1d(x_in, kernel):
    raise NotImplementedError("exercise p1a_conv1d is still open")
"""


def released(source: str = OPEN_CONV1D, **names: Any) -> dict[str, Any]:
    """A notebook's names, with a cell that was run."""
    namespace: dict[str, Any] = {
        "when_answered": when_answered,
        "show_convolution": show_convolution,
        "show_signals": show_signals,
        "rows_of_backward": rows_of_backward,
        **names,
    }
    exec(source, namespace)
    return namespace


CALL = "show_convolution(conv1d, x_in=[1.0, 2.0], kernel=[1.0], n=0)"
IN_A_BLOCK = "with when_answered():\n    {}"


class TestWaiting:
    @pytest.mark.parametrize(
        ("cell", "line"),
        [
            (CALL, "This figure waits for `conv1d` (exercise p1a_conv1d)."),
            (IN_A_BLOCK.format("y = conv1d(1, 2)"), "This waits for `conv1d` (exercise p1a_conv1d)."),
            (
                IN_A_BLOCK.format("rows_of_backward(lambda g: conv1d(g, 2), n_out=2)"),
                "This waits for `conv1d` (exercise p1a_conv1d).",
            ),
            ("show_signals({'x': attacked})", "This figure waits for `attacked`."),
            (IN_A_BLOCK.format("attacked.round()"), "This waits for `attacked`."),
            (IN_A_BLOCK.format("all_of = {1: 2, **attacked}"), "This waits for `attacked`."),
            (IN_A_BLOCK.format("show_signals({'y': y})"), "This waits for `y`, which a cell above sets."),
        ],
    )
    def test_an_open_exercise_is_named_in_one_line(
        self, cell: str, line: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        exec(cell, released(attacked=...))
        assert capsys.readouterr().out.splitlines() == [line]

    @pytest.mark.parametrize(
        "body",
        [
            "return kernal",
            "raise ValueError('x')",
            "raise NotImplementedError('not on this device')",
            "return x_in[100]",
        ],
    )
    def test_a_mistake_is_raised_as_ever(self, body: str) -> None:
        namespace = released(f"def conv1d(x_in, kernel):\n    {body}")
        with pytest.raises(Exception, match=r"kernal|x|not on this device|index"):
            exec(IN_A_BLOCK.format("conv1d([1], 2)"), namespace)
        with pytest.raises(Exception, match="draws nothing"):
            exec(CALL, namespace)

    def test_an_interruption_is_never_taken_for_an_open_exercise(self) -> None:
        with pytest.raises(KeyboardInterrupt):
            exec(IN_A_BLOCK.format("raise KeyboardInterrupt"), released(attacked=...))


RIGHT = """
def conv1d(x_in, kernel):
    half = len(kernel) // 2
    return F.pad(x_in, (half, half)).unfold(0, len(kernel), 1) @ kernel.flip(0)
"""


def notebook_with(folder: Path, source: str) -> Path:
    cell = nbformat.v4.new_code_cell(source, metadata={"nbgrader": {"grade_id": "p1a_conv1d"}})
    path = folder / "problem1_forward.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    return path


class TestOwnLayers:
    @pytest.mark.parametrize(
        ("source", "line"),
        [
            (RIGHT, "conv1d: yours, from problem1_forward.ipynb"),
            (OPEN_CONV1D, "conv1d: the library's, since yours is still open"),
            (RIGHT.replace(".flip(0)", ""), "conv1d: the library's, since yours returns other values; its check"),
            (RIGHT.replace("F.pad", "pad"), "conv1d: the library's, since yours stops with NameError"),
            (RIGHT.replace("F.pad(x_in", "F.pad(x_in.detach()"), "conv1d: the library's, since autograd cannot look"),
            ("1 / 0", "conv1d: the library's, since the cell p1a_conv1d of problem1_forward.ipynb stops with Zero"),
            ("x = 1", "conv1d: the library's, since problem1_forward.ipynb does not define it"),
        ],
    )
    def test_the_student_s_layer_runs_where_it_can(
        self, source: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        conv1d, maxpool1d = layers_of_problem1({}, notebook_with(tmp_path, source))
        assert capsys.readouterr().out.startswith(line)
        assert (conv1d is library_conv1d) == ("library" in line)
        assert maxpool1d is library_maxpool1d

    def test_a_pasted_layer_goes_before_the_other_notebook(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def maxpool1d(x_in: Tensor, size: int) -> Tensor:
            return x_in.unfold(0, size, 1).amax(1)

        assert layers_of_problem1({"maxpool1d": maxpool1d}, notebook_with(tmp_path, RIGHT))[1] is maxpool1d
        assert capsys.readouterr().out.splitlines()[1] == "maxpool1d: yours, from this notebook"

    @pytest.mark.parametrize("content", [None, "{", json.dumps([1])])
    def test_without_a_notebook_the_library_s_are_taken(
        self, content: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = tmp_path / "problem1_forward.ipynb"
        if content is not None:
            path.write_text(content, encoding="utf-8")
        assert layers_of_problem1({}, path) == (library_conv1d, library_maxpool1d)
        assert "there is no saved problem1_forward.ipynb beside this notebook" in capsys.readouterr().out
