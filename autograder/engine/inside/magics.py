"""IPython's shell as a notebook knows it, without a frontend: what a student's own Jupyter runs does not stop here.

There are no windows, no network and no conda, and not every extension is installed. A line that asks for one of these
says so and leaves the rest of its cell alone, since answers stand in the same cell.
"""

from __future__ import annotations

import ast
import os
from pathlib import Path
from typing import Any

import matplotlib
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.profiledir import ProfileDir
from IPython.core.pylabtools import activate_matplotlib
from IPython.paths import get_ipython_dir
from matplotlib import pyplot
from matplotlib_inline.backend_inline import configure_inline_support
from matplotlib_inline.config import InlineBackend

INLINE = "module://matplotlib_inline.backend_inline"
# Backends that draw into files; all others need a window or a frontend.
FILE_BACKENDS = ("agg", "cairo", "pdf", "pgf", "ps", "svg", "template", "inline", INLINE)
INSTALLERS = ("conda", "mamba", "micromamba", "uv")


class HeadlessShell(InteractiveShell):  # type: ignore[misc]
    """IPython without a frontend, whose folders are those of the home that it has at the moment."""

    @property
    def ipython_dir(self) -> str:
        """IPython's folder; looked up when it is used, since the shell moves into a submission's home."""
        return str(get_ipython_dir())

    @property
    def profile_dir(self) -> Any:
        """The profile's folder, made when it is used."""
        return ProfileDir.create_profile_dir_by_name(self.ipython_dir, "default")

    def init_ipython_dir(self, ipython_dir: Any) -> None:
        """Does nothing: see `ipython_dir`."""

    def init_profile_dir(self, profile_dir: Any) -> None:
        """Does nothing: see `profile_dir`."""

    def enable_gui(self, gui: Any = None) -> None:
        """Does nothing: there are no windows."""

    def enable_matplotlib(self, gui: Any = None) -> tuple[str, str]:
        """Keeps figures below their cells, whatever `%matplotlib` asks for."""
        if gui not in (None, "inline", "auto", "agg"):
            print(f"[%matplotlib {gui} needs a window or a frontend; while grading, figures stay inline]")
        show_figures(self)
        return "inline", INLINE

    def run_line_magic(self, magic_name: str, line: str, _stack_depth: int = 1) -> Any:
        """Passes over a magic that is not here."""
        if magic_name in INSTALLERS or self.find_line_magic(magic_name) is None:
            print(f"[%{magic_name} is not available while grading and was passed over]")
            return None
        if magic_name in ("load_ext", "reload_ext"):
            return self._load_extension(magic_name, line)
        return super().run_line_magic(magic_name, line, _stack_depth + 1)

    def _load_extension(self, magic_name: str, line: str) -> Any:
        try:
            return super().run_line_magic(magic_name, line)
        except ImportError as error:
            print(f"[%{magic_name} {line} was passed over while grading: {error}]")
            return None

    def run_cell_magic(self, magic_name: str, line: str, cell: str) -> Any:
        """Runs what stands below a magic that is not here, if it is Python."""
        if self.find_cell_magic(magic_name) is not None:
            return super().run_cell_magic(magic_name, line, cell)
        if not _is_python(self.transform_cell(cell)):
            print(f"[%%{magic_name} is not available while grading; its cell was passed over]")
            return None
        print(f"[%%{magic_name} is not available while grading; its cell was run without it]")
        self.run_cell(cell).raise_error()
        return None

    def ask_exit(self) -> None:
        """Does nothing: a notebook ends after its last cell."""

    def raw_input(self, prompt: str = "", stream: Any = None) -> str:
        """Refuses, as nbgrader does; it stands for `input` and for `getpass.getpass`."""
        raise RuntimeError("input() is not available while grading: nobody is there to answer")


def _is_python(source: str) -> bool:
    try:
        ast.parse(source)
    except (SyntaxError, ValueError):
        return False
    return True


def show_figures(shell: InteractiveShell) -> None:
    """Shows matplotlib's figures below their cells, with and without `%matplotlib inline`."""
    InlineBackend.instance(parent=shell)
    activate_matplotlib(INLINE)
    configure_inline_support(shell, INLINE)  # type: ignore[no-untyped-call]


def stay_inline() -> None:
    """Lets `matplotlib.use` and `pyplot.switch_backend` pass over backends that need a window or a frontend."""
    switch = pyplot.switch_backend

    def switch_to_files_only(newbackend: str) -> None:
        if str(newbackend).lower() in FILE_BACKENDS:
            switch(newbackend)

    pyplot.switch_backend = switch_to_files_only


def settle_libraries() -> None:
    """Points what was loaded in the warm process to this process's home folder."""
    matplotlib.get_configdir = matplotlib.get_cachedir = _matplotlib_folder


def _matplotlib_folder() -> str:
    folder = Path(os.environ.get("HOME", "/"), ".config", "matplotlib")
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder)
