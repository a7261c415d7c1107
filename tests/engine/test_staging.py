"""What was handed in is copied once, by our own code: regular files only, within bounds, under the course's names."""

from __future__ import annotations

import io
import json
import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from autograder.engine.grader import staging as module
from autograder.engine.grader.staging import Staged, stage, students

NAMES = ["problem1_forward", "problem2_classification"]
ASSIGNMENT = "pset4"


def recognise(content: bytes) -> tuple[str, int]:
    """A stand-in for the course's templates: the content says which notebook it is, and how much was written."""
    try:
        about = json.loads(content)
        return about["notebook"], about["written"]
    except (ValueError, KeyError, TypeError):
        return "", 0


def notebook(number: int = 1, written: int = 1, text: str = "") -> bytes:
    return json.dumps({"notebook": NAMES[number - 1], "written": written, "text": text}).encode()


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def student(tmp_path: Path) -> Path:
    folder = tmp_path / "submitted" / "ada"
    folder.mkdir(parents=True)
    return folder


def put(student: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = student / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def staged(student: Path) -> Staged:
    copy = stage(student, ASSIGNMENT, student.parents[1] / "staged", NAMES, recognise)
    copy.write()
    return copy


def names_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


BOTH = {"pset4/problem1_forward.ipynb": notebook(1), "pset4/problem2_classification.ipynb": notebook(2)}


def test_a_plain_submission_is_copied_as_it_is_and_without_a_word(student: Path) -> None:
    put(student, {**BOTH, "pset4/helper.py": b"x = 1", "pset4/data/a.txt": b"a"})
    copy = staged(student)
    assert [taken.arrival for taken in copy.notebooks.values()] == ["handed in", "handed in"]
    assert copy.remarks == ()
    assert all(taken.remarks == () for taken in copy.notebooks.values())
    assert names_in(copy.folder) == {*(f"{name}.ipynb" for name in NAMES), "helper.py", "data/a.txt"}


PLACES = {
    "a subfolder": {"pset4/homework/problem1_forward.ipynb": notebook(1)},
    "a folder in a zip": {"pset4/all.zip": zipped({"x/problem1_forward.ipynb": notebook(1)})},
    "a zip directly under the student": {"all.ZIP": zipped({"x/problem1_forward.ipynb": notebook(1)})},
    "a text file": {"pset4/problem1_forward.ipynb.txt": notebook(1)},
    "capitals": {"pset4/PROBLEM1_FORWARD.IPYNB": notebook(1)},
    "blanks": {"pset4/Problem1 Forward.ipynb": notebook(1)},
    "the student's name": {"pset4/ada_lovelace-problem1_forward_final.ipynb": notebook(1)},
    "Colab's copy": {"pset4/Copy of problem1_forward.ipynb": notebook(1)},
    "directly under the student": {"problem1_forward.ipynb": notebook(1)},
    "another folder's name": {"PSet 4/problem1_forward.ipynb": notebook(1)},
    "an empty folder beside it": {"pset4/notes.txt": b"", "PSet4/problem1_forward.ipynb": notebook(1)},
    "a name that says nothing": {"pset4/homework+4.ipynb": notebook(1)},
    "half a name": {"pset4/problem1.ipynb": notebook(1)},
}


def test_a_zip_of_notebooks_is_unpacked_without_a_word(student: Path) -> None:
    """It is what `pset4 handin` makes."""
    put(student, {"pset4/Ada.zip": zipped({f"{name}.ipynb": notebook(i) for i, name in enumerate(NAMES, 1)})})
    copy = staged(student)
    assert [(taken.arrival, taken.remarks) for taken in copy.notebooks.values()] == [("handed in", ())] * len(NAMES)


@pytest.mark.parametrize("place", PLACES)
def test_what_is_plain_is_taken_and_said(student: Path, place: str) -> None:
    put(student, PLACES[place])
    copy = staged(student)
    taken = copy.notebooks["problem1_forward"]
    assert (taken.arrival, taken.content) == ("handed in", notebook(1))
    assert taken.remarks or copy.remarks
    assert (copy.folder / "problem1_forward.ipynb").read_bytes() == notebook(1)


@pytest.mark.parametrize(
    "files",
    [
        {"pset4/homework+4.ipynb": b"{}"},
        {"pset4/scan.zip": b"no archive"},
        {"pset4/everything.rar": b"Rar!"},
        {"solutions.ipynb": b"[]"},
    ],
)
def test_what_is_not_understood_is_named_and_never_a_zero(student: Path, files: dict[str, bytes]) -> None:
    put(student, files)
    copy = staged(student)
    for taken in copy.notebooks.values():
        assert taken.arrival == "not gradable"
        assert "found and not understood" in taken.remarks[0]
        assert Path(next(iter(files))).name in taken.remarks[0]


def test_nothing_is_nothing_and_other_files_are_named(student: Path) -> None:
    assert {taken.arrival for taken in staged(student).notebooks.values()} == {"not handed in"}
    put(student, {"pset4/answers.txt": b"see my e-mail"})
    taken = staged(student).notebooks["problem1_forward"]
    assert taken.arrival == "not handed in"
    assert "'answers.txt'" in taken.remarks[0]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"problem1_forward.ipynb": 1, "problem1_forward (1).ipynb": 1}, "problem1_forward (1).ipynb"),
        ({"problem1_forward (9).ipynb": 1, "problem1_forward (10).ipynb": 1}, "problem1_forward (10).ipynb"),
        ({"problem1_forward.ipynb": 1, "problem1_forward-Copy2.ipynb": 1}, "problem1_forward-Copy2.ipynb"),
        ({"problem1_forward.ipynb": 3, "problem1_forward (1).ipynb": 0}, "problem1_forward.ipynb"),
        ({"problem1_forward.ipynb": 0, "my work.ipynb": 2}, "my work.ipynb"),
        ({"problem1_forward.ipynb": 0, "sub/problem1_forward.ipynb": 2}, "sub/problem1_forward.ipynb"),
    ],
)
def test_of_several_the_newest_that_was_written_on_is_taken_and_the_others_are_named(
    student: Path, files: dict[str, int], expected: str
) -> None:
    put(student, {f"pset4/{name}": notebook(1, written, name) for name, written in files.items()})
    taken = staged(student).notebooks["problem1_forward"]
    assert json.loads(taken.content)["text"] == expected
    others = [name for name in files if name != expected]
    assert any(others[0] in remark and "could be" in remark for remark in taken.remarks)


