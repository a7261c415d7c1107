"""A small class with points, what Canvas and Moodle gave for it, and what `export` makes of that."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from marked_class import Marked, make_class
from rich.console import Console

from autograder.commands.export import export

DUE = datetime.fromisoformat("2026-10-01T23:59:00-04:00")


def in_utc(time: datetime) -> datetime:
    """As nbgrader's database keeps it."""
    return time.astimezone(UTC).replace(tzinfo=None)


LATE = in_utc(DUE + timedelta(days=3.5))  # factor 0.75
ROSTER = '''id,last_name,first_name,email,canvas,moodle
s1,Müller,Jörg,jm@uni.example,4711,123
s2,"van der Berg, Jr.","Ada ""A""",ada@uni.example,4712,124
s3,Kim,Ji,ji@uni.example,4713,125
s4,Kim,Ji,ji2@uni.example,4714,126
s5,"=HYPERLINK(""http://x"")",+Eve,@eve,4715,127
'''
STUDENTS = [
    Marked("s1", share=0.5, bonus=0.5, last_name="Müller", first_name="Jörg"),
    Marked("s2", share=1.0, bonus=1.0, handed_in=LATE, last_name="van der Berg, Jr.", first_name='Ada "A"'),
    Marked("s3", share=0.25),
    Marked("s4", share=0.75),
    Marked("s5", share=0.1, last_name='=HYPERLINK("http://x")', first_name="+Eve", email="@eve"),
]
CANVAS = '''Student,ID,SIS User ID,SIS Login ID,Group,"PSet 3 (90)",PSet 4 (91),PSet 4 P1 (92),PSet 4 bonus (9),Score
,,,,,Manual Posting,,,,(read only)
    Points Possible,,,,,100.00,110.00,20.00,0.00,(read only)
"Müller, Jörg",4711,U1,jm,"A, B",  77.50 ,,,,55.1
"van der Berg, Jr., Ada ""A""",4712,U2,ada,"A",EX,12,,,
"Kim, Ji",4713,U3,ji,A,,EX,,,
"Kim, Ji",4714,U4,ji2,A,,N/A,,,
"=HYPERLINK(""http://x""), +Eve",4715,U5,eve,A,,,,,
"Student, Test",99,,abc,A,,,,,
'''
MOODLE = """Identifier,Full name,ID number,Email address,Status,Grade,Maximum Grade,Modified,Feedback comments
Participant 123,Jörg Müller,,jm@uni.example,"Submitted for grading, late",,110.00,-,
Participant 124,"Ada ""A"" van der Berg, Jr.",,ada@uni.example,x,3.00,110.00,-,"a, b"
Participant 125,Ji Kim,,ji@uni.example,x,,110.00,-,
Participant 126,Ji Kim,,ji2@uni.example,x,,110.00,-,
Participant 127,+Eve,,@eve,x,,110.00,-,
Participant 999,Nobody Here,,no@uni.example,-,,110.00,-,
"""


class Exporting:
    """A course in a folder, made for the students if there are any, and what `export` says and writes."""

    def __init__(self, folder: Path, students: Sequence[Marked] = STUDENTS, roster: str = ROSTER) -> None:
        self.folder, self.root = folder, folder / "course"
        if students:
            self.root.mkdir()
            make_class(self.root, students)
        if roster:
            (self.root / "roster.csv").write_text(roster, encoding="utf-8")
        self.said = ""

    def given(self, text: str | bytes, name: str = "given.csv") -> Path:
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def to(self, platform: str, given: str | bytes | None = None, **options: Any) -> bytes:
        """What was written, or nothing."""
        path = self.given(given) if given is not None else options.pop("path", None)
        target = self.folder / "written"
        target.unlink(missing_ok=True)
        buffer = io.StringIO()
        console = Console(file=buffer, width=220)
        self.status = export(platform, root=self.root, given=path, output=target, console=console, **options)
        self.said = buffer.getvalue()
        if given is not None and path is not None:
            assert path.read_bytes() == (given if isinstance(given, bytes) else given.encode())
        return target.read_bytes() if target.exists() else b""
