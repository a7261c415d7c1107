"""A class of submissions, built from the bank of answers: what `make grade` grades.

Each member takes the released notebooks, writes answers of the bank into them and hands them in. What a member deserves
follows from the bank: every wrong answer declares the properties that it loses.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from autograder.answers import Answer, answers_for, reference
from autograder.answers.notebook import write_answers
from autograder.course.cells import CHECK, TEST, grade_id
from autograder.course.contract import AUTO_GRADED, EXERCISES, Exercise
from autograder.course.folders import ASSIGNMENT

Tamper = Callable[[NotebookNode], None]


@dataclass(frozen=True)
class Member:
    """One student of the sample class.

    Attributes:
        name: The id under which the submission is handed in.
        story: What this member shows, in a few words.
        answers: Name of the answer in the bank for an exercise; the others get the reference answer.
        skips: Exercises that are left as they were released ("all" for every one).
        sources: Answer cells with a text of their own; such an exercise earns nothing.
        tamper: What is done to each notebook before it is handed in.
    """

    name: str
    story: str
    answers: Mapping[str, str] = field(default_factory=dict)
    skips: frozenset[str] = frozenset()
    sources: Mapping[str, str] = field(default_factory=dict)
    tamper: Tamper | None = None

    def deserves(self) -> dict[str, float]:
        """Points of each auto-graded exercise."""
        return {exercise.id: self._points(exercise) for exercise in AUTO_GRADED}

    def _points(self, exercise: Exercise) -> float:
        if exercise.id in self.skips or exercise.id in self.sources:
            return 0.0
        if exercise.id not in self.answers:
            return exercise.points
        return find_answer(exercise.id, self.answers[exercise.id]).points


def find_answer(exercise: str, name: str) -> Answer:
    """The answer of that name in the bank.

    Raises:
        KeyError: If there is none; the message lists the names that there are.
    """
    answers = {answer.name: answer for answer in answers_for(exercise)}
    if name not in answers:
        raise KeyError(f"the bank has no answer {name!r} to {exercise}; it has {sorted(answers)}")
    return answers[name]


def delete_tests(notebook: NotebookNode) -> None:
    """Deletes every locked test cell, as a student does who tidies up before handing in."""
    notebook.cells = [cell for cell in notebook.cells if not grade_id(cell).endswith((TEST, CHECK))]


ALL = frozenset(exercise.id for exercise in EXERCISES)

# Worth no points, and so not in the bank.
ROBUST_IMAGES = """robust_images = {
    target: generate_adversarial_example(robust, corgi, target, robust_step, N_ITER) for target in other_targets
}"""

# Endless only where the kernel is longer than the signal: the demonstrations would otherwise take minutes to time out.
ENDLESS_CONV1D = '''def conv1d(x_in, kernel):
    """Convolves x_in with kernel."""
    half = len(kernel) // 2
    windows = F.pad(x_in, (half, half)).unfold(0, len(kernel), 1)
    while len(windows) < len(kernel):
        windows = windows[: len(x_in)]
    return windows @ kernel.flip(0)
'''

RAISING_UPDATE = '''def update_kernel(kernel, grad_kernel, learning_rate):
    """Takes one step of gradient descent."""
    return kernel - learning_rate * gradient


update_kernel(1, 2, 3)
'''

WARNING_CELL = """import sys
import warnings

warnings.warn("this warning is not a mistake")
print("neither is a line on stderr", file=sys.stderr)
"""


def warn_on_stderr(notebook: NotebookNode) -> None:
    """Adds a cell that warns, and makes every code answer warn as well."""
    for cell in notebook.cells:
        if cell.cell_type == "code" and grade_id(cell) in ALL:
            cell.source = WARNING_CELL + "\n" + cell.source
    notebook.cells.insert(2, nbformat.v4.new_code_cell(WARNING_CELL))


MEMBERS = (
    Member("all_right", "every answer is right"),
    Member("correlation", "the kernel is not flipped", answers={"p1a_conv1d": "the kernel is not flipped"}),
    Member("average_factor", "max pooling with a factor 1/k", answers={"p1b_maxpool1d": "divided by the size"}),
    Member("overwrites", "`=` for `+=` where windows overlap", answers={"p3d_maxpool_backward": "= in place of +="}),
    Member("wrong_sign", "the attack walks away from its target", answers={"p4a_attack": "wrong_sign"}),
    Member(
        "softmax_batch",
        "softmax over the batch instead of the classes",
        # The other two exercises of this notebook must not hang on the wrong function.
        answers={
            "p2b_probabilities": "softmax over the batch",
            "p2b_top_predictions": "sort",
            "p2c_corgi": "softmax and max",
        },
    ),
    Member("nothing", "hands in what was released", skips=ALL),
    Member("raises", "one answer cell raises", sources={"p3b_update": RAISING_UPDATE}),
    Member("endless", "an endless loop", sources={"p1a_conv1d": ENDLESS_CONV1D}),
    Member("deleted_tests", "the test cells were deleted", tamper=delete_tests),
    Member("warns", "right answers that warn on stderr", tamper=warn_on_stderr),
)

# Two more hand in what cannot be read; they must be listed with the reason, and the others graded.
UNREADABLE = {"no_notebooks": "a folder without notebooks", "broken_json": "a notebook that is not JSON"}


def fill_in(notebook: NotebookNode, member: Member) -> NotebookNode:
    """Writes a member's answers into a released notebook."""
    own = {"p4f_images": ROBUST_IMAGES, **member.sources}
    answers = {
        exercise.id: find_answer(exercise.id, member.answers[exercise.id])
        if exercise.id in member.answers
        else reference(exercise.id)
        for exercise in AUTO_GRADED
        if exercise.id not in member.skips | own.keys()
    }
    notebook.cells = write_answers(notebook.cells, answers)
    for cell in notebook.cells:
        name = grade_id(cell)
        if name not in ALL or name in member.skips:
            continue
        if cell.cell_type == "markdown":
            cell.source = f"My answer to {name}: the boundary is treated as the text of this exercise asks for."
        else:
            cell.source = own.get(name, cell.source)
    if member.tamper:
        member.tamper(notebook)
    return notebook


def hand_in(member: Member, released: Path, submitted: Path) -> Path:
    """Writes one member's submission.

    Args:
        member: Who hands in.
        released: Folder with the released notebooks.
        submitted: nbgrader's folder of submissions.

    Returns:
        The submission's folder.
    """
    folder = submitted / member.name / ASSIGNMENT
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(released.glob("*.ipynb")):
        notebook = fill_in(nbformat.read(path, as_version=4), member)
        nbformat.write(notebook, folder / path.name)
    return folder


def build(released: Path, submitted: Path) -> None:
    """Writes the whole class into `submitted`, which is emptied first."""
    shutil.rmtree(submitted, ignore_errors=True)
    for member in MEMBERS:
        hand_in(member, released, submitted)
    (submitted / "no_notebooks" / ASSIGNMENT).mkdir(parents=True)
    (submitted / "no_notebooks" / ASSIGNMENT / "answers.txt").write_text("see my e-mail\n", encoding="utf-8")
    broken = hand_in(Member("broken_json", UNREADABLE["broken_json"]), released, submitted)
    first = sorted(broken.glob("*.ipynb"))[0]
    first.write_text(first.read_text(encoding="utf-8")[:2000], encoding="utf-8")