def test_dates_that_differ_say_which_one_is_newer(student: Path) -> None:
    put(
        student,
        {f"pset4/{name}": notebook(1, 1, name) for name in ("problem1_forward.ipynb", "problem1_forward (1).ipynb")},
    )
    os.utime(student / "pset4" / "problem1_forward (1).ipynb", (1e9, 1e9))
    assert json.loads(staged(student).notebooks["problem1_forward"].content)["text"] == "problem1_forward.ipynb"


def test_helpers_stand_beside_the_notebooks_whichever_folder_they_came_in(student: Path) -> None:
    put(
        student,
        {"pset4/work/problem1_forward.ipynb": notebook(1), "pset4/work/lib/helper.py": b"x", "pset4/a.txt": b""},
    )
    assert names_in(staged(student).folder) == {*(f"{name}.ipynb" for name in NAMES), "lib/helper.py", "a.txt"}


def symlinked(path: Path) -> None:
    path.symlink_to(path.parents[3] / "secret")


def fifo(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))


def link_to_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [symlinked, fifo, link_to_device, device])
@pytest.mark.parametrize("name", ["problem1_forward.ipynb", "helper.py", "timestamp.txt", "data"])
def test_what_is_no_file_is_never_opened_and_stops_nobody(
    student: Path, make: Callable[[Path], None], name: str
) -> None:
    if make is device and os.geteuid() != 0:
        pytest.skip("only root makes devices")
    (student.parents[1] / "secret").write_text("the other student's work")
    put(student, {"pset4/problem2_classification.ipynb": notebook(2)})
    make(student / "pset4" / name)
    copy = staged(student)
    assert copy.notebooks["problem2_classification"].arrival == "handed in"
    assert copy.notebooks["problem1_forward"].arrival in ("unreadable", "not handed in")
    assert all(not path.is_symlink() for path in copy.folder.rglob("*"))
    assert "the other student's work" not in "".join(p.read_text() for p in copy.folder.rglob("*") if p.is_file())


@pytest.mark.parametrize("linked", ["submitted/ada", "submitted/ada/pset4"])
def test_a_linked_folder_is_not_followed_and_no_zero(tmp_path: Path, linked: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    put(elsewhere, {"problem1_forward.ipynb": notebook(1), "pset4/problem1_forward.ipynb": notebook(1)})
    link = tmp_path / linked
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere)
    copy = staged(tmp_path / "submitted" / "ada")
    assert {taken.arrival for taken in copy.notebooks.values()} == {"not gradable"}
    assert "link" in " ".join([*copy.remarks, *copy.notebooks["problem1_forward"].remarks])


