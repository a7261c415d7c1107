"""`autograder check`: whether this machine grades rightly, before anybody is graded."""

from __future__ import annotations

from rich.console import Console
from traitlets.config.loader import PyFileConfigLoader

from autograder.course import folders
from autograder.course.environment import environment
from autograder.engine.grader.assets import pinned
from autograder.engine.grader.proof import MachineFault, prove
from autograder.engine.grader.sandbox import SandboxUnavailable
from autograder.engine.grader.verdicts import RunTwoProcesses
from pset4.files.assets import AssetError


def check_machine() -> int:
    """Says whether this machine grades rightly; returns the exit status."""
    console = Console()
    config = PyFileConfigLoader("nbgrader_config.py", path=str(folders.COURSE)).load_config()
    options = RunTwoProcesses(config=config).options()
    try:
        with environment(pinned()):
            prove(folders.SOURCE, config, options, say=lambda words: console.print(words, markup=False))
    except (SandboxUnavailable, MachineFault, AssetError) as reason:
        console.print(str(reason), markup=False, soft_wrap=True)
        return 1
    console.print("This machine grades rightly: the reference answers earn every point in the sandbox.")
    return 0
