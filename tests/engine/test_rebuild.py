"""The executed notebook is the course's, with the student's answers in it, whatever was handed in."""

from __future__ import annotations

import base64
import copy
import io
import json
import random
import struct
import zlib
from collections.abc import Callable
from typing import Any

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from autograder.engine.grader import pictures, reading
from autograder.engine.grader import rebuild as module
from autograder.engine.grader.rebuild import Submission, names_defined, read_submission, rebuild

Notebook = dict[str, Any]
STUB = 'raise NotImplementedError("open")'


def cell(kind: str, source: str, grade_id: str = "", **nbgrader: Any) -> Notebook:
    metadata = {"nbgrader": {"grade_id": grade_id, **nbgrader}} if grade_id else {}
    form = {"execution_count": None, "outputs": []} if kind == "code" else {}
    return {
        "cell_type": kind,
        "id": f"c-{abs(hash((kind, source, grade_id)))}",
        "metadata": metadata,
        "source": source,
    } | form


def course() -> Notebook:
    cells = [
        cell("markdown", "# Problem"),
        cell("code", "import torch\nN = 3", "setup", locked=True),
        cell("code", "support = 1"),
        cell("markdown", "Question one"),
        cell("markdown", "*Your answer here.*", "words", grade=True, solution=True, points=4),
        cell("code", f"def first(x):\n    {STUB}", "one", solution=True),
        cell("code", "check(first)", "one_check", grade=True, locked=True, points=0),
        cell("code", "hidden(first)", "one_test", grade=True, locked=True, points=6),
        cell("code", f"{STUB}", "two", solution=True),
        cell("code", "hidden(second)", "two_test", grade=True, locked=True, points=2),
    ]
    return {
        "cells": cells,
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


NAMES = {"two": frozenset({"second", "third"})}
FIRST, SECOND = "def first(x):\n    return x", "second, third = 1, 2"


def answered() -> Notebook:
    notebook = course()
    notebook["cells"][4]["source"] = "my words"
    notebook["cells"][5]["source"] = FIRST
    notebook["cells"][8]["source"] = SECOND
    return notebook


def hand_in(notebook: Any) -> module.Rebuilt:
    return rebuild(course(), read_submission(json.dumps(notebook).encode()), names=NAMES)


def sources(result: module.Rebuilt) -> list[str]:
    return [c["source"] for c in result.notebook["cells"]]


def by_id(result: module.Rebuilt) -> dict[str, str]:
    nbgrader = ((c["metadata"].get("nbgrader"), c["source"]) for c in result.notebook["cells"])
    return {about["grade_id"]: source for about, source in nbgrader if about}


def assert_is_the_course(result: module.Rebuilt) -> None:
    """Every cell of the course in its order with its metadata; nothing of the student's has an id; valid nbformat."""
    ours = [c for c in result.notebook["cells"] if c["metadata"]["pset4"]["origin"] != "student"]
    for mine, given_cell in zip(ours, course()["cells"], strict=True):
        assert mine["cell_type"] == given_cell["cell_type"]
        assert mine["metadata"].get("nbgrader") == given_cell["metadata"].get("nbgrader")
        if not given_cell["metadata"].get("nbgrader", {}).get("solution"):
            assert mine["source"] == given_cell["source"]
    theirs = [c for c in result.notebook["cells"] if c["metadata"]["pset4"]["origin"] == "student"]
    assert all(set(c["metadata"]) == {"pset4"} for c in theirs)
    assert all(not c.get("outputs") for c in result.notebook["cells"])
    nbformat.validate(nbformat.from_dict(copy.deepcopy(result.notebook)))
    json.dumps(result.notebook).encode()


def test_an_ordinary_submission_needs_no_repair() -> None:
    result = hand_in(answered())
    assert result.remarks == ()
    assert sources(result) == [c["source"] for c in answered()["cells"]]
    assert_is_the_course(result)


def lose_metadata(notebook: Notebook) -> None:
    for c in notebook["cells"]:
        c["metadata"] = {}


def swap_ids(notebook: Notebook) -> None:
    one, two = notebook["cells"][5]["metadata"], notebook["cells"][8]["metadata"]
    notebook["cells"][5]["metadata"], notebook["cells"][8]["metadata"] = two, one


def double_everything(notebook: Notebook) -> None:
    notebook["cells"] = [copy.deepcopy(c) for c in notebook["cells"] for _ in range(2)]


def reverse(notebook: Notebook) -> None:
    notebook["cells"].reverse()


def change_types(notebook: Notebook) -> None:
    for c in notebook["cells"]:
        c["cell_type"] = "markdown" if c["cell_type"] == "code" else "code"


def split_lines(notebook: Notebook) -> None:
    for c in notebook["cells"]:
        c["source"] = c["source"].splitlines(keepends=True)


def wrong_metadata_types(notebook: Notebook) -> None:
    for c, value in zip(
        notebook["cells"], [[], "x", 3, None, {"nbgrader": []}, {"nbgrader": {"grade_id": {}}}, [1]], strict=False
    ):
        c["metadata"] = value


def edit_tests(notebook: Notebook) -> None:
    for c in notebook["cells"]:
        if c["metadata"].get("nbgrader", {}).get("locked"):
            c["source"] = "6.0"
            c["metadata"]["nbgrader"] |= {"points": 1000, "locked": False, "solution": True}


def delete_given(notebook: Notebook) -> None:
    notebook["cells"] = [notebook["cells"][n] for n in (4, 5, 8)]


def nan_everywhere(notebook: Notebook) -> None:
    notebook["nbformat"] = float("nan")
    notebook["metadata"] = float("inf")
    for c in notebook["cells"]:
        c["metadata"].setdefault("nbgrader", {})["points"] = float("nan")


def repeat_cell_ids(notebook: Notebook) -> None:
    for c in notebook["cells"]:
        c["id"] = "same"


@pytest.mark.parametrize(
    "damage",
    [
        lose_metadata,
        swap_ids,
        double_everything,
        reverse,
        change_types,
        split_lines,
        wrong_metadata_types,
        edit_tests,
        delete_given,
        nan_everywhere,
        repeat_cell_ids,
    ],
)
def test_answers_are_found_in_a_damaged_notebook(damage: Callable[[Notebook], None]) -> None:
    notebook = answered()
    damage(notebook)
    result = hand_in(notebook)
    assert_is_the_course(result)
    found = by_id(result)
    assert (found["one"], found["two"], found["words"]) == (FIRST, SECOND, "my words")


def test_what_was_repaired_is_said() -> None:
    notebook = answered()
    double_everything(notebook)
    assert any("one: 2 cells carry this id" in remark for remark in hand_in(notebook).remarks)
    notebook = answered()
    edit_tests(notebook)
    assert any("setup: this given cell was changed" in remark for remark in hand_in(notebook).remarks)
    notebook = answered()
    lose_metadata(notebook)
    assert any("one: the cell had lost its id" in remark for remark in hand_in(notebook).remarks)


def test_own_cells_are_kept_where_they_stood() -> None:
    notebook = answered()
    notebook["cells"].insert(5, cell("code", "def mine(): ..."))
    notebook["cells"].insert(8, cell("code", "after_the_check = 1", "unknown", grade=True, points=100))
    notebook["cells"].append(cell("markdown", "the end"))
    result = hand_in(notebook)
    assert sources(result) == [c["source"] for c in notebook["cells"]]
    assert_is_the_course(result)


def test_a_later_copy_of_the_released_text_does_not_undo_the_answer() -> None:
    notebook = answered()
    notebook["cells"].append(course()["cells"][5])
    result = hand_in(notebook)
    assert by_id(result)["one"] == FIRST
    assert sum(source.startswith("def first") for source in sources(result)) == 1


def test_of_two_versions_the_last_is_the_answer_and_the_first_still_runs() -> None:
    notebook = answered()
    older = cell("code", "def first(x):\n    return 0", "one", solution=True)
    notebook["cells"].insert(5, older)
    result = hand_in(notebook)
    assert by_id(result)["one"] == FIRST
    assert sources(result).index(older["source"]) < sources(result).index(FIRST)


def test_answers_that_stand_in_one_cell_are_not_overwritten_by_released_text() -> None:
    notebook = answered()
    notebook["cells"][5]["source"] = FIRST + "\n" + SECOND
    del notebook["cells"][8]
    result = hand_in(notebook)
    assert STUB not in by_id(result)["two"]
    assert any(remark.startswith("two: the cell is missing") for remark in result.remarks)


def test_an_edited_given_cell_without_id_is_run_after_ours() -> None:
    notebook = answered()
    notebook["cells"][2]["source"] = "support = 2"
    texts = sources(hand_in(notebook))
    assert texts.index("support = 1") < texts.index("support = 2") < texts.index(FIRST)


def test_support_cells_run_before_the_test_that_needs_them_when_tests_were_deleted() -> None:
    notebook = answered()
    notebook["cells"] = [notebook["cells"][n] for n in (0, 1, 2, 3, 4, 5)] + [
        cell("code", "def support_of_first(): ..."),
        notebook["cells"][8],
    ]
    texts = sources(hand_in(notebook))
    assert texts.index(FIRST) < texts.index("def support_of_first(): ...") < texts.index("hidden(first)")


def test_a_missing_answer_is_the_released_text() -> None:
    result = rebuild(course(), Submission(), names=NAMES)
    assert sources(result) == [c["source"] for c in course()["cells"]]


def picture(kind: str = "PNG", size: tuple[int, int] = (2, 2), mode: str = "RGB") -> str:
    """A picture as base64; large ones are noise, which no format makes small."""
    file = io.BytesIO()
    noise = Image.frombytes("RGB", size, random.Random(1).randbytes(size[0] * size[1] * 3))
    (noise.convert("L") if mode == "I;16" else noise).convert(mode).save(file, kind)
    return base64.b64encode(file.getvalue()).decode()


def written(result: module.Rebuilt) -> Notebook:
    """The cell of the written answer."""
    found: Notebook = next(
        c for c in result.notebook["cells"] if c["metadata"].get("nbgrader", {}).get("grade_id") == "words"
    )
    return found


def answer_in_words(source: str, attachments: dict[str, Any] | None = None) -> module.Rebuilt:
    notebook = answered()
    notebook["cells"][4]["source"] = source
    if attachments is not None:
        notebook["cells"][4]["attachments"] = attachments
    return hand_in(notebook)


def test_pasted_pictures_are_kept_and_other_attachments_are_not() -> None:
    dot = picture()
    attached = {
        "a.png": {"image/png": dot, "text/html": "<script>"},
        "b.svg": {"image/svg+xml": "<svg onload=x>"},
        "c.png": {"image/png": ["no", "text"]},
        "lines.png": {"image/png": [dot[:20] + "\n", dot[20:]]},
    }
    assert written(answer_in_words("my words", attached))["attachments"] == {
        "a.png": {"image/png": dot},
        "lines.png": {"image/png": dot},
    }


@pytest.mark.parametrize(
    "text",
    [
        "before ![a graph](data:image/png;base64,{}) after",
        'before <img src="data:image/png;base64,{}" alt="a graph" width=300> after',
        "before <img alt='a graph' src='data:image/png;base64,{}'/> after",
        "before ![a graph][image1] after\n\n[image1]: <data:image/png;base64,{}>",
    ],
)
@pytest.mark.parametrize("size", [(2, 2), (400, 400), (1_600, 1_400)])
def test_a_picture_in_the_text_is_taken_out_and_the_words_stay(text: str, size: tuple[int, int]) -> None:
    result = answer_in_words(text.format(picture(size=size)))
    cell = written(result)
    assert "before" in cell["source"] and "after" in cell["source"] and "a graph" in cell["source"]
    assert len(cell["source"]) < 200
    (name,) = cell["attachments"]
    assert f"attachment:{name}" in cell["source"]
    assert result.not_taken == {}
    assert_is_the_course(result)


def test_several_pictures_in_one_text_are_told_apart() -> None:
    pictures = [picture(size=(n, n)) for n in (2, 3, 4)]
    text = " and ".join(f"![p{n}](data:image/png;base64,{data})" for n, data in enumerate([*pictures, pictures[0]]))
    cell = written(answer_in_words(text))
    assert {bundle["image/png"] for bundle in cell["attachments"].values()} == set(pictures)
    assert [f"p{n}" in cell["source"] for n in range(4)] == [True] * 4


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("PNG", "RGB"),
        ("PNG", "RGBA"),
        ("PNG", "L"),
        ("PNG", "P"),
        ("PNG", "LA"),
        ("PNG", "I;16"),
        ("JPEG", "CMYK"),
        ("GIF", "P"),
    ],
)
def test_a_large_picture_is_made_smaller(kind: str, mode: str) -> None:
    large = picture(kind, (1_700, 1_700), mode)
    if len(large) < pictures.MAX_PICTURES:
        large = picture(kind, (2_600, 2_600), mode)
    result = answer_in_words("see ![x](attachment:photo.png) here", {"photo.png": {"image/png": large}})
    (bundle,) = written(result)["attachments"].values()
    assert len(bundle["image/jpeg"]) <= pictures.MAX_PICTURES
    with Image.open(io.BytesIO(base64.b64decode(bundle["image/jpeg"]))) as smaller:
        assert max(smaller.size) <= pictures.MAX_SIDE
    assert any("made smaller" in remark for remark in result.remarks)


