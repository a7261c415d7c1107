"""`pset4 handin` and the cell at the end: one zip, byte for byte what was saved, and a report."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import nbformat
import pytest
from handed_in import edit, hand_in_folder, png, shown, unpacked, write_answer
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell

import pset4
from autograder.course.contract import NOTEBOOKS
from autograder.engine.grader.staging import stage
from pset4.command_line import main
from pset4.settings import load_settings
from pset4.submission import handin as module
from pset4.submission import report, session
from pset4.submission.handin import describe_lateness, file_name, hand_in, late_factor

NOW = datetime.fromisoformat("2026-03-03T12:00:00+00:00")
DUE = datetime.fromisoformat("2026-03-01T12:00:00+00:00")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A right submission, in a folder of the kind that students have."""
    return hand_in_folder(tmp_path / "mein Übungsblatt (2)")


def test_a_right_submission_is_zipped_byte_for_byte_with_a_report(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["handin", "--name", "Ada Löwe", "--track", "6.869", "--folder", str(folder)]) == 0
    files = unpacked(folder / "Ada_Löwe.zip")
    assert list(files) == [*(f"{name}.ipynb" for name in NOTEBOOKS), "report.pdf"]
    assert all(files[f"{name}.ipynb"] == (folder / f"{name}.ipynb").read_bytes() for name in NOTEBOOKS)
    assert files["report.pdf"].startswith(b"%PDF") and len(files["report.pdf"]) < 10_000_000
    said = capsys.readouterr().out
    assert "All exercises are answered." in said and "4 notebooks and report.pdf" in said
    assert len(said.splitlines()) == 6


def test_the_grader_stages_the_zip_as_it_does_the_folder(folder: Path, tmp_path: Path) -> None:
    student = tmp_path / "submitted" / "ada"
    (student / "pset4").mkdir(parents=True)
    hand_in("ada", folder=folder, output=student / "pset4" / "ada.zip", now=NOW)
    staged = stage(student, "pset4", tmp_path / "staged", NOTEBOOKS, lambda content: ("", 1))
    assert {name: taken.content for name, taken in staged.notebooks.items()} == {
        name: (folder / f"{name}.ipynb").read_bytes() for name in NOTEBOOKS
    }
    assert all(taken.arrival == "handed in" for taken in staged.notebooks.values())
    assert [str(place) for place in staged.others] == ["report.pdf"] and not staged.remarks


