"""Late work: due dates, extensions, and the sum that follows from them."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from marked_class import Marked, make_class, mark_by_hand, set_due
from rich.console import Console

from autograder.commands.table import Row, read_rows, render
from autograder.course.late import Late, NoLatePolicy, final_points, read_extensions, read_policy, rounded

DUE = datetime.fromisoformat("2026-10-01T23:59:00-04:00")
DUE_TEXT = DUE.isoformat()


def late_by(**time: float) -> Late:
    return Late(DUE, DUE + timedelta(**time))


@pytest.mark.parametrize(
    ("late", "factor", "span"),
    [
        (Late(DUE), 1.0, ""),
        (late_by(), 1.0, ""),
        (late_by(hours=-5), 1.0, ""),
        (late_by(seconds=1), 1.0, "1 min"),
        (late_by(days=2, hours=3), 0.85, "2 d 3 h"),
        (late_by(hours=1, minutes=30), 1.0, "1 h 30 min"),
        (late_by(days=7), 0.5, "7 d"),
        (late_by(days=70), 0.5, "70 d"),
    ],
)
def test_the_factor_falls_evenly_to_a_half_in_seven_days(late: Late, factor: float, span: str) -> None:
    assert (late.factor, late.span) == (factor, span)


def test_the_sum_is_told_as_it_is_computed() -> None:
    late = late_by(days=2, hours=3)
    assert final_points(83.75, late) == 71.19
    assert late.words(83.75) == "handed in 2 d 3 h late: 83.75 x 0.85 = 71.19"
    assert late_by(days=-1).words(83.75) == ""


def test_an_extension_is_named_in_the_sum() -> None:
    late = Late(DUE, DUE + timedelta(days=7), extended=True)
    assert late.words(10) == "handed in 7 d late after the extension to 2026-10-01 23:59: 10 x 0.50 = 5"


@pytest.mark.parametrize(
    ("points", "shown"), [(0.125, 0.13), (2.675, 2.68), (0.1 + 0.2, 0.3), (71.1875, 71.19), (0, 0)]
)
def test_a_half_is_rounded_up(points: float, shown: float) -> None:
    assert rounded(points) == shown


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("student_id,due\nada,2026-10-05T12:00:00+02:00\n", "2026-10-05T12:00:00+02:00"),
        ("student_id,due\nada,2026-10-05 12:00\n", "2026-10-05T12:00:00-04:00"),
        ("student_id,due\nada,2026-10-05\n", "2026-10-05T23:59:00-04:00"),
        ("student_id,days\nada,2\n", "2026-10-03T23:59:00-04:00"),
        ("Student_ID;days;reason\n\nada;0.5;ill; \n".replace("; \n", "\n"), "2026-10-02T11:59:00-04:00"),
        ('\ufeffstudent_id,due,days,reason\nada,,1,"ill, very"\n', "2026-10-02T23:59:00-04:00"),
    ],
)
def test_extensions_are_read(text: str, due: str, tmp_path: Path) -> None:
    path = tmp_path / "extensions.csv"
    path.write_text(text, encoding="utf-8")
    assert read_extensions(path, DUE) == {"ada": datetime.fromisoformat(due)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the first line is ''; expected student_id,due or student_id,days"),
        ("ada,2\n", "the first line is 'ada,2'"),
        ("student_id,day\nada,2\n", "student_id,days"),
        ("student_id,days\nada,two\n", "line 2: days must be a number from 0 to 366, such as 2 or 1.5, not 'two'"),
        ("student_id,days\nada,-1\n", "not '-1'"),
        ("student_id,days\nada,nan\n", "not 'nan'"),
        ("student_id,days\nada,\n", "line 2 needs either a date under due or a number under days"),
        ("student_id,due,days\nada,2026-10-05,3\n", "needs either"),
        ("student_id,due\nada,10/5/2026\n", 'due must be a date and time, such as "2026-10-05 23:59", not'),
        ("student_id,due\nada,2026-09-01\n", "2026-09-01 is before the course's due date, 2026-10-01 23:59"),
        ("student_id,days\nada,1\nada,2\n", "line 3 names ada again"),
        ("student_id,days\n,1\n", "line 2 names no student"),
        ("student_id,days,reason\nada,1,ill, very\n", "4 cells under 3 names"),
    ],
)
def test_a_mistake_in_the_extensions_is_a_sentence(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "extensions.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(NoLatePolicy) as error:
        read_extensions(path, DUE)
    assert said in str(error.value) and str(path) in str(error.value)


def test_extensions_in_another_encoding_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "extensions.csv"
    path.write_bytes("student_id,days,reason\nada,1,müde\n".encode("cp1252"))
    with pytest.raises(NoLatePolicy, match="save it as CSV in UTF-8"):
        read_extensions(path, DUE)


def test_extensions_without_a_due_date_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_due(monkeypatch, tmp_path, "")
    assert read_policy(tmp_path) is None
    (tmp_path / "extensions.csv").write_text("student_id,days\nada,1\n")
    with pytest.raises(NoLatePolicy, match="no due date"):
        read_policy(tmp_path)


def only(root: Path) -> Row:
    (row,) = read_rows(root)
    return row


def test_points_follow_a_mark_by_hand_an_extension_and_a_date_that_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed_in = (DUE + timedelta(days=7)).astimezone(UTC).replace(tzinfo=None)
    root = make_class(tmp_path, [Marked("ada", bonus=1.0, handed_in=handed_in)])
    set_due(monkeypatch, tmp_path, DUE_TEXT)
    assert (only(root).final, only(root).final_bonus, only(root).taken_off) == (55, 2, 55)
    mark_by_hand(root, "ada", "p1a_equation", 2.0)
    assert (only(root).total, only(root).final) == (108, 54)
    (root / "extensions.csv").write_text("student_id,days\nada,3.5\n")
    assert only(root).final == 81
    set_due(monkeypatch, tmp_path, (DUE + timedelta(days=7)).isoformat())
    assert only(root).final == 108
    (root / "extensions.csv").unlink()
    set_due(monkeypatch, tmp_path, "")
    assert (only(root).late, only(root).final) == (None, 108)


def shown(root: Path) -> str:
    buffer = io.StringIO()
    render(read_rows(root), Console(file=buffer, width=160))
    return buffer.getvalue()


def test_the_table_has_columns_for_lateness_only_where_there_is_a_due_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed_in = (DUE + timedelta(days=2, hours=3)).astimezone(UTC).replace(tzinfo=None)
    root = make_class(tmp_path, [Marked("ada", share=0.5, bonus=1.0, handed_in=handed_in), Marked("bob")])
    set_due(monkeypatch, tmp_path, "")
    assert "late" not in shown(root)
    set_due(monkeypatch, tmp_path, DUE_TEXT)
    assert "2 d 3 h: x 0.85" in shown(root) and "46.75 + 3.4" in shown(root)
