"""What this kernel's checks have found so far, and the table of it."""

from __future__ import annotations

import html
from dataclasses import dataclass, field

from pset4.checks.stages.words import EXERCISES

NOT_RUN, OPEN, WRONG, CHECKED = "not run", "open", "wrong", "checked"
SIGNS = {NOT_RUN: "–", OPEN: "○", WRONG: "✗", CHECKED: "✓"}
HEADINGS = ("notebook", "exercise", "what it asks for", "latest check")
NOT_THE_EXAM = (
    "The checks are not the exam: it tries other inputs, and reads the written answers too, which have no check."
)


@dataclass
class Outcomes:
    """The latest outcome of each exercise's check in this kernel."""

    latest: dict[str, str] = field(default_factory=dict)

    def note(self, exercise: str, outcome: str) -> None:
        """Keeps the outcome in place of the one before."""
        self.latest[exercise] = outcome

    def of(self, exercise: str) -> str:
        """The latest outcome, or that there is none."""
        return self.latest.get(exercise, NOT_RUN)


THIS_KERNEL = Outcomes()


@dataclass(frozen=True, repr=False)
class Summary:
    """The table of all exercises that have a check; a notebook shows it as the last line of a cell.

    Attributes:
        outcomes: Outcome of each exercise, by its id, in the order of the notebooks.
    """

    outcomes: dict[str, str]

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Notebook, exercise, title, sign and word: as text, one row for each exercise."""
        return [
            (str(EXERCISES[exercise].notebook), exercise, EXERCISES[exercise].title, f"{SIGNS[outcome]} {outcome}")
            for exercise, outcome in self.outcomes.items()
        ]

    def totals(self) -> str:
        """How many exercises there are of each outcome, and what a check is worth."""
        found = list(self.outcomes.values())
        counts = ", ".join(f"{found.count(outcome)} {outcome}" for outcome in (CHECKED, WRONG, OPEN, NOT_RUN))
        return f"Of {len(found)} exercises: {counts} in this kernel. Each notebook has a kernel of its own."

    def __str__(self) -> str:
        """The table as text."""
        table = [HEADINGS, *self.rows()]
        widths = [max(len(row[column]) for row in table) for column in range(len(HEADINGS))]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in table]
        return "\n".join([*lines, self.totals(), NOT_THE_EXAM])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """The table as a notebook shows it: sign and word, so that it needs no colour."""
        left = 'style="text-align:left"'
        head = "".join(f'<th scope="col" {left}>{heading}</th>' for heading in HEADINGS)
        body = "".join(
            f'<tr><td {left}>{notebook}</td><th scope="row" {left}><code>{exercise}</code></th>'
            f"<td {left}>{html.escape(title)}</td><td {left}>{_worded(outcome)}</td></tr>"
            for notebook, exercise, title, outcome in self.rows()
        )
        caption = f'<caption style="text-align:left"><b>Your checks.</b> {self.totals()}</caption>'
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{NOT_THE_EXAM}</p>"


def _worded(outcome: str) -> str:
    """Sign and word; the word alone is read out."""
    sign, word = outcome.split(" ", 1)
    return f'<span aria-hidden="true">{sign}</span> {f"<b>{word}</b>" if word in (WRONG, CHECKED) else word}'


def summary() -> Summary:
    """All exercises of the four notebooks that have a check: checked, open, wrong, or not run in this kernel.

    Each notebook has a kernel of its own, so the exercises of the others are "not run" here.
    """
    return Summary({exercise: THIS_KERNEL.of(exercise) for exercise in EXERCISES})