def bomb() -> str:
    """A picture of a gigapixel in little space: the header of a PNG with nothing behind it, and much padding."""
    header = struct.pack(">II5B", 40_000, 40_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + chunk + b"\0" * 3_000_000).decode()


@pytest.mark.parametrize(
    "data",
    [
        bomb(),
        picture(size=(1_000, 1_000))[:2_400_000],
        base64.b64encode(b"<svg onload=x>" * 200_000).decode(),
        "A" * 3_000_000,
        "not base64!" * 200_000,
    ],
    ids=["bomb", "cut", "svg", "zeros", "no base64"],
)
def test_a_picture_that_cannot_be_kept_becomes_words(data: str) -> None:
    result = answer_in_words("see ![x](attachment:photo.png) here", {"photo.png": {"image/png": data}})
    cell = written(result)
    assert cell["source"] == "see [picture photo.png is missing] here"
    assert "attachments" not in cell
    assert any("photo.png" in remark for remark in result.remarks)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("![x](attachment:lost.png)", "[picture lost.png is missing]"),
        ('a ![](attachment:lost.png "title") b', "a [picture lost.png is missing] b"),
        ("![x](<attachment:my photo.png>)", "[picture my photo.png is missing]"),
        ("![x](attachment:my%20photo.png)", "[picture my photo.png is missing]"),
        ("![x](attachment:image(1).png)", "[picture image(1).png is missing]"),
        ('<img src="attachment:lost.png" width=3>', "[picture lost.png is missing]"),
    ],
)
def test_a_lost_picture_becomes_words_and_a_remark(text: str, shown: str) -> None:
    result = answer_in_words(text)
    assert written(result)["source"] == shown
    assert any("missing" in remark for remark in result.remarks)


