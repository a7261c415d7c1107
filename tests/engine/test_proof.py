"""The machine proves itself before it grades anybody; where it cannot, nobody gets a score that is not theirs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nbformat
import pytest
import scipy.linalg
import small_course as small
from nbgrader.converters import NbGraderException
from nbgrader_course import Course

from autograder.commands.table import read_rows
from autograder.engine.grader import converter, proof, run, sandbox
from autograder.engine.grader.assets import PLACE, grading_assets
from autograder.engine.grader.converter import SandboxedAutograde
from autograder.engine.grader.store import Store
from pset4.settings import data_folder

pytestmark = pytest.mark.skipif(not small.sandbox_here(), reason="what only the sandbox does not see needs a sandbox")

LATE_MODULE = Path(scipy.linalg.__file__).with_name("_matfuncs_sqrtm.py")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proofs of other tests do not count here."""
    monkeypatch.setattr(proof, "cache_folder", lambda: tmp_path / "cache")


def hide(monkeypatch: pytest.MonkeyPatch, options: Sequence[str]) -> None:
    """Gives bubblewrap more options: something that is there for the grader is not, or is another, in the sandbox."""
    command = sandbox.command

    def altered(*arguments: Any, **keywords: Any) -> list[str]:
        line = command(*arguments, **keywords)
        end = line.index("--")
        return [*line[:end], *options, *line[end:]]

    monkeypatch.setattr(sandbox, "command", altered)


def other_file(tmp_path: Path) -> str:
    path = tmp_path / "other"
    path.write_bytes(b"something else")
    path.chmod(0o644)
    return str(path)


def a_module(tmp_path: Path) -> tuple[list[str], str]:
    return ["--tmpfs", str(LATE_MODULE.parent)], "scipy/linalg"


def one_file_of_a_module(tmp_path: Path) -> tuple[list[str], str]:
    return ["--ro-bind", other_file(tmp_path), str(LATE_MODULE)], LATE_MODULE.name


def the_robust_network(tmp_path: Path) -> tuple[list[str], str]:
    return ["--ro-bind", other_file(tmp_path), str(data_folder() / "robust_animals57.safetensors")], "robust_animals57"


def the_manifest(tmp_path: Path) -> tuple[list[str], str]:
    # A copy with another number of bytes, which still can be read.
    copy = tmp_path / "manifest.json"
    copy.write_text((data_folder() / "manifest.json").read_text() + "\n")
    return ["--ro-bind", str(copy), str(data_folder() / "manifest.json")], "manifest.json"


def the_photo(tmp_path: Path) -> tuple[list[str], str]:
    """The sandbox shows the photo at a place of its own; where the grader has none, there is nothing to hide."""
    found = grading_assets()
    if "corgi" not in found:
        return the_manifest(tmp_path)
    return ["--tmpfs", str(PLACE / "images")], "corgi"


FAULTS = [a_module, one_file_of_a_module, the_robust_network, the_manifest, the_photo]


@pytest.mark.parametrize("fault", FAULTS)
def test_grading_refuses_names_what_differs_and_stores_nothing(
    course: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Callable[[Path], tuple[list[str], str]]
) -> None:
    course.hand_in("ada", small.submission())
    options, name = fault(tmp_path)
    hide(monkeypatch, options)
    with pytest.raises(NbGraderException) as refused:
        course.convert(SandboxedAutograde)
    assert "this machine would not grade rightly" in str(refused.value)
    assert name in str(refused.value)
    assert course.scores() == {}
    assert Store(course.root).known(small.ASSIGNMENT) == {}
    assert not (course.root / "autograded").exists()


def unproved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(converter, "prove", lambda *_arguments, **_keywords: None)