def test_bounds_on_files_and_bytes_are_said(student: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FILES", 3)
    monkeypatch.setattr(module, "MAX_OTHER_BYTES", 10)
    put(student, {**BOTH, **{f"pset4/{n}.txt": b"x" for n in range(5)}, "pset4/large.bin": b"x" * 11})
    copy = staged(student)
    assert len(names_in(copy.folder)) == 5
    assert "left out" in copy.remarks[0]
    assert "'large.bin'" in copy.remarks[0]


def test_a_zip_bomb_ends_at_the_bound(student: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 1_000_000)
    bomb = zipped({f"{n}.ipynb": b"\0" * 900_000 for n in range(50)})
    put(student, {"pset4/bomb.zip": bomb, "pset4/problem2_classification.ipynb": notebook(2)})
    copy = staged(student)
    assert copy.notebooks["problem2_classification"].arrival == "handed in"
    assert sum(path.stat().st_size for path in copy.folder.rglob("*") if path.is_file()) < 2_000_000


@pytest.mark.parametrize("name", ["../../escape.py", "/escape.py", "..\\..\\escape.py", "a/../../../escape.py"])
def test_an_archive_writes_nowhere_else(student: Path, name: str) -> None:
    put(student, {"pset4/all.zip": zipped({name: b"x", "problem1_forward.ipynb": notebook(1)})})
    copy = staged(student)
    inside = set(student.parents[1].rglob("escape.py"))
    assert inside
    assert all(path.is_relative_to(copy.folder) for path in inside)


@pytest.mark.parametrize("name", ["[x].py", "a\nb.py", "*.py", "-rf", "\x1b[31m.py", "x" * 250, "ä ö.py", "%d{}.py"])
def test_names_are_harmless_and_meet_no_pattern(student: Path, name: str) -> None:
    put(student, {**BOTH, f"pset4/{name}": b"mine", "pset4/good.py": b"good"})
    copy = staged(student)
    found = names_in(copy.folder)
    assert "good.py" in found
    assert len(found) == 4
    assert all(sign.isprintable() for one in found for sign in one)


def test_a_file_that_may_not_be_read_is_a_remark_and_a_notebook_needs_a_human(
    student: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(student, {**BOTH, "pset4/private.txt": b"x"})
    opened = os.open

    def forbidding(path: str, flags: int, *rest: int, **options: int) -> int:
        if str(path) in ("private.txt", "problem1_forward.ipynb"):
            raise PermissionError(13, "Permission denied")
        return opened(path, flags, *rest, **options)

    monkeypatch.setattr(os, "open", forbidding)
    copy = staged(student)
    assert copy.notebooks["problem1_forward"].arrival == "not gradable"
    assert copy.notebooks["problem2_classification"].arrival == "handed in"
    assert "private.txt: it cannot be opened (Permission denied)" in copy.remarks


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("2024-02-01 12:00:00 UTC", "2024-02-01 12:00:00 UTC"),
        ("2024-02-01T12:00:00+02:00", "2024-02-01 10:00:00 UTC"),
        ("yesterday, I think", ""),
        ("", ""),
        ("9" * 10_000, ""),
        ("0001-01-01 00:00 +14:00", ""),
    ],
)
def test_a_time_stamp_is_kept_or_counts_as_none(student: Path, text: str, kept: str) -> None:
    put(student, {**BOTH, "pset4/timestamp.txt": text.encode()})
    copy = staged(student)
    assert copy.timestamp == kept
    assert bool(copy.remarks) == (not kept)
    assert (copy.folder / "timestamp.txt").exists() == bool(kept)


def test_the_digest_sees_every_other_file_and_nothing_else(student: Path) -> None:
    put(student, {**BOTH, "pset4/helper.py": b"x = 1"})
    first = staged(student).digest
    put(student, {"pset4/timestamp.txt": b"2024-02-01 12:00:00 UTC", "pset4/problem1_forward.ipynb": notebook(1, 2)})
    assert staged(student).digest == first
    put(student, {"pset4/helper.py": b"x = 2"})
    second = staged(student).digest
    (student / "pset4" / "helper.py").rename(student / "pset4" / "other.py")
    assert len({first, second, staged(student).digest}) == 3


def test_every_folder_is_a_student(tmp_path: Path) -> None:
    for name in ("ada", "[x]", "with blank", ".hidden"):
        (tmp_path / name).mkdir()
    (tmp_path / "file.zip").write_bytes(b"")
    assert students(tmp_path) == ["[x]", "ada", "with blank"]
    assert students(tmp_path / "nowhere") == []


def test_a_zip_beside_a_notebook_stops_nobody(student: Path) -> None:
    inside = zipped({"helper.py": b"x = 1", "a": b"", "a/b": b"", "problem1_forward.ipynb": notebook(1)})
    put(student, {"pset4/all.zip": inside, "pset4/problem2_classification.ipynb": notebook(2)})
    copy = staged(student)
    assert {taken.arrival for taken in copy.notebooks.values()} == {"handed in"}
    assert (copy.folder / "all.zip" / "helper.py").read_bytes() == b"x = 1"


def test_nothing_is_written_before_it_is_asked_for(student: Path) -> None:
    put(student, BOTH)
    copy = stage(student, ASSIGNMENT, student.parents[1] / "staged", NAMES, recognise)
    assert not copy.folder.exists()