def test_a_name_with_blanks_is_found() -> None:
    result = answer_in_words("![x](attachment:my%20photo.png)", {"my photo.png": {"image/png": picture()}})
    assert result.remarks == ()


@pytest.mark.parametrize(
    "unit", ["![", "![a](attachment:", "<img src=", "data:image/a;base64,A ", "<img " + "src=" * 99]
)
def test_no_text_makes_the_search_for_pictures_endless(unit: str) -> None:
    for length in (199_000, 5_000_000):
        assert_is_the_course(answer_in_words(unit * (length // len(unit))))


def lost_answers(**cells: Any) -> module.Rebuilt:
    notebook = answered()
    for name, source in cells.items():
        number = {"words": 4, "one": 5, "two": 8}[name]
        notebook["cells"][number]["source"] = source
    return hand_in(notebook)


@pytest.mark.parametrize("source", ["x " * 150_000, {"a": 1}, 5, [1, 2], None])
@pytest.mark.parametrize("name", ["words", "one", "two"])
def test_an_answer_that_cannot_be_read_is_for_a_human(name: str, source: Any) -> None:
    assert set(lost_answers(**{name: source}).not_taken) == {name}


def test_an_answer_behind_the_last_cell_that_is_read_is_for_a_human() -> None:
    notebook = answered()
    notebook["cells"][5:5] = [cell("code", f"x = {n}") for n in range(1_200)]
    assert set(hand_in(notebook).not_taken) == {"one", "two"}


def test_a_cell_that_cannot_be_read_and_has_no_id_may_be_any_answer_that_is_missing() -> None:
    notebook = answered()
    notebook["cells"][5] = cell("code", "#" * 300_000)
    assert set(hand_in(notebook).not_taken) == {"one"}


def test_an_answer_that_was_not_given_is_not_for_a_human() -> None:
    assert hand_in(course()).not_taken == {}
    assert rebuild(course(), Submission(), names=NAMES).not_taken == {}


def test_words_below_an_answer_cell_that_was_left_alone_are_the_answer() -> None:
    notebook = course()
    notebook["cells"].insert(5, cell("markdown", "my words"))
    result = hand_in(notebook)
    assert by_id(result)["words"] == "my words"
    assert sources(result).count("my words") == 1
    assert any(remark.startswith("words:") for remark in result.remarks)


def words_in_a_code_cell(notebook: Notebook) -> None:
    notebook["cells"].insert(5, cell("code", "# my words"))


def words_in_the_question(notebook: Notebook) -> None:
    notebook["cells"][3]["source"] = "Question one\n\nmy words"


@pytest.mark.parametrize("where", [words_in_a_code_cell, words_in_the_question])
def test_words_elsewhere_near_an_answer_cell_are_for_a_human(where: Callable[[Notebook], None]) -> None:
    notebook = course()
    where(notebook)
    result = hand_in(notebook)
    assert set(result.not_taken) == {"words"}
    assert any(remark.startswith("words:") for remark in result.remarks)


@pytest.mark.parametrize("kind", ["markdown", "raw"])
def test_code_in_a_text_cell_is_for_a_human(kind: str) -> None:
    notebook = course()
    notebook["cells"].insert(6, cell(kind, f"```python\n{FIRST}\n```"))
    result = hand_in(notebook)
    assert set(result.not_taken) == {"one"}
    assert any(remark.startswith("one:") for remark in result.remarks)


def test_both_halves_of_a_split_answer_are_taken() -> None:
    notebook = answered()
    notebook["cells"][4]["source"] = "first half ![a](attachment:image.png)"
    notebook["cells"][4]["attachments"] = {"image.png": {"image/png": picture()}}
    second = copy.deepcopy(notebook["cells"][4])
    second["source"] = "second half ![b](attachment:image.png)"
    second["attachments"] = {"image.png": {"image/png": picture(size=(3, 3))}}
    notebook["cells"].insert(5, second)
    answer = written(hand_in(notebook))
    assert answer["source"].startswith("first half")
    assert "second half" in answer["source"]
    assert len(answer["attachments"]) == 2


def test_an_answer_above_its_cell_is_not_overwritten_by_the_released_text() -> None:
    notebook = course()
    notebook["cells"].insert(5, cell("code", FIRST))
    result = hand_in(notebook)
    assert STUB not in by_id(result)["one"]
    assert any(remark.startswith("one: the cell is as it was released") for remark in result.remarks)


def changed_given(number: int, source: str) -> module.Rebuilt:
    """What becomes of a changed given cell: 1 is the setup, 6 a check, 7 a test."""
    notebook = answered()
    notebook["cells"][number]["source"] = source
    return hand_in(notebook)


def own_cells(result: module.Rebuilt) -> list[str]:
    return [c["source"] for c in result.notebook["cells"] if c["metadata"]["pset4"]["origin"] == "student"]


@pytest.mark.parametrize(
    ("source", "kept"),
    [
        ("import torch\nimport math\nN = 3", ["import math"]),
        ("import torch\nN = 3\nimport math", ["import math"]),
        ("import math\nimport torch\n\nN = 3\n", ["import math"]),
        ("import torch\nN = 3\ndef helper(x):\n    return x + N", ["def helper(x):\n    return x + N"]),
        ("import torch\nN = 3\nM = N + 1\nprint(M)", ["M = N + 1\nprint(M)"]),
        ("%%time\nimport torch\nN = 3\n!pip install x\nimport math", ["!pip install x", "import math"]),
        ("import torch\nfor i in range(3):\n    print(i)\nN = 3", ["for i in range(3):\n    print(i)"]),
        ("import torch\nfrom math import (\n    pi,\n    e,\n)\nN = 3", ["from math import (\n    pi,\n    e,\n)"]),
        # What the grader lacks stops one cell, not the lines behind it.
        ("import torch\nN = 3\nimport a\nimport b\n\n@b\ndef f(): ...", ["import a", "import b", "@b\ndef f(): ..."]),
        ("import torch\nN = 3\nimport a; x = 1\ny = 2", ["import a; x = 1\ny = 2"]),
    ],
)
def test_lines_added_to_a_given_cell_run_behind_it(source: str, kept: list[str]) -> None:
    result = changed_given(1, source)
    assert own_cells(result) == kept
    assert sources(result).index("import torch\nN = 3") + 1 == sources(result).index(kept[0])
    assert any(remark.startswith("setup:") for remark in result.remarks)
    assert result.lost_names == {}
    assert_is_the_course(result)


@pytest.mark.parametrize(("number", "text"), [(6, "check(first)"), (7, "hidden(first)")])
def test_lines_added_to_a_check_or_a_test_run_in_front_of_it(number: int, text: str) -> None:
    helper = "def helper(x):\n    return x"
    for source in (f"{helper}\n{text}", f"{text}\n{helper}"):
        result = changed_given(number, source)
        assert own_cells(result) == [helper]
        assert sources(result).index(helper) + 1 == sources(result).index(text)


def test_a_line_that_needs_what_a_check_defines_runs_behind_it() -> None:
    template = course()
    template["cells"][6]["source"] = "result = check(first)"
    notebook = answered()
    notebook["cells"][6]["source"] = "import math\nresult = check(first)\nprint(result)"
    result = rebuild(template, read_submission(json.dumps(notebook).encode()), names=NAMES)
    texts = sources(result)
    assert texts.index("import math") < texts.index("result = check(first)") < texts.index("print(result)")


def test_the_hidden_part_of_a_test_is_no_line_that_was_removed() -> None:
    template, notebook = course(), answered()
    template["cells"][7]["source"] = "visible\n### BEGIN HIDDEN TESTS\nsecret = 1\n### END HIDDEN TESTS"
    whole = template["cells"][7]["source"]
    versions = {
        "visible": [],
        "visible\nimport math": ["import math"],
        whole: [],
        f"import math\n{whole}": ["import math"],
    }
    for source, kept in versions.items():
        notebook["cells"][7]["source"] = source
        result = rebuild(template, read_submission(json.dumps(notebook).encode()), names=NAMES)
        assert own_cells(result) == kept
        assert not any("was changed" in remark for remark in result.remarks)


@pytest.mark.parametrize(
    ("source", "kept", "lost"),
    [
        ("import torch, math\nN = 4", ["import math"], set()),
        ("import torch\nN = 4\nM = 5", [], {"M"}),
        ("import numpy as torch\nN = 3", [], set()),
        ("N = 4\ndef helper():\n    return 1\nclass N: ...", ["def helper():\n    return 1"], set()),
        ("with x:\n    import torch\nN = 3\nM = 1", [], {"M"}),
        ("import math\nx = = 3\nN = 5", [], {"math", "x"}),
        ("from math import pi, e as N", ["from math import pi"], set()),
    ],
)
def test_of_a_changed_given_cell_imports_and_definitions_are_kept(source: str, kept: list[str], lost: set[str]) -> None:
    result = changed_given(1, source)
    assert own_cells(result) == kept
    assert result.lost_names == dict.fromkeys(lost, "setup")
    assert any(remark.startswith("setup: this given cell was changed") for remark in result.remarks)
    assert by_id(result)["setup"] == "import torch\nN = 3"
    assert all(any(name in remark for remark in result.remarks) for name in lost)


def test_both_halves_of_a_split_given_cell_are_one() -> None:
    notebook = answered()
    notebook["cells"][1]["source"] = "import torch\nimport math"
    second = copy.deepcopy(notebook["cells"][1])
    second["source"] = "N = 3"
    notebook["cells"].insert(2, second)
    result = hand_in(notebook)
    assert own_cells(result) == ["import math"]
    assert result.lost_names == {}


HEAVY = ["(" * 15_000, "-" * 15_000 + "1", "not " * 4_000 + "1", "x = " + "a+" * 9_000 + "a", "if 1:\n" * 390]
HEAVY += ["lambda: " * 2_000 + "1", "\\\n".join(["-" * 900] * 16), "\n".join(" " * n + "if 1:" for n in range(390))]


@pytest.mark.parametrize("text", HEAVY, ids=range(len(HEAVY)))
def test_no_text_in_a_given_cell_exhausts_the_parser(text: str) -> None:
    for source in (f"import torch\nN = 3\n{text}", text, f"{text}\nfound = 1"):
        result = changed_given(1, source)
        assert by_id(result)["setup"] == "import torch\nN = 3"
        assert_is_the_course(result)


def test_a_given_cell_without_end_is_passed_over_with_its_names() -> None:
    result = changed_given(1, "import torch\nN = 3\n" + "y = 1\n" * 5_000)
    assert own_cells(result) == []
    assert result.lost_names == {"y": "setup"}


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "not JSON"),
        (b"\x00\xff\xfe", "not JSON"),
        (b"[" * 200_000, "deep"),
        (b'{"a":' * 100_000, "deep"),
        (b"[1, 2]", "no list of cells"),
        (b'{"cells": {"0": 1}}', "no list of cells"),
        (b'"cells"', "no list of cells"),
        (b"null", "no list of cells"),
        (b'{"cells": [' + b"1" * 5000 + b"]}", "not JSON"),
        (b"{}," * 3_000_000, "values"),
        (b" " * (reading.MAX_BYTES + 1), "MB"),
    ],
)
def test_what_is_no_notebook_gets_a_reason(content: bytes, word: str) -> None:
    submission = read_submission(content)
    assert not submission.readable
    assert word in submission.remarks[0]
    assert len(submission.remarks[0]) < 1000
    assert_is_the_course(rebuild(course(), submission, names=NAMES))


