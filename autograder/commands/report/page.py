"""The report as HTML. What students wrote or are called is text: the template escapes everything."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import jinja2
from markupsafe import Markup

from autograder.commands.report.facts import Facts
from autograder.commands.report.likeness import Alike
from autograder.course.late import rounded
from pset4.settings import load_settings

TEMPLATES = Path(__file__).parent / "templates"
MOST = 60  # groups of one kind
MAX_ID, MAX_TEXT = 80, 600
PACKAGES = ("pset4", "nbgrader", "torch", "torchvision", "numpy")


def page(facts: Facts, alike: Sequence[Alike], note: str = "") -> str:
    """The page.

    Args:
        facts: What it says.
        alike: Answers that are alike.
        note: Why answers were not compared, or "".
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"number": number, "who": who, "short": short, "share": share}
    names = {"f": facts, "alike": alike, "note": note, "most": MOST, "versions": versions()}
    style = Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))
    return environment.get_template("report.html.j2").render(names, style=style, course=load_settings().course_name)


def number(value: float) -> str:
    """At most two decimals, as everywhere."""
    return f"{rounded(value):g}"


def share(part: float, whole: float) -> float:
    """In percent; 0 of nothing."""
    return round(100 * part / whole, 2) if whole else 0.0


def short(text: str, most: int = MAX_TEXT) -> str:
    """The text, or its beginning."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def who(student: str) -> str:
    """A student's id; a folder's name may be as long as a paragraph."""
    return short(student, MAX_ID)


def versions() -> dict[str, str]:
    """What is installed where the report was written."""
    found = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
