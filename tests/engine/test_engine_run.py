"""One notebook from its cells to its verdicts: crashes, limits and interruptions cost only what they touch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import small_course as small
from small_course import graded, points, submission

from autograder.engine.grader import run as module
from autograder.engine.grader.present import present
from autograder.engine.grader.run import RunOptions, grade_notebook
from autograder.engine.grader.sandbox import SandboxUnavailable
from autograder.engine.grader.store import Bundle, Store
from autograder.engine.wire.limits import Limits

LIMITS = Limits(cell_seconds=3, submission_seconds=40, memory_bytes=800_000_000)
ALL = {"s1_double": 5.0, "s2_total": 3.0}


@pytest.fixture(autouse=True)
def exams() -> Iterator[None]:
    small.register()
    yield


SETTINGS = RunOptions(limits=LIMITS, sandbox=small.sandbox_here(), devices=("cpu",))


def remarks(bundle: Bundle) -> str:
    return "\n".join(bundle.remarks)


def test_right_answers_get_all_points_and_no_remarks(tmp_path: Path) -> None:
    bundle = graded(tmp_path, submission(), RunOptions(limits=LIMITS, sandbox=SETTINGS.sandbox, devices=("cpu",)))
    assert points(bundle) == ALL
    assert bundle.status == ("graded" if SETTINGS.sandbox else "graded with remarks")
    assert Store(tmp_path).load(bundle.key) == bundle


def test_wrong_answers_lose_their_points_and_say_why(tmp_path: Path) -> None:
    bundle = graded(tmp_path, submission({"s1_double": "def double(x):\n    return 3 * x"}), SETTINGS)
    assert points(bundle) == {"s1_double": 0.0, "s2_total": 0.0}
    assert "some values are wrong" in bundle.verdicts["s1_double"].report()


CRASHES = {
    "exit in the answer cell": (
        "import os\nos._exit(0)",
        {"s1_double": 0.0, "s2_total": 3.0},
        "kernel died in cell s1_double",
    ),
    "exit in the function": (
        "def double(x):\n    import os\n    os._exit(0)",
        {"s1_double": 0.0, "s2_total": 3.0},
        "kernel died while s1_double was examined",
    ),
    "endless cell": ("while True: pass", {"s1_double": 0.0, "s2_total": 3.0}, "time limit in cell s1_double"),
    "endless function": ("def double(x):\n    while True: pass", {"s1_double": 0.0, "s2_total": 3.0}, ""),
    "endless and deaf": (
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        {"s1_double": 0.0, "s2_total": 3.0},
        "time limit in cell s1_double",
    ),
    "syntax error": ("def double(:", {"s1_double": 0.0, "s2_total": 3.0}, ""),
}


@pytest.mark.parametrize("name", CRASHES)
def test_a_crash_costs_only_what_it_touches(tmp_path: Path, name: str) -> None:
    source, expected, remark = CRASHES[name]
    bundle = graded(tmp_path, submission({**small.ANSWERS, "s1_double": source}), SETTINGS)
    assert points(bundle) == expected
    assert remark in remarks(bundle)


def test_what_ran_before_a_crash_is_there_after_it(tmp_path: Path) -> None:
    answers = {"s1_double": small.DOUBLE, "s2_total": "def total(x):\n    return FACTOR * x.sum()"}
    notebook = submission(answers, first=["FACTOR = 1", "import os\nos.abort()"])
    bundle = graded(tmp_path, notebook, SETTINGS)
    assert points(bundle) == ALL
    assert "kernel died in cell number 2" in remarks(bundle)


def test_a_kernel_that_dies_every_time_is_given_up(tmp_path: Path) -> None:
    notebook = submission(first=["import os\nos._exit(1)"] * 12)
    bundle = graded(tmp_path, notebook, replace(SETTINGS, max_restarts=3))
    assert points(bundle) == {"s1_double": 0.0, "s2_total": 0.0}
    assert "the kernel died 4 times" in remarks(bundle)
    assert "not reached" in bundle.verdicts["s2_total"].report()


def test_the_notebook_has_a_time_limit_of_its_own(tmp_path: Path) -> None:
    limits = replace(LIMITS, submission_seconds=4, cell_seconds=3)
    notebook = submission(first=["import time\ntime.sleep(2.5)"] * 6)
    bundle = graded(tmp_path, notebook, replace(SETTINGS, limits=limits))
    assert points(bundle) == {"s1_double": 0.0, "s2_total": 0.0}
    assert "time limit of the whole notebook" in remarks(bundle)


def test_an_interrupted_run_repeats_only_what_was_not_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examined: list[str] = []

    def interrupted(exercise: str, student: Any, **options: Any) -> Any:
        examined.append(exercise)
        if examined.count("s2_total") == 1:
            examined.append("Ctrl-C")
            raise KeyboardInterrupt
        return examine(exercise, student, **options)

    examine = module.examine
    monkeypatch.setattr(module, "examine", interrupted)
    with pytest.raises(KeyboardInterrupt):
        graded(tmp_path, submission(), SETTINGS)
    half = Store(tmp_path).load(small.job(tmp_path, submission()).key)
    assert half is not None
    assert (half.status, points(half)) == ("running", {"s1_double": 5.0})
    assert points(graded(tmp_path, submission(), SETTINGS)) == ALL
    assert [name for name in examined if name != "Ctrl-C"] == ["s1_double", "s2_total", "s2_total"]
    graded(tmp_path, submission(), SETTINGS)
    assert len(examined) == 4


def test_another_submission_starts_from_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graded(tmp_path, submission(), SETTINGS)

    def fail(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "open_session", fail)
    changed = submission({})
    with pytest.raises(KeyboardInterrupt):
        graded(tmp_path, changed, SETTINGS)
    stored = Store(tmp_path).load(small.job(tmp_path, changed).key)
    assert stored is not None
    assert (stored.status, stored.verdicts) == ("running", {})


def broken_exam(monkeypatch: pytest.MonkeyPatch) -> None:
    examine = module.examine

    def broken(exercise: str, student: Any, **options: Any) -> Any:
        if exercise == "s1_double":
            raise ZeroDivisionError("secret")
        return examine(exercise, student, **options)

    monkeypatch.setattr(module, "examine", broken)


def test_an_exam_that_fails_gives_no_score_and_is_taken_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        broken_exam(patch)
        bundle = graded(tmp_path, submission(), SETTINGS)
    assert (bundle.status, points(bundle)) == ("not gradable", {"s2_total": 3.0})
    assert "the exam of s1_double itself failed" in remarks(bundle)
    assert "secret" not in str(bundle.ungraded)
    assert points(graded(tmp_path, submission(), SETTINGS)) == ALL


@pytest.mark.parametrize(
    "error", [RuntimeError("cannot fork"), OSError(12, "no memory"), SandboxUnavailable("bwrap is gone"), MemoryError()]
)
def test_a_process_that_cannot_be_started_gives_no_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(module, "open_session", fail)
    bundle = graded(tmp_path, submission(), SETTINGS)
    assert (bundle.status, points(bundle)) == ("not gradable", {})
    assert bundle.ungraded.keys() == ALL.keys()
    assert "could not be run on this machine" in remarks(bundle)


GIVEN_CELLS = {
    "raises": "import torch\nraise OSError('no space left on device')",
    "cannot import": "import torch.no_such_module",
    "dies": "import os\nos._exit(1)",
    "hangs": "while True: pass",
}


@pytest.mark.parametrize("name", GIVEN_CELLS)
def test_a_given_cell_that_fails_before_the_students_code_is_our_fault(tmp_path: Path, name: str) -> None:
    job = small.job(tmp_path, submission())
    setup = next(cell for cell in job.notebook["cells"] if cell["source"] == "import torch")
    setup["source"] = GIVEN_CELLS[name]
    bundle = grade_notebook(job, store=Store(tmp_path), options=SETTINGS)
    assert (bundle.status, points(bundle)) == ("not gradable", {})
    assert "the given cell setup failed before any of the student's code had run" in bundle.ungraded["s1_double"]
    shown = present(job.notebook, bundle)
    for cell in shown["cells"]:
        if str(cell["metadata"].get("nbgrader", {}).get("grade_id", "")).endswith("_test"):
            assert not [output for output in cell["outputs"] if output["output_type"] == "execute_result"]
            assert cell["metadata"]["pset4"]["ungraded"]


def test_a_given_cell_that_fails_after_the_students_code_is_not(tmp_path: Path) -> None:
    bundle = graded(tmp_path, submission(first=["import builtins\ndel builtins.__import__"]), SETTINGS)
    assert bundle.status in ("graded", "graded with remarks")
    assert points(bundle).keys() == ALL.keys()


@pytest.mark.parametrize(
    ("source", "status"),
    [
        ("import torch.fft\nraise ModuleNotFoundError(\"No module named 'torch.fft'\")", "not gradable"),
        ("def double(x):\n    raise ModuleNotFoundError(\"No module named 'scipy.linalg'\")", "not gradable"),
        ("def double(x):\n    raise MemoryError('CUDA out of memory. Tried to allocate 2 GiB')", "not gradable"),
        ("def double(x):\n    raise RuntimeError('CUDA error: unspecified launch failure')", "not gradable"),
        ("def double(x):\n    raise RuntimeError('CUDA')", "graded"),
        ("import pandas_of_the_student\n" + small.DOUBLE, "graded"),
        ("import torch.no_such_module\n" + small.DOUBLE, "graded"),
        ("def double(x):\n    raise ModuleNotFoundError(\"No module named 'no_such_module_anywhere'\")", "graded"),
    ],
)
def test_what_only_this_machine_lacks_is_our_fault(tmp_path: Path, source: str, status: str) -> None:
    bundle = graded(tmp_path, submission({**small.ANSWERS, "s1_double": source}), SETTINGS)
    expected = status if SETTINGS.sandbox or status != "graded" else "graded with remarks"
    assert bundle.status == expected
    assert ("s1_double" in bundle.ungraded) == (status == "not gradable")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import einops\n" + small.DOUBLE, "Your cell s1_double stopped with ModuleNotFoundError: No module named"),
        ("x = np.zeros(3)\n" + small.DOUBLE, "Your cell s1_double stopped with NameError: name 'np' is not defined"),
        ("from google.colab import drive\n" + small.DOUBLE, "ModuleNotFoundError: No module named 'google"),
        ("def double(x)\n    return 2 * x", "Your cell s1_double stopped with SyntaxError"),
        ("raise KeyError('x')\n" + small.DOUBLE, "Your cell s1_double stopped with KeyError: 'x'"),
    ],
)
def test_a_missing_function_is_told_with_the_error_of_its_cell(tmp_path: Path, source: str, words: str) -> None:
    bundle = graded(tmp_path, submission({**small.ANSWERS, "s1_double": source}), SETTINGS)
    report = " ".join(bundle.verdicts["s1_double"].report().split())
    assert words in report
    assert "So `double` is not defined." in report
    assert points(bundle)["s2_total"] == 3.0


def test_a_sandbox_that_sees_another_file_gives_no_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = module.what_the_grader_sees

    def altered(*, hashed: bool) -> dict[str, str]:
        return ours(hashed=hashed) | {"file corgi (images/corgi.jpg)": "another photo"}

    monkeypatch.setattr(module, "what_the_grader_sees", altered)
    bundle = graded(tmp_path, submission(), SETTINGS)
    assert (bundle.status, points(bundle)) == ("not gradable", {})
    assert "grader and sandbox disagree: file corgi (images/corgi.jpg)" in remarks(bundle)


def test_an_answer_that_could_not_be_taken_is_never_a_zero(tmp_path: Path) -> None:
    job = replace(
        small.job(tmp_path, submission({"s2_total": small.TOTAL})),
        not_taken={
            "s1_double": "it is too long",
            "s_words": "it is too long",
            "s2_total": "a second copy was too long",
        },
    )
    bundle = grade_notebook(job, store=Store(tmp_path), options=SETTINGS)
    assert (bundle.status, points(bundle)) == ("not gradable", {"s2_total": 3.0})
    assert bundle.ungraded.keys() == {"s1_double", "s_words"}


def test_a_name_that_was_lost_with_a_given_cell_asks_for_a_human(tmp_path: Path) -> None:
    answers = {**small.ANSWERS, "s1_double": "def double(x):\n    return FACTOR * x"}
    job = replace(small.job(tmp_path, submission(answers)), lost_names={"FACTOR": "setup"})
    bundle = grade_notebook(job, store=Store(tmp_path), options=SETTINGS)
    assert (bundle.status, points(bundle)) == ("not gradable", {"s2_total": 3.0})
    assert "'FACTOR' was defined in the given cell setup" in bundle.ungraded["s1_double"]


@pytest.mark.parametrize(("arrival", "status"), [("unreadable", "unreadable"), ("not handed in", "not handed in")])
def test_what_cannot_be_run_gets_a_status_and_nothing(tmp_path: Path, arrival: Any, status: str) -> None:
    job = replace(small.job(tmp_path, submission({})), arrival=arrival, remarks=("it is not JSON",))
    bundle = grade_notebook(job, store=Store(tmp_path), options=SETTINGS)
    assert (bundle.status, points(bundle)) == (status, {"s1_double": 0.0, "s2_total": 0.0})
    assert "it is not JSON" in bundle.verdicts["s1_double"].report()


def test_grading_without_a_sandbox_is_written_into_the_result(tmp_path: Path) -> None:
    bundle = graded(tmp_path, submission(), replace(SETTINGS, sandbox=False))
    assert points(bundle) == ALL
    assert bundle.status == "graded with remarks"
    assert "WITHOUT a sandbox" in remarks(bundle)
    shown = present(small.job(tmp_path, submission()).notebook, bundle)
    assert "WITHOUT a sandbox" in shown["cells"][0]["source"]


def test_the_students_output_is_kept_and_results_of_checks_are_no_points(tmp_path: Path) -> None:
    notebook = submission(last=["import sys\nprint('mine')\nprint('warning', file=sys.stderr)\n41 + 1"])
    notebook["cells"].insert(1, {**notebook["cells"][2], "id": "x", "metadata": {}, "source": "class print:\n    pass"})
    mine = small.job(tmp_path, notebook)
    bundle = grade_notebook(mine, store=Store(tmp_path), options=SETTINGS)
    shown = present(mine.notebook, bundle)
    last = shown["cells"][-1]["outputs"]
    assert [output["output_type"] for output in last if output["output_type"] != "stream"] in (
        ["display_data"],
        ["error"],
    )
    for cell in shown["cells"]:
        kinds = [output["output_type"] for output in cell.get("outputs", [])]
        is_test = cell["metadata"].get("nbgrader", {}).get("grade_id", "").endswith("_test")
        assert ("execute_result" in kinds) == is_test
