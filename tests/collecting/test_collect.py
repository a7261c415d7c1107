"""What a platform's download becomes: each student's newest notebooks, and a word on every other file."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from rich.console import Console

from autograder.commands.collect import collect
from autograder.course.contract import NOTEBOOKS

FIRST, SECOND = NOTEBOOKS[0], NOTEBOOKS[1]
ROSTER = """id,last_name,first_name,email,canvas,moodle
s1,Müller,Jörg,jm@uni.example,4711,123
s2,"van der Berg",Ada,ada@uni.example,4712,124
s3,Kim,Ji,ji@uni.example,4713,125
s4,Kim,Ji,ji2@uni.example,4714,126
"""


def notebook(words: str = "", number: int = 1) -> bytes:
    marks = {"nbgrader": {"grade_id": f"p{number}a_x"}}
    cell = {"cell_type": "code", "metadata": marks, "source": words, "outputs": []}
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def zipped(files: Mapping[str, bytes], *, date: tuple[int, ...] = (2026, 5, 4, 12, 0, 0)) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, date), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


class Download:
    """A course, a class list, and what `collect` says of a download."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, folder / "course"
        self.roster = folder / "roster.csv"
        self.roster.write_text(ROSTER, encoding="utf-8")
        self.said = ""

    def zip(self, files: Mapping[str, bytes], **options: tuple[int, ...]) -> Path:
        path = self.folder / "download.zip"
        path.write_bytes(zipped(files, **options))
        return path

    def tree(self, files: Mapping[str, bytes]) -> Path:
        for name, content in files.items():
            path = self.folder / "download" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return self.folder / "download"

    def collect(self, source: Path, *, roster: bool = True, dry_run: bool = False) -> int:
        buffer = io.StringIO()
        console = Console(file=buffer, width=220)
        given = self.roster if roster else None
        status = collect(source, root=self.root, roster=given, dry_run=dry_run, console=console)
        self.said = buffer.getvalue()
        return status

    def taken(self) -> dict[str, bytes]:
        folder = self.root / "submitted"
        return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def download(tmp_path: Path) -> Download:
    return Download(tmp_path)


PLACES = {
    "Canvas": ("mllerjrg_4711_9001_problem1_forward.ipynb", "s1"),
    "Canvas, late": ("mllerjrg_LATE_4711_9001_problem1_forward.ipynb", "s1"),
    "Canvas, resubmitted": ("mllerjrg_4711_9001_problem1_forward-2.ipynb", "s1"),
    "Canvas, a zip": ("bergvanderada_4712_9002_ada.zip/problem1_forward.ipynb", "s2"),
    "Moodle": ("Jörg Müller_123_assignsubmission_file/problem1_forward.ipynb", "s1"),
    "Moodle, older": ("Jörg Müller_123_assignsubmission_file_/problem1_forward.ipynb", "s1"),
    "Moodle, blind": ("Participant_124_assignsubmission_file/problem1_forward.ipynb", "s2"),
    "a handed-in zip": ("Ada van der Berg.zip/problem1_forward.ipynb", "s2"),
    "a folder by name": ("van der Berg, Ada/pset4/problem1_forward.ipynb", "s2"),
    "a folder by e-mail": ("ada@uni.example/problem1_forward.ipynb", "s2"),
    "a folder by id": ("s2/Copy of problem1_forward.ipynb", "s2"),
    "a lone file": ("problem1_forward_jm@uni.example.ipynb", "s1"),
    "by content": ("s2/Untitled3.ipynb", "s2"),
}


@pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "folder"])
@pytest.mark.parametrize("case", PLACES)
def test_a_notebook_reaches_its_student_from(download: Download, case: str, as_zip: bool) -> None:
    place, student = PLACES[case]
    outer, inner = place.split(".zip/") if ".zip/" in place else (place, "")
    files = {f"{outer}.zip": zipped({inner: notebook(case)})} if inner else {place: notebook(case)}
    source = download.zip(files) if as_zip else download.tree(files)
    assert download.collect(source) == 0, download.said
    assert download.taken()[f"{student}/pset4/{FIRST}.ipynb"] == notebook(case)


def test_gradescope_names_the_submitters_in_a_file_of_its_own(download: Download) -> None:
    metadata = "submission_77:\n  :submitters:\n  - :name: Jörg Müller\n    :sid: s1\n  :created_at: 2026-05-01\n"
    files = {"export/submission_metadata.yml": metadata.encode(), f"export/submission_77/{FIRST}.ipynb": notebook()}
    assert download.collect(download.zip(files)) == 0, download.said
    assert f"s1/pset4/{FIRST}.ipynb" in download.taken()


def test_the_newest_wins_and_the_others_are_named(download: Download) -> None:
    files = {
        f"mllerjrg_4711_9001_{FIRST}.ipynb": notebook("first"),
        f"mllerjrg_4711_9005_{FIRST}-1.ipynb": notebook("second"),
    }
    assert download.collect(download.zip(files)) == 0
    assert download.taken()[f"s1/pset4/{FIRST}.ipynb"] == notebook("second")
    assert "superseded" in download.said and "handed in later" in download.said


def test_a_second_download_replaces_what_is_older_and_leaves_what_is_newer(download: Download) -> None:
    name = f"mllerjrg_4711_9001_{FIRST}.ipynb"
    for day, words in ((4, "old"), (5, "new"), (3, "x")):
        assert download.collect(download.zip({name: notebook(words)}, date=(2026, 5, day, 12, 0, 0))) == 0
    assert download.taken()[f"s1/pset4/{FIRST}.ipynb"] == notebook("new")
    assert "newer" in download.said
    assert download.taken()["s1/pset4/timestamp.txt"].startswith(b"2026-05-0")


