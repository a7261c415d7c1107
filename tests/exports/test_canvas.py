"""Points fill in Canvas's gradebook by id, and nothing else in it changes."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from exporting import CANVAS, STUDENTS, Exporting
from marked_class import Marked, set_due


def filled_canvas(text: str = CANVAS) -> str:
    rows = (
        ('"A, B",  77.50 ,,,,55.1', '"A, B",  77.50 ,55,,2,55.1'),
        ('"A",EX,12,,,', '"A",EX,82.5,,3,'),
        ("ji,A,,EX,,,", "ji,A,,EX,,0,"),
        ("ji2,A,,N/A,,,", "ji2,A,,N/A,,0,"),
        ("eve,A,,,,,", "eve,A,,11,,0,"),
    )
    for old, new in rows:
        assert text.count(old) == 1
        text = text.replace(old, new)
    return text


def test_canvas_is_filled_in_by_id_and_nothing_else_changes(exporting: Exporting) -> None:
    assert exporting.to("canvas", CANVAS).decode() == filled_canvas()
    assert exporting.status == 0
    assert "5 of 5 students" in exporting.said and "s3 (EX), s4 (N/A)" in exporting.said
    assert "99 / abc / Student, Test" in exporting.said


def test_canvas_keeps_its_mark_its_line_ends_and_its_semicolons(exporting: Exporting) -> None:
    def changed(text: str) -> bytes:
        lines = csv.reader(io.StringIO(text))
        buffer = io.StringIO()
        csv.writer(buffer, delimiter=";", lineterminator="\r\n").writerows(lines)
        return b"\xef\xbb\xbf" + buffer.getvalue().encode()

    assert exporting.to("canvas", changed(CANVAS)) == changed(filled_canvas())


def test_canvas_with_decimal_commas_gets_decimal_commas(exporting: Exporting) -> None:
    sheet = CANVAS.replace(",110.00,", ',"110,00",')
    assert 'EX,"82,5",,3,' in exporting.to("canvas", sheet).decode()


def test_canvas_gets_the_problems_and_the_bonus_if_wanted(exporting: Exporting) -> None:
    assert '"A",EX,82.5,15,3,' in exporting.to("canvas", CANVAS, per_problem=True).decode()
    assert '"A",EX,85.5,,,' in exporting.to("canvas", CANVAS, add_bonus=True).decode()


@pytest.mark.parametrize("column", ["PSet 3", "PSet 3 (90)"])
def test_another_column_is_named(exporting: Exporting, column: str) -> None:
    assert '"A, B",50,,,2,55.1' in exporting.to("canvas", CANVAS, column=column, scale=100).decode()


@pytest.mark.parametrize(
    ("old", "new", "options", "said"),
    [
        ("Student,ID", "Name,ID", {}, "no gradebook of Canvas"),
        ("    Points Possible", "Max", {}, "no gradebook of Canvas"),
        (
            "PSet 4 (91)",
            "Homework (91)",
            {},
            "no column 'PSet 4' or 'pset4'. Name one with --column: 'PSet 3 (90)', 'Homew",
        ),
        ('"PSet 3 (90)"', "PSet 4 (90)", {}, "more than one column"),
        ("110.00", "100.00", {}, "out of 100, and the points to be written are out of 110"),
        ("110.00", "114.00", {}, "--scale 114"),
        ("110.00", "110.00", {"scale": 100}, "are out of 100"),
        ("110.00", "(read only)", {}, "Canvas ignores 'PSet 4 (91)'"),
        ("110.00", "110.00", {"column": "Nothing"}, "no column 'Nothing'"),
        ("110.00", "110.00", {"scale": 0}, "--scale is what the maximum becomes"),
        ("110.00", "110.00", {"scale": 110, "per_problem": True}, "leave it out"),
        ('"Müller', '"Müller""', {}, ""),
        ('"van der', '"van der\n"x', {}, "a quote is not closed"),
    ],
)
def test_what_canvas_could_not_take_is_refused(
    exporting: Exporting, old: str, new: str, options: dict[str, Any], said: str
) -> None:
    content = exporting.to("canvas", CANVAS.replace(old, new), **options)
    assert said in exporting.said
    assert (exporting.status, content) == (1, b"") if said else exporting.status == 0


def test_an_id_of_one_platform_is_not_taken_for_anothers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_due(monkeypatch, tmp_path, "")
    roster = "id,name,moodle\ns1,Jörg Müller,4712\ns2,Ada Berg,1\n"
    exporting = Exporting(tmp_path, STUDENTS[:2], roster)
    sheet = """Student,ID,SIS Login ID,Section,PSet 4 (91)
    Points Possible,,,,110
"Müller, Jörg",4711,,A,
"Berg, Ada",4712,,A,
"""
    content = exporting.to("canvas", sheet).decode()
    assert content.endswith('4711,,A,55\n"Berg, Ada",4712,,A,\n')
    assert exporting.status == 3
    assert "line 4 (4712 / Berg, Ada) may mean s1 or s2: it stays as it is" in exporting.said
    assert "no line for s2" in exporting.said


def test_namesakes_without_an_id_get_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_due(monkeypatch, tmp_path, "")
    exporting = Exporting(tmp_path, STUDENTS[2:4], "id,name\ns3,Ji Kim\ns4,Ji Kim\n")
    assert exporting.to("canvas", CANVAS) == CANVAS.encode()
    assert exporting.said.count("may mean s3 or s4") == 2 and exporting.status == 3


def test_two_lines_for_one_student_get_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_due(monkeypatch, tmp_path, "")
    exporting = Exporting(tmp_path, STUDENTS[2:3], "id,name\ns3,Ji Kim\n")
    assert exporting.to("canvas", CANVAS) == CANVAS.encode()
    assert "lines 6 and 7 both mean s3" in exporting.said


def test_without_a_class_list_collected_ids_are_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_due(monkeypatch, tmp_path, "")
    exporting = Exporting(tmp_path, [Marked("mllerjrg-4711"), Marked("kimji-4714", share=0.75)], roster="")
    content = exporting.to("canvas", CANVAS.replace("N/A", "")).decode()
    assert '"Müller, Jörg",4711,U1,jm,"A, B",  77.50 ,110,' in content and "ji2,A,,82.5," in content
    assert exporting.status == 0