def test_what_is_missing_and_open_is_named_and_handed_in_all_the_same(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "problem2_classification.ipynb").unlink()
    (folder / "problem3_backward.ipynb").write_text("{ cut off")
    write_answer(folder, "p1a_equation", "*Your answer here.*")
    assert main(["handin", "--name", "ada", "--folder", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "problem2_classification.ipynb is missing: put" in said
    assert "it cannot be read: it is no notebook" in said
    assert "p1a_equation (4 points), the equation of a convolution: not answered yet" in said
    assert "p2a_last_layer" in said and "p3e_boundaries" in said
    assert set(unpacked(folder / "ada.zip")) >= {"problem1_forward.ipynb", "problem3_backward.ipynb", "report.pdf"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "There is none of the four notebooks in"),
        (("--track", "18.06"), "There is no track '18.06'; choose one of 6.819, 6.869."),
        (("--output", "nowhere/x.zip"), "there is no folder nowhere"),
    ],
)
def test_what_cannot_be_handed_in_ends_in_one_sentence(
    arguments: Sequence[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["handin", "--name", "ada", *arguments]) == 1
    said = capsys.readouterr()
    assert sentence in said.err and len(said.err.splitlines()) == 1 and not said.out
    assert not list(tmp_path.iterdir())


def test_only_a_zip_of_ones_own_is_replaced(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["handin", "--name", "ada", "--folder", str(folder)]
    (folder / "ada.zip").write_bytes(b"precious")
    assert main(options) == 1
    assert (folder / "ada.zip").read_bytes() == b"precious" and "so it stays" in capsys.readouterr().err
    notebook = folder / "problem1_forward.ipynb"
    content = notebook.read_bytes()
    assert main([*options, "--output", str(notebook)]) == 1 and notebook.read_bytes() == content
    (folder / "ada.zip").unlink()
    assert main(options) == 0 and "in place of" not in capsys.readouterr().out
    assert main(options) == 0 and "in place of the one that you made before" in capsys.readouterr().out
    assert not list(folder.glob(".*"))


def test_the_same_files_at_the_same_time_make_the_same_zip(folder: Path) -> None:
    first = hand_in("ada", folder=folder, now=NOW).read_bytes()
    assert hand_in("ada", folder=folder, now=NOW).read_bytes() == first


@pytest.mark.parametrize("package", ["pypandoc", "typst"])
def test_without_its_packages_the_zip_comes_without_the_report(
    package: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(report, "find_spec", lambda name: None if name == package else object())
    assert main(["handin", "--name", "ada", "--folder", str(folder)]) == 0
    said = capsys.readouterr().out
    assert f"{report.INSTALL}\n" in said and "The zip has no report.pdf" in said
    assert "report.pdf" not in unpacked(folder / "ada.zip")


HOSTILE = [
    '#import "@preview/x:1.0.0"\n#read("/etc/passwd") @label <label> `#raw` #include "report.json"',
    r'$\frac{1}{$ $$\foo$$ $\text{"#read("x")}$ $"x$ $\mathrm{#a"b\\}$ $#x$ \(',
    '<script>alert(1)</script> <img src="../x.png"> ![](../../etc/passwd) ![](https://example.com/x.png)',
    "```never ends\n" + "x" * 10_000,
    "word" * 3_000 + "$" + "a+" * 500 + "b$ $$" + "c+" * 300 + "d$$",
    "> " * 300 + "deep\n\n" + "- " * 300 + "deep",
    "äöü 🙂🚀 שלום مرحبا 漢字 \u202e\x00\x1b[31m\ud800 \t|\t| a\n|---|---|\n| 1 | 2 |",
    "long. " * 20_000,
    "\\begin{a}" * 3_000,
    "![](data:image/png;base64,AAAA) ![](attachment:none) ![](p1a_equation.typ) ![](/report.json)",
]


@pytest.mark.parametrize("source", HOSTILE, ids=lambda source: source[:20].encode("ascii", "replace").decode())
def test_no_answer_breaks_the_report(source: str, folder: Path) -> None:
    write_answer(folder, "p1a_equation", source)
    write_answer(folder, "p1a_conv1d", source, outputs=[shown(png(9_000, 10), source), {"output_type": "stream"}])
    write_answer(folder, "p1b_equation", "$x$")
    assert unpacked(hand_in("ada", folder=folder, now=NOW))["report.pdf"].startswith(b"%PDF")


def test_an_answer_that_typst_refuses_is_shown_as_it_was_typed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = report.to_typst
    monkeypatch.setattr(report, "to_typst", lambda text, p: "#broken" if "BREAK" in text else right(text, p))
    write_answer(folder, "p1a_equation", "BREAK")
    assert "report.pdf" in unpacked(hand_in("ada", folder=folder, now=NOW))


@pytest.mark.parametrize(
    ("days", "factor"), [(-3, 1.0), (0, 1.0), (1, 1 - 0.5 / 7), (3.5, 0.75), (7, 0.5), (8, 0.5), (100, 0.5)]
)
def test_the_late_factor_falls_to_a_half_in_seven_days(days: float, factor: float) -> None:
    assert late_factor(DUE, DUE + timedelta(days=days)) == pytest.approx(factor)


def test_the_due_date_comes_from_the_settings(tmp_path: Path) -> None:
    text = '[course]\nrepository = "a/b"\nbranch = "main"\n{}\n[attack]\nn_iter = 2\nn_iter_while_grading = 1\n'
    path = tmp_path / "pset4.toml"
    path.write_text(text.format(""))
    old = load_settings(path)
    assert (old.due, old.tracks, old.course_name) == (None, (), "PSet 4") and describe_lateness(old, NOW) == ""
    path.write_text(text.format('due = "2026-03-01T12:00:00+00:00"\ntracks = ["1", "2"]\nname = "PSet 5"'))
    new = load_settings(path)
    assert (new.due, new.tracks, new.course_name) == (DUE, ("1", "2"), "PSet 5")
    assert describe_lateness(new, NOW) == "Late, due 1 Mar 2026, 12:00: factor 0.86 if handed in now"
    assert describe_lateness(new, DUE).startswith("In time, due")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('due = "tomorrow"', "due must be a date and time with its time zone"),
        ('due = "2026-03-01T12:00:00"', "due must be"),
        ("due = 3", "due must be"),
        ('tracks = "6.819"', "tracks must be a list"),
        ("name = 4", "name must be a text"),
    ],
)
def test_a_wrong_setting_is_named(line: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "pset4.toml"
    path.write_text(
        f'[course]\nrepository = "a/b"\nbranch = "main"\n{line}\n[attack]\nn_iter = 2\nn_iter_while_grading = 1\n'
    )
    with pytest.raises(ValueError, match=words) as error:
        load_settings(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Ada Lovelace", "Ada_Lovelace"), ("../../x", "x"), ("Zoë", "Zoë"), ("🙂", "submission"), ("a" * 300, "a" * 120)],
)
def test_a_name_becomes_a_files_name(name: str, expected: str) -> None:
    assert file_name(name) == expected


def test_the_cell_as_released_hands_nothing_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    pset4.handin(name="", track="6.819")
    assert "Write your name between the quotes" in capsys.readouterr().out
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    pset4.handin(name="Ada", track="6.819")
    assert "Nothing is handed in while this notebook is graded." in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_a_problem_is_a_sentence_in_a_notebook_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pset4.handin("Ada", folder=tmp_path)
    assert "There is none of the four notebooks" in capsys.readouterr().out


@pytest.mark.parametrize("saved", [True, False])
def test_unsaved_work_is_noticed(saved: bool, folder: Path) -> None:
    """The calling notebook's file holds what ran, or what stood there before."""
    cells = ["x = 1", 'from pset4 import handin\nhandin("Ada", track="6.819")']
    written = [new_code_cell(source, execution_count=n) for n, source in enumerate(cells, start=1)]
    written[0]["source"] = "x = 1" if saved else "x = 0"
    edit(folder, "problem4_adversarial", lambda table: table["cells"].extend(written))
    running = nbformat.v4.new_notebook(cells=[new_code_cell(source) for source in cells])
    NotebookClient(running, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    said = running.cells[-1].outputs[0]["text"]
    assert ("has changed since it was saved" in said) is not saved
    assert (folder / "Ada.zip").is_file()


@pytest.fixture
def colab(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What Colab offers: the notebook in the open tab, and downloads."""
    offered = SimpleNamespace(notebook=None, downloads=[])
    package: Any = ModuleType("google.colab")
    package.files = SimpleNamespace(download=offered.downloads.append)
    package._message = SimpleNamespace(blocking_request=lambda *_, **__: {"ipynb": offered.notebook})
    monkeypatch.setitem(sys.modules, "google", ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", package)
    return offered


def test_colab_hands_in_the_open_notebook_and_downloads_the_zip(
    folder: Path, colab: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "problem4_adversarial.ipynb"
    colab.notebook = nbformat.read(path, as_version=4)
    for name in NOTEBOOKS[1:]:
        (folder / f"{name}.ipynb").unlink()
    pset4.handin("Ada", folder=folder)
    said = capsys.readouterr().out
    assert "problem2_classification.ipynb is missing: open it in Colab, choose File > Download" in said
    assert {"problem1_forward.ipynb", "problem4_adversarial.ipynb"} <= set(unpacked(folder / "Ada.zip"))
    assert colab.downloads == [str(folder / "Ada.zip")]
    assert session.places(folder)[-1].name == "Colab Notebooks"


def test_colab_without_its_private_door_takes_the_files(folder: Path, colab: SimpleNamespace) -> None:
    colab.notebook = "nothing of the kind"
    pset4.handin("Ada", folder=folder)
    assert set(NOTEBOOKS) <= {Path(name).stem for name in unpacked(folder / "Ada.zip")}


def test_a_folder_that_cannot_be_written_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(self: Path, content: bytes) -> int:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(module.Path, "write_bytes", refuse)
    monkeypatch.setattr(module, "_report", lambda cover, parts: None)
    pset4.handin("Ada", folder=folder)
    assert "cannot be written" in capsys.readouterr().out


def test_the_terminal_need_not_know_unicode(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="backslashreplace"))
    assert main(["handin", "--name", "Zoë", "--folder", str(folder)]) == 0
