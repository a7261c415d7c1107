"""A table that was downloaded stays as it is, byte for byte, but for the cells that are filled in."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autograder.exports.sheet import NoSheet, Sheet

TEXTS = [
    b"",
    b"a,b\n1,2\n",
    b"a,b\r\n1,2",
    b'\xef\xbb\xbfa;b\n"x;y";"say ""hi"""\n',
    b'a,b,\n,,\n\n1,"two\nlines",3\n',
    'Müller,"a",    b\n=1,-,+\n'.encode(),
]


@pytest.mark.parametrize("content", TEXTS)
def test_nothing_filled_in_is_nothing_changed(content: bytes) -> None:
    assert Sheet(content, "sheet.csv").content() == content


@pytest.mark.parametrize("content", TEXTS)
def test_cells_are_those_that_the_csv_module_reads(content: bytes) -> None:
    sheet = Sheet(content, "sheet.csv")
    read = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), delimiter=sheet.delimiter))
    assert [line for row in range(len(sheet.rows)) if any(line := sheet.line(row))] == [row for row in read if any(row)]


@given(st.lists(st.lists(st.text('a",;\r\n é', max_size=6), min_size=2, max_size=4), min_size=1, max_size=5))
def test_whatever_the_csv_module_writes_is_kept(rows: list[list[str]]) -> None:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([["a", "b", "c"], *rows])
    content = buffer.getvalue().encode()
    sheet = Sheet(content, "sheet.csv")
    assert sheet.content() == content
    assert [sheet.line(row) for row in range(1, len(rows) + 1)] == rows


def test_only_the_cell_that_is_filled_in_changes() -> None:
    sheet = Sheet(b'a,"b",c\r\n"1", 2,\r\nx\r\n', "sheet.csv")
    sheet.fill(1, 0, "5,5")
    sheet.fill(1, 2, "7")
    sheet.fill(2, 2, "9")
    assert sheet.content() == b'a,"b",c\r\n"5,5", 2,7\r\nx,,9\r\n'


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'a,b\n"1,2\n', "line 2: a quote is not closed"),
        ("a,b\nü,2\n".encode("cp1252"), "no CSV in UTF-8"),
        ("a,b\n".encode("utf-16"), "no CSV in UTF-8"),
    ],
)
def test_what_is_no_table_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(NoSheet, match=said):
        Sheet(content, "sheet.csv")
