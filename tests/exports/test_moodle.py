"""Points fill in Moodle's worksheet, and nothing else in it changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from exporting import CANVAS, MOODLE, Exporting
from marked_class import set_due


def filled_moodle(text: str = MOODLE) -> str:
    for old, new in (
        ('late",,110', 'late",55,110'),
        ("x,3.00,110", "x,82.5,110"),
        ("ji@uni.example,x,,", "ji@uni.example,x,27.5,"),
        ("ji2@uni.example,x,,", "ji2@uni.example,x,82.5,"),
        ("@eve,x,,", "@eve,x,11,"),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    return text


def test_moodle_is_filled_in_and_nothing_else_changes(exporting: Exporting) -> None:
    assert exporting.to("moodle", MOODLE).decode() == filled_moodle()
    assert exporting.status == 0


def test_moodle_in_german_keeps_its_commas(exporting: Exporting) -> None:
    header = "ID,Vollständiger Name,ID-Nummer,E-Mail-Adresse,Status,Bewertung,Bestwertung,Zuletzt geändert,Feedback\n"
    rows = MOODLE.partition("\n")[2].replace("Participant ", "Teilnehmer/in")
    rows = rows.replace(",3.00,110.00,", ',"3,00","110,00",').replace(",110.00,", ',"110,00",')
    content = exporting.to("moodle", header + rows).decode()
    assert 'x,"82,5","110,00",' in content and "Teilnehmer/in123," in content


@pytest.mark.parametrize("column", ["Arvosana", "6"])
def test_moodle_in_a_language_that_is_not_known_needs_the_columns_name(exporting: Exporting, column: str) -> None:
    sheet = MOODLE.replace(",Grade,", ",Arvosana,")
    assert exporting.to("moodle", sheet) == b""
    assert "which column holds the grades? Name it with --column" in exporting.said and "6 'Arvosana'" in exporting.said
    assert exporting.to("moodle", sheet, column=column) == filled_moodle(sheet).encode()


def test_moodles_limit_of_100_needs_a_scale(exporting: Exporting) -> None:
    sheet = MOODLE.replace("110.00", "100.00")
    assert exporting.to("moodle", sheet) == b""
    assert "a single one above 100 can stop a whole import" in exporting.said and "--scale 100" in exporting.said
    assert ",x,75,100.00," in exporting.to("moodle", sheet, scale=100).decode()
    assert exporting.to("moodle", MOODLE, scale=100) == b""


def test_moodle_takes_nothing_above_its_maximum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_due(monkeypatch, tmp_path, "")
    exporting = Exporting(tmp_path)
    assert exporting.to("moodle", MOODLE, add_bonus=True) == b""
    assert "s2 would get more than 110" in exporting.said


def test_moodle_needs_its_worksheet(exporting: Exporting) -> None:
    assert exporting.to("moodle", CANVAS) == b""
    assert "no grading worksheet" in exporting.said


def test_blind_marking_needs_the_identifiers_in_the_class_list(exporting: Exporting) -> None:
    sheet = "Identifier,Status,Grade,Maximum Grade\nParticipant 123,x,,110\nParticipant 126,x,,110\n"
    assert exporting.to("moodle", sheet).decode().splitlines()[1:] == [
        "Participant 123,x,55,110",
        "Participant 126,x,82.5,110",
    ]
    assert "no line for s2, s3, s5" in exporting.said and exporting.status == 3