@pytest.mark.parametrize("fault", [the_robust_network, the_manifest, the_photo])
def test_without_the_proof_the_same_faults_end_as_not_gradable_and_nowhere_as_a_score(
    course: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Callable[[Path], tuple[list[str], str]]
) -> None:
    unproved(monkeypatch)
    course.hand_in("ada", small.submission())
    options, name = fault(tmp_path)
    hide(monkeypatch, options)
    with pytest.raises(NbGraderException, match=f"ada, {small.NOTEBOOK}: not gradable without a human"):
        course.convert(SandboxedAutograde)
    assert course.statuses() == {"ada": "not gradable"}
    assert_no_score(course, "ada")
    assert name in " ".join(Store(course.root).bundles(small.ASSIGNMENT)[0].remarks)


def test_a_late_import_that_only_the_sandbox_misses_is_not_gradable(
    course: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    unproved(monkeypatch)
    package = Path(nbformat.__file__).parent.parent / "colorama_of_the_course"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").write_text("factor = 2\n")
    try:
        hide(monkeypatch, ["--tmpfs", str(package)])
        late = "def double(x):\n    from colorama_of_the_course import factor\n    return factor * x"
        course.hand_in("ada", small.submission({**small.ANSWERS, "s1_double": late}))
        with pytest.raises(NbGraderException, match="could not be imported in the sandbox"):
            course.convert(SandboxedAutograde)
    finally:
        (package / "__init__.py").unlink()
        package.rmdir()
    assert course.scores() == {"ada": {"s1_double": None, "s2_total": 3.0}}


def assert_no_score(course: Course, student: str) -> None:
    """Neither database, table nor export hold a number for what a machine should have judged."""
    assert set(course.scores()[student].values()) == {None}
    (row,) = read_rows(course.root)
    assert row.ungraded
    assert not [cell for cell in row.by_cell if cell.endswith("_test")]
    line = course.exported()[student]
    assert (line["raw_score"], line["score"]) == ("", "")
    assert line["status"].startswith("needs a human")


def test_a_reference_answer_that_loses_a_point_stops_grading(course: Course) -> None:
    path = course.root / "source" / small.ASSIGNMENT / f"{small.NOTEBOOK}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace("return 2 * x", "return 3 * x")
    nbformat.write(notebook, path)
    course.hand_in("ada", small.submission())
    with pytest.raises(NbGraderException, match="s1_double: the reference answer earns 0 of 5: some values are wrong"):
        course.convert(SandboxedAutograde)
    assert course.scores() == {}


def test_a_machine_that_has_proved_itself_is_believed_until_something_changes(
    course: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    proved: list[str] = []
    grade_notebook = proof.grade_notebook

    def counting(job: Any, **keywords: Any) -> Any:
        proved.append(job.key.notebook)
        return grade_notebook(job, **keywords)

    monkeypatch.setattr(proof, "grade_notebook", counting)
    course.hand_in("ada", small.submission())
    course.convert(SandboxedAutograde)
    assert len(proved) == 1
    course.hand_in("bob", small.submission())
    course.convert(SandboxedAutograde)
    assert len(proved) == 1
    c = course.config()
    monkeypatch.setattr(type(course), "config", lambda self: c)
    c.RunTwoProcesses.memory_megabytes = 3_000
    course.hand_in("eve", small.submission())
    course.convert(SandboxedAutograde)
    assert len(proved) == 2


def test_where_nothing_is_new_nothing_is_proved_and_no_process_started(
    course: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    course.hand_in("ada", small.submission())
    course.convert(SandboxedAutograde)

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("nothing was to be run")

    monkeypatch.setattr(converter, "prove", never)
    monkeypatch.setattr(run, "open_session", never)
    course.convert(SandboxedAutograde)
    assert course.scores() == {"ada": {"s1_double": 5.0, "s2_total": 3.0}}


def test_a_cache_that_cannot_be_written_costs_a_proof_and_nothing_else(
    course: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof, "cache_folder", lambda: Path(os.devnull) / "cache")
    course.hand_in("ada", small.submission())
    course.convert(SandboxedAutograde)
    assert course.scores() == {"ada": {"s1_double": 5.0, "s2_total": 3.0}}
