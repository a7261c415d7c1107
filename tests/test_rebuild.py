"""The executed notebook is the course's, with the student's answers in it, whatever was handed in."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autograder.engine import rebuild as module
from autograder.engine.rebuild import Submission, names_defined, read_submission, rebuild

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


def test_pasted_pictures_are_kept_and_other_attachments_are_not() -> None:
    notebook = answered()
    notebook["cells"][4]["attachments"] = {
        "a.png": {"image/png": "aGk=", "text/html": "<script>"},
        "b.svg": {"image/svg+xml": "<svg onload=x>"},
        "c.png": {"image/png": ["no", "text"]},
    }
    words = next(c for c in hand_in(notebook).notebook["cells"] if c["source"] == "my words")
    assert words["attachments"] == {"a.png": {"image/png": "aGk="}}


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
        (b" " * (module.MAX_BYTES + 1), "MB"),
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
    assert len(submission.pieces) <= module.MAX_CELLS
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
    notebook["cells"].append(cell("code", "#" * (module.MAX_SOURCE + 1)))
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