def test_millions_of_cells_are_cut_with_a_remark() -> None:
    submission = read_submission(b'{"cells": [' + b"{}," * 200_000 + b"{}]}")
    assert len(submission.pieces) <= reading.MAX_CELLS
    assert "only the first" in submission.remarks[0]
    assert len(submission.remarks) <= 50


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_other_encodings_are_read(encoding: str) -> None:
    notebook = answered()
    notebook["cells"][4]["source"] = "café"
    content = json.dumps(notebook, ensure_ascii=False).encode(encoding)
    assert by_id(rebuild(course(), read_submission(content), names=NAMES))["words"] == "café"


def test_lone_surrogates_and_giant_sources_do_no_harm() -> None:
    notebook = answered()
    notebook["cells"].append(cell("code", "s = '\ud800'"))
    notebook["cells"].append(cell("code", "#" * (reading.MAX_SOURCE + 1)))
    result = hand_in(notebook)
    assert_is_the_course(result)
    assert "s = '?'" in sources(result)
    assert any("characters" in remark for remark in result.remarks)


def test_format_3_is_read() -> None:
    sheet = {"cells": [{"cell_type": "code", "input": FIRST, "metadata": {}}]}
    assert by_id(hand_in({"nbformat": 3, "worksheets": [sheet]}))["one"] == FIRST


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("def f(x):\n    y = 1", {"f"}),
        ("%matplotlib inline\nx = 1\ny: int = 2\nz == 3", {"x", "y"}),
        ("a, b = 1, 2\nc += 1\nif True:\n    d = 4", {"a", "b", "c"}),
        ("async def f(): ...\nclass C: ...", {"f", "C"}),
        ("(" * 100_000, set()),
        ("a," * 50_000, set()),
    ],
)
def test_names_are_read_line_by_line(source: str, names: set[str]) -> None:
    assert names_defined(source) == names


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
ANYTHING = st.recursive(
    SCALARS, lambda x: st.lists(x, max_size=4) | st.dictionaries(st.text(max_size=8), x, max_size=4)
)
IDS = st.sampled_from(["one", "two", "words", "one_test", "setup", "other", "", 3, None, ["one"]])
TEXTS = st.sampled_from([FIRST, SECOND, "my words", "x = 1", "import torch\nN = 3", "# Problem", "", STUB]) | ANYTHING
CELLS = st.fixed_dictionaries(
    {
        "cell_type": st.sampled_from(["code", "markdown", "raw", "heading", 7]),
        "source": TEXTS,
        "metadata": st.fixed_dictionaries({"nbgrader": st.fixed_dictionaries({"grade_id": IDS}) | ANYTHING}) | ANYTHING,
    },
    optional={"outputs": ANYTHING, "id": ANYTHING, "attachments": ANYTHING},
)


@settings(max_examples=150, deadline=None)
@given(
    st.fixed_dictionaries({"cells": st.lists(CELLS | ANYTHING, max_size=12)}, optional={"metadata": ANYTHING})
    | ANYTHING
)
def test_nothing_that_is_handed_in_breaks_the_course(document: Any) -> None:
    assert_is_the_course(hand_in(document))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    assert_is_the_course(rebuild(course(), read_submission(content), names=NAMES))


@settings(max_examples=50, deadline=None)
@given(st.permutations(range(10)), st.sets(st.integers(0, 9)))
def test_answers_survive_any_order_and_lost_ids_of_given_cells(order: list[int], lost: set[int]) -> None:
    notebook = answered()
    for number in lost - {4, 5, 8}:
        notebook["cells"][number]["metadata"] = {}
    notebook["cells"] = [notebook["cells"][number] for number in order]
    found = by_id(hand_in(notebook))
    assert (found["one"], found["two"], found["words"]) == (FIRST, SECOND, "my words")
