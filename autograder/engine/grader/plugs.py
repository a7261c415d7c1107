"""What nbgrader's configuration plugs in, so that its own commands grade with the engine.

`use_two_processes(c)`, one line in `nbgrader_config.py`, sets the converter, the exporter and the preprocessors of
`nbgrader autograde`. nbgrader keeps its database, files, rules and commands. What changes: it never sees a submitted
file, only a staged copy (`converter`); it never reads a submitted notebook with its own tools (`RebuiltNotebooks`), and
never executes one (`RunTwoProcesses` replaces `Execute`).
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import nbformat
import nbgrader.apps.api
import nbgrader.apps.autogradeapp
from nbconvert.exporters import NotebookExporter
from nbconvert.preprocessors import CSSHTMLHeaderPreprocessor
from nbgrader.preprocessors import (
    AssignLatePenalties,
    CheckCellMetadata,
    OverwriteCells,
    OverwriteKernelspec,
)
from traitlets.config import Config

from autograder.engine.grader import feedback, formgrader, pages
from autograder.engine.grader.converter import SandboxedAutograde
from autograder.engine.grader.run import GradingJob
from autograder.engine.grader.verdicts import RunTwoProcesses, SaveVerdicts

Resources = dict[str, Any]


def use_two_processes(c: Config) -> None:
    """Lets nbgrader grade with the engine; call it in `nbgrader_config.py`.

    Args:
        c: nbgrader's configuration.
    """
    c.Autograde.exporter_class = RebuiltNotebooks
    c.Autograde.sanitize_preprocessors = [OverwriteKernelspec, OverwriteCells, CheckCellMetadata]
    c.Autograde.autograde_preprocessors = [RunTwoProcesses, SaveVerdicts, AssignLatePenalties, CheckCellMetadata]
    # nbgrader has no setting for the converter; its command and Formgrader's button find it under these names.
    for module in (nbgrader.apps.autogradeapp, nbgrader.apps.api):
        module.Autograde = SandboxedAutograde


def use_safe_pages(c: Config) -> None:
    """Lets feedback pages and Formgrader show strangers' words without running them; in both ways of grading.

    Args:
        c: nbgrader's configuration.
    """
    # Stock nbgrader prints the hidden tests to the students, and 0 for what has no score.
    c.GenerateFeedback.preprocessors = [feedback.HideTests, feedback.ShowGrades, CSSHTMLHeaderPreprocessor]
    feedback.install()
    pages.use_safe_pages(c)
    formgrader.install()


class RebuiltNotebooks(NotebookExporter):  # type: ignore[misc]
    """Reads submissions for `nbgrader autograde`: every one is a notebook of the course's form, graded already."""

    def from_filename(self, filename: str, resources: Any = None, **options: Any) -> tuple[Any, Any]:
        """The rebuilt notebook; or what the first round made of it, read again for the second round."""
        if not self.parent._sanitizing:
            return super().from_filename(filename, resources=resources, **options)  # type: ignore[no-any-return]
        job: GradingJob = self.parent.jobs[resources["nbgrader"]["notebook"]]
        resources["metadata"] = {
            "name": job.key.notebook,
            "path": str(Path(filename).parent),
            "modified_date": datetime.date.today().isoformat(),
        }
        return self.from_notebook_node(nbformat.from_dict(job.notebook), resources, **options)  # type: ignore[no-any-return]