def test_the_same_download_again_changes_nothing(download: Download) -> None:
    source = download.zip({f"mllerjrg_4711_9001_{FIRST}.ipynb": notebook()})
    download.collect(source)
    before = download.taken()
    assert download.collect(source) == 0
    assert download.taken() == before and "unchanged" in download.said


def test_a_dry_run_writes_nothing(download: Download) -> None:
    assert download.collect(download.zip({f"s1/{FIRST}.ipynb": notebook()}), dry_run=True) == 0
    assert not (download.root / "submitted").exists() and "--dry-run" in download.said


def test_helpers_beside_the_notebooks_come_along_and_the_report_does_not(download: Download) -> None:
    inside = {f"{FIRST}.ipynb": notebook(), "helpers.py": b"x = 1", "report.pdf": b"%PDF"}
    assert download.collect(download.zip({"bergvanderada_4712_9002_ada.zip": zipped(inside)})) == 0
    assert set(download.taken()) == {f"s2/pset4/{FIRST}.ipynb", "s2/pset4/helpers.py", "s2/pset4/timestamp.txt"}


def test_without_a_class_list_the_platforms_names_become_ids(download: Download) -> None:
    files = {
        f"kimji_4713_1_{FIRST}.ipynb": notebook("a"),
        f"kimji_4714_2_{FIRST}.ipynb": notebook("b"),
        f"anon_aB3x9_3_{FIRST}.ipynb": notebook("c"),
    }
    assert download.collect(download.zip(files), roster=False) == 0
    assert [place.split("/")[0] for place in download.taken() if place.endswith("ipynb")] == [
        "anon_ab3x9",
        "kimji-4713",
        "kimji-4714",
    ]


UNCLEAR = {
    "two of one name": (f"Kim, Ji/{FIRST}.ipynb", "s3 and s4"),
    "nobody": (f"Mallory/{FIRST}.ipynb", "nobody of that name"),
    "no owner": (f"{FIRST}.ipynb", "whose it is"),
    "no notebook of ours": ("s1/homework.ipynb", "by name or by content"),
}


@pytest.mark.parametrize("case", UNCLEAR)
def test_what_nobody_can_know_is_named_and_left_to_a_human(download: Download, case: str) -> None:
    place, words = UNCLEAR[case]
    files = {place: b'{"cells": []}' if "homework" in place else notebook(), f"s2/{SECOND}.ipynb": notebook(number=2)}
    assert download.collect(download.zip(files)) == 3
    assert words in download.said
    assert {place.split("/")[0] for place in download.taken()} == {"s2"}


def tricks() -> dict[str, bytes]:
    link = zipfile.ZipInfo(f"s1/{SECOND}.ipynb")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(link, "/etc/passwd")
    damaged = bytearray(zipped({f"{FIRST}.ipynb": notebook("damaged" * 50)}))
    damaged[60:70] = b"0123456789"
    return {
        "leads out": zipped({"../../evil.ipynb": notebook()}),
        "it is a link": buffer.getvalue(),
        "unpacks to more than": zipped({f"{FIRST}.ipynb": b"0" * 70_000_000}),
        "archive in an archive": zipped({"a.zip": zipped({"b.zip": zipped({f"{FIRST}.ipynb": notebook()})})}),
        "cannot be unpacked": bytes(damaged),
        "archive cannot be": b"PK\x03\x04 no archive",
    }


@pytest.mark.parametrize("words", tricks())
def test_a_trick_is_refused_by_name_and_the_others_go_on(download: Download, words: str) -> None:
    place = "Jörg Müller_123_assignsubmission_file/hand.zip"
    files = {place: tricks()[words], f"s2/{SECOND}.ipynb": notebook(number=2)}
    assert download.collect(download.zip(files)) == 3, download.said
    assert "refused" in download.said and words in download.said
    assert list(download.taken()) == [f"s2/pset4/{SECOND}.ipynb", "s2/pset4/timestamp.txt"]
    assert not (download.folder / "evil.ipynb").exists()


def test_a_link_in_a_folder_is_not_followed(download: Download) -> None:
    source = download.tree({f"s2/{SECOND}.ipynb": notebook(number=2)})
    (source / "s1").mkdir()
    (source / "s1" / f"{FIRST}.ipynb").symlink_to("/etc/passwd")
    assert download.collect(source) == 3
    assert "link" in download.said and {place.split("/")[0] for place in download.taken()} == {"s2"}


@pytest.mark.parametrize(
    ("roster", "words"),
    [("", "no table"), ("id,name\ns1,A\ns1,B\n", "more than once"), ("id,name\n../x,A\n", "cannot be an id")],
)
def test_a_class_list_that_cannot_be_used_is_refused_in_a_sentence(download: Download, roster: str, words: str) -> None:
    download.roster.write_text(roster)
    assert download.collect(download.zip({f"s1/{FIRST}.ipynb": notebook()})) == 1
    assert words in download.said


@pytest.mark.parametrize("content", [None, b"not a zip"], ids=["missing", "no zip"])
def test_a_source_that_is_none_is_refused_in_a_sentence(download: Download, content: bytes | None) -> None:
    path = download.folder / "download.zip"
    if content:
        path.write_bytes(content)
    assert download.collect(path) == 1
    assert "Give the zip" in download.said


def test_a_semicolon_list_with_a_mark_in_front_is_read(download: Download) -> None:
    download.roster.write_text("\ufeffid;name\ns1;Jörg Müller\n", encoding="utf-8")
    assert download.collect(download.zip({f"Müller, Jörg/{FIRST}.ipynb": notebook()})) == 0


def test_who_has_handed_in_nothing_is_named(download: Download) -> None:
    download.collect(download.zip({f"s1/{FIRST}.ipynb": notebook()}))
    assert "Nothing from 3 of the class list: s2, s3, s4." in download.said
