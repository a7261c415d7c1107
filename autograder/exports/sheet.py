"""A downloaded table, every byte of which stays as it is, but for the cells that are filled in."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

MARK = b"\xef\xbb\xbf"  # what Excel and Canvas write in front of UTF-8
NUMBER = re.compile(r"-?\d+(?:[.,]\d+)?")


class NoSheet(Exception):
    """A file that cannot be filled in, or a wish that cannot be met, in a sentence."""


class Sheet:
    """A table of raw cells.

    Attributes:
        name: What it is called in messages.
        delimiter: Between the cells.
        rows: The cells of each line as they stand in the file, quotes included.
    """

    def __init__(self, content: bytes, name: str) -> None:
        """Reads CSV with commas, semicolons or tabs.

        Raises:
            NoSheet: If it is no CSV in UTF-8, or a quote is not closed.
        """
        self.name, self._mark = name, MARK if content.startswith(MARK) else b""
        try:
            text = content.removeprefix(MARK).decode()
        except UnicodeDecodeError:
            raise NoSheet(f"{name} is no CSV in UTF-8. Give the file as it was downloaded.") from None
        first = re.sub(r'"(?:[^"]|"")*"', "", text.partition("\n")[0])
        self.delimiter = max(",;\t", key=first.count)
        self.rows: list[list[str]] = [[]]
        self._ends: list[str] = []
        self._read(text)

    def _read(self, text: str) -> None:
        d = self.delimiter
        cell = re.compile(rf'("(?:[^"]|"")*"|[^"{d}\r\n][^{d}\r\n]*|)({d}|\r\n|\n|\r|\Z)')
        place = 0
        while place < len(text):
            found = cell.match(text, place)
            if not found:
                raise NoSheet(f"{self.name}, line {text.count(chr(10), 0, place) + 1}: a quote is not closed.")
            self.rows[-1].append(found[1])
            place = found.end()
            if found[2] == d and place == len(text):
                self.rows[-1].append("")
            if found[2] != d:
                self._ends.append(found[2])
                self.rows.append([])
        self._ends += [""] * (len(self.rows) - len(self._ends))

    def value(self, row: int, column: int) -> str:
        """What a cell says, without its quotes; "" where the line is too short."""
        raw = self.rows[row][column] if column < len(self.rows[row]) else ""
        return raw[1:-1].replace('""', '"') if raw.startswith('"') else raw

    def line(self, row: int) -> list[str]:
        """What the cells of a line say."""
        return [self.value(row, column) for column in range(len(self.rows[row]))]

    def fill(self, row: int, column: int, text: str) -> None:
        """Writes into a cell; one that was quoted stays quoted."""
        cells = self.rows[row]
        cells += [""] * (column + 1 - len(cells))
        quoted = cells[column].startswith('"') or any(sign in text for sign in f'{self.delimiter}"\r\n')
        cells[column] = '"' + text.replace('"', '""') + '"' if quoted else text

    def comma(self, column: int) -> bool:
        """Whether numbers of a column are written with a comma; where it holds none, those of the whole table count."""
        lines = range(len(self.rows))
        own = _decimal_signs([self.value(line, column) for line in lines])
        signs = own or _decimal_signs([value for line in lines for value in self.line(line)])
        return signs[","] > signs["."]

    def content(self) -> bytes:
        """The file."""
        lines = (self.delimiter.join(cells) + end for cells, end in zip(self.rows, self._ends, strict=True))
        return self._mark + "".join(lines).encode()


def _decimal_signs(values: list[str]) -> Counter[str]:
    found = (re.search(r"[.,]", value) for value in values if NUMBER.fullmatch(value.strip()))
    return Counter(sign[0] for sign in found if sign)


def read_sheet(path: Path | None, what: str) -> Sheet:
    """Reads a downloaded table.

    Args:
        path: Where it is; None where nobody said.
        what: What is asked for, and where it is downloaded.

    Raises:
        NoSheet: If there is none that can be read.
    """
    if path is None:
        raise NoSheet(f"Which file is filled in? {what} It is never made from nothing.")
    try:
        return Sheet(path.read_bytes(), str(path))
    except OSError as error:
        raise NoSheet(f"{path} cannot be read ({error.strerror}). {what}") from None


def number(text: str) -> float | None:
    """The number that a cell holds, with a point or a comma; None where it holds none."""
    return float(text.strip().replace(",", ".")) if NUMBER.fullmatch(text.strip()) else None
