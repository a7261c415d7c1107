"""What is missing, open or out of order in the notebooks, in one line each. It refuses nothing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from pset4.submission.exercises import EXERCISES, Exercise
from pset4.submission.notebooks import Cell, Notebook, error_of, label

WRITTEN_STUB = "*Your answer here.*"
_MAGIC = re.compile(r"^(\s*)[%!].*$", re.MULTILINE)


def remarks(notebook: Notebook) -> list[str]:
    """What a student should look at before handing this notebook in, apart from open exercises."""
    if notebook.problem:
        return [f"it cannot be read: {notebook.problem}. Open it, save it again, or start from a fresh copy."]
    if not notebook.cells:
        return ["it is empty"]
    return [*_missing_cells(notebook), *_order(notebook.cells), *_errors(notebook.cells)]


def _missing_cells(notebook: Notebook) -> Iterator[str]:
    expected = [name for exercise in EXERCISES if exercise.notebook == notebook.name for name in exercise.cells]
    present = {cell.name for cell in notebook.cells}
    missing = [name for name in expected if name not in present]
    if missing == expected:
        yield "none of its cells has the course's marks: copy your answers into the notebook that the course gave you"
    elif missing:
        yield f"{_cells(len(missing))} of the course {'is' if len(missing) == 1 else 'are'} gone: {', '.join(missing)}"


def _order(cells: Sequence[Cell]) -> Iterator[str]:
    again = "restart the kernel, run all cells, and save"
    places = [place for place, cell in enumerate(cells) if _does_something(cell)]
    left = [place for place in places if cells[place].count is None]
    if places and left == places:
        yield f"it was never run: {again}"
    elif left:
        first = f"{'the cell' if len(left) == 1 else 'the first of them'} is {label(cells, left[0])}"
        yield f"{_cells(len(left))} {'was' if len(left) == 1 else 'were'} not run ({first}): {again}"
    counts = [count for place in places if (count := cells[place].count) is not None]
    if any(later <= earlier for earlier, later in pairwise(counts)):
        yield f"its cells were not run from top to bottom: {again}"


def _does_something(cell: Cell) -> bool:
    """Whether running a cell matters; the one that hands in is running while this is asked."""
    lines = [line.strip() for line in cell.source.splitlines()]
    return (
        cell.kind == "code"
        and any(line and not line.startswith("#") for line in lines)
        and "handin(" not in cell.source
    )


def _errors(cells: Sequence[Cell]) -> Iterator[str]:
    failed = [(place, error) for place, cell in enumerate(cells) if (error := error_of(cell))]
    if failed:
        place, error = failed[0]
        number = "one cell ends" if len(failed) == 1 else f"{len(failed)} cells end"
        yield f"{number} in an error; {'it' if len(failed) == 1 else 'the first'} is {label(cells, place)}: {error}"


def _cells(number: int) -> str:
    return "one cell" if number == 1 else f"{number} cells"


def still_open(exercise: Exercise, notebook: Notebook | None) -> str:
    """Why an exercise counts as open, as the end of a sentence, or "" for one that is answered."""
    if notebook is None:
        return "its notebook is missing"
    if notebook.problem:
        return "its notebook cannot be read"
    cell = notebook.cell(exercise.id)
    if cell is None:
        return "its answer cell is gone"
    if not exercise.names:
        return "" if written_answer(cell) else "not answered yet"
    return _open_code(cell, exercise.names, [other.source for other in notebook.cells if other.kind == "code"])


def written_answer(cell: Cell) -> str:
    """What a student wrote, without the line that stood there before."""
    return cell.source.replace(WRITTEN_STUB, "").strip()


def _open_code(cell: Cell, names: Sequence[str], sources: Sequence[str]) -> str:
    try:
        tree = syntax(cell.source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        at = f" in line {error.lineno}" if isinstance(error, SyntaxError) else ""
        return f"Python cannot read its cell: a syntax error{at}"
    if any(_raises_not_implemented(statement) for statement in tree.body):
        return "its cell still raises NotImplementedError"
    reasons = [reason for name in names if (reason := _open_name(name, tree, sources))]
    return ", and ".join(reasons)


def _open_name(name: str, tree: ast.Module, sources: Sequence[str]) -> str:
    found = [value for bound, value in definitions(tree) if bound == name]
    if not found:
        elsewhere = any(_defines(source, name) for source in sources if name in source)
        return "" if elsewhere else f"`{name}` is defined nowhere"
    value = found[-1]
    if isinstance(value, ast.FunctionDef | ast.AsyncFunctionDef) and all(map(_is_filler, value.body)):
        return f"`{name}` is as the course gave it"
    return f"`{name}` is still `...`" if _has_ellipsis(value) else ""


def _defines(source: str, name: str) -> bool:
    try:
        return any(bound == name for bound, _ in definitions(syntax(source)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def syntax(source: str) -> ast.Module:
    """The syntax tree of a cell; IPython's magics are left out.

    Raises:
        SyntaxError: If it is no Python.
    """
    try:
        return ast.parse(source)
    except SyntaxError:
        return ast.parse(_MAGIC.sub(r"\1pass", source))


def definitions(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Every name that a cell binds for others, with what it is bound to; names inside of functions are not seen."""
    waiting: list[ast.AST] = list(reversed(tree.body))
    while waiting:
        statement = waiting.pop()
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield statement.name, statement
            continue
        if isinstance(statement, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name.split(".")[0], statement) for alias in statement.names)
            continue
        value = getattr(statement, "value", None) or statement
        if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            yield from ((node.id, value) for t in targets for node in ast.walk(t) if isinstance(node, ast.Name))
            continue
        if isinstance(statement, ast.For | ast.AsyncFor):
            yield from ((node.id, statement) for node in ast.walk(statement.target) if isinstance(node, ast.Name))
        waiting += [
            c for c in reversed(list(ast.iter_child_nodes(statement))) if isinstance(c, ast.stmt | ast.ExceptHandler)
        ]


def _raises_not_implemented(statement: ast.AST) -> bool:
    if not isinstance(statement, ast.Raise) or statement.exc is None:
        return False
    return any(isinstance(node, ast.Name) and node.id == "NotImplementedError" for node in ast.walk(statement.exc))


def _is_filler(statement: ast.stmt) -> bool:
    is_constant = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return is_constant or isinstance(statement, ast.Pass) or _raises_not_implemented(statement)


def _has_ellipsis(value: ast.AST) -> bool:
    """Whether a value is `...`, or a collection with such an entry."""
    entries: list[ast.AST | None] = [value]
    if isinstance(value, ast.List | ast.Tuple):
        entries += value.elts
    if isinstance(value, ast.Dict):
        entries += value.values
    return any(isinstance(entry, ast.Constant) and entry.value is Ellipsis for entry in entries)
