"""The notebooks: there, readable, of this release, and no file beside them that hides a package."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pset4.commands.probes import NOTE, Line, first_line, install_course, pip_install
from pset4.settings import PACKAGE, load_settings

NOTEBOOKS = ("problem1_forward", "problem2_classification", "problem3_backward", "problem4_adversarial")
IMPORTED = ("torch", "torchvision", "numpy", "matplotlib", "ipywidgets")


def folder() -> Path:
    """Where the notebooks are: here, or below here in `notebooks`."""
    below = Path("notebooks")
    return below.absolute() if list(below.glob("problem*.ipynb")) else Path.cwd()


def there() -> Iterator[Line]:
    """Each notebook of the course: missing, damaged, too new, or made for another release of the package."""
    paths = [folder() / f"{name}.ipynb" for name in NOTEBOOKS]
    if not any(path.is_file() for path in paths):
        remedy = f"cd <the folder with {NOTEBOOKS[0]}.ipynb>, and pset4 doctor again"
        yield Line(f"no notebook of the course in {folder()}", remedy, NOTE)
        return
    yield Line(f"notebooks: {folder()}")
    for path in paths:
        if not path.is_file():
            settings = load_settings()
            address = f"https://raw.githubusercontent.com/{settings.repository}/{settings.branch}/notebooks/{path.name}"
            yield Line(f"{path.name} is missing", f'curl -L -o "{path}" {address}')
        else:
            yield from _one(path)


def _one(path: Path) -> Iterator[Line]:
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        version = (notebook["nbformat"], notebook["nbformat_minor"])
        sources = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError) as error:
        text = f"{path.name} cannot be read as a notebook ({first_line(error)})"
        yield Line(text, "click: File, Revert Notebook to Checkpoint")
        return
    if version > _newest_format():
        text = (
            f"{path.name} was saved in the notebook format {version[0]}.{version[1]}, which is too new for this Jupyter"
        )
        yield Line(text, pip_install("--upgrade jupyterlab nbformat"))
    if lost := sorted({name for source in sources for name in _not_in_package(source)}):
        text = f"{path.name} is of another release than the package, which has no {', '.join(lost)}"
        yield Line(text, install_course())


def _newest_format() -> tuple[int, int]:
    """What the Jupyter of this environment reads."""
    if not find_spec("nbformat"):
        return (4, 5)
    import nbformat

    return nbformat.current_nbformat, nbformat.current_nbformat_minor


def _not_in_package(source: str) -> Iterator[str]:
    """Names that a cell imports from pset4 and that are not there."""
    try:
        tree = ast.parse("\n".join(line for line in source.splitlines() if not line.lstrip().startswith(("%", "!"))))
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "pset4":
            yield from (
                f"{node.module}.{alias.name}" for alias in node.names if not _is_there(str(node.module), alias.name)
            )


def _is_there(module: str, name: str) -> bool:
    try:
        found: Any = import_module(module)
        return hasattr(found, name) or bool(import_module(f"{module}.{name}"))
    except ModuleNotFoundError as error:
        return not (error.name or "").startswith("pset4")


def hidden() -> Iterator[Line]:
    """A file or folder beside the notebooks that Python would import instead of the installed package."""
    here = folder()
    for name in ("pset4", *IMPORTED):
        found = PathFinder.find_spec(name, [str(here)])
        origin = Path(found.origin) if found and found.origin else None
        if origin is None or origin.parent == PACKAGE:
            continue
        path = origin.parent if origin.name == "__init__.py" else origin
        yield Line(f"{path} hides the installed package {name}", f'mv "{path}" "{path.with_name("old_" + path.name)}"')
