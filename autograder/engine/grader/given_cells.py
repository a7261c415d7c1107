"""What a student added to a given cell: Colab locks none, and imports and helpers are typed wherever the cursor stands.

Our text always runs. What the student put between our lines runs as a cell of its own, in the student's process, where
it does no harm; what cannot be kept is named, together with the names that it would have defined.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# Python's parser is made to exhaust stack and memory by deep or endless text; nothing larger than this reaches it.
MAX_TEXT = 20_000
MAX_LINES = 400
MAX_LINE = 1_000
MAX_DEPTH = 40

_HIDDEN = re.compile(r"^[^\n]*BEGIN HIDDEN TESTS[^\n]*\n.*?^[^\n]*END HIDDEN TESTS[^\n]*\n?", re.MULTILINE | re.DOTALL)
_MAGIC = re.compile(r"^(\s*)(?:[%!?].*|[\w.]+\?{1,2}|[\w, ]+=\s*[%!].*)$")
_NAME = re.compile(r"[^\W\d]\w*")
_DEFINITION = re.compile(r"^(?:async[ \t]+def|def|class)[ \t]+(\w+)", re.MULTILINE)
_ASSIGNMENT = re.compile(
    r"^([A-Za-z_]\w*(?:[ \t]*,[ \t]*[A-Za-z_]\w*)*)[ \t]*(?::[^=\n]{0,200})?(?:=(?!=)|[-+*/@]=)", re.MULTILINE
)
_IMPORT = re.compile(
    r"^(?:from[ \t]+[\w.]{1,200}[ \t]+)?import[ \t]+(?:\(([\w., \t\n]{1,2000})|([\w., \t]{1,1000}))", re.MULTILINE
)


@dataclass(frozen=True)
class Additions:
    """What is kept of a student's version of a given cell.

    Attributes:
        before: Cells to run in front of ours.
        after: Cells to run behind ours.
        changed: Whether lines of ours were changed or removed.
        lost: Names that the student's version would have defined, and that nothing defines now.
    """

    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    changed: bool = False
    lost: frozenset[str] = frozenset()

    @property
    def kept(self) -> bool:
        """Whether anything of the student's is run."""
        return bool(self.before or self.after)


def released_text(source: str) -> str:
    """The text of a test as students get it: without its hidden part."""
    return _HIDDEN.sub("", source)


def names_defined(source: str) -> frozenset[str]:
    """Names of the functions, classes and variables that a code cell defines at its top level, read line by line."""
    assigned = (name.strip() for names in _ASSIGNMENT.findall(source) for name in names.split(","))
    return frozenset(_DEFINITION.findall(source)) | frozenset(assigned)


def names_bound(source: str) -> frozenset[str]:
    """The same, and what it imports."""
    imported = (part.split() for listed in _IMPORT.findall(source) for part in "".join(listed).split(","))
    return names_defined(source) | {words[-1].split(".")[0] for words in imported if words}


def additions(ours: str, theirs: str, *, judges: bool) -> Additions:
    """Compares a given cell with what the student made of it.

    Args:
        ours: The text as it was released.
        theirs: The text that was handed in.
        judges: Whether it is a check or a test: what was added must be there before it judges.
    """
    mine, given = _lines(theirs), _lines(ours)
    taken = names_bound(ours)
    if max(len(mine), len(given)) > MAX_LINES or len(theirs) > MAX_TEXT:
        return Additions(changed=True, lost=names_bound(theirs) - taken)
    blocks, changed = _blocks(given, mine)
    found = [list(_harmless(block, taken) if changed else _whole(block)) for block in blocks]
    pieces = [piece for parts in found for piece in parts]
    changed |= any(not parts and _says(block) for block, parts in zip(blocks, found, strict=True))
    in_front = tuple(piece for piece in pieces if judges and not taken & set(_NAME.findall(piece)))
    behind = tuple(piece for piece in pieces if piece not in in_front)
    kept = names_bound("\n".join(pieces))
    return Additions(in_front, behind, changed, names_bound(theirs) - taken - kept)


def _lines(source: str) -> list[str]:
    return [line.rstrip() for line in source.strip("\n").split("\n")]


def _blocks(ours: Sequence[str], theirs: Sequence[str]) -> tuple[list[str], bool]:
    """The runs of lines that only the student's version has, and whether a line of ours is not there."""
    changed, blocks = False, []
    for kind, start, stop, first, last in difflib.SequenceMatcher(a=ours, b=theirs, autojunk=False).get_opcodes():
        if kind != "equal":
            changed |= any(line.strip() for line in ours[start:stop])
            below = next((line for line in theirs[last:] if line.strip()), "")
            # Lines in front of an indented one belong to its block: they mean nothing alone.
            if not below[:1].isspace():
                blocks.append("\n".join(theirs[first:last]).strip("\n"))
            elif any(line.strip() for line in theirs[first:last]):
                changed = True
    return [block for block in blocks if block.strip()], changed


def _says(text: str) -> bool:
    """Whether there is more in a text than comments and blanks."""
    return any(line.strip() and not line.lstrip().startswith(("#", "%%")) for line in text.split("\n"))


def _whole(block: str) -> Iterator[str]:
    """An added block as it stands, or what of it stands by itself."""
    text = "\n".join(line for line in block.split("\n") if not line.startswith("%%"))
    tree = _tree(text)
    if tree is None:
        yield from _harmless(block, frozenset())
    elif _says(text):
        yield from _segments(text, tree)


def _segments(text: str, tree: ast.Module) -> Iterator[str]:
    """The text, cut around its imports: a library that the grader lacks must not take the lines behind it along."""
    cuts, end, after_import = [0], 0, False
    for statement in tree.body:
        is_import = isinstance(statement, ast.Import | ast.ImportFrom)
        if end and (is_import or after_import) and _first_line(statement) > end:
            cuts.append(end)
        end, after_import = statement.end_lineno or 0, is_import
    lines = text.split("\n")
    for start, stop in zip(cuts, [*cuts[1:], len(lines)], strict=True):
        yield "\n".join(lines[start:stop]).strip("\n")


def _first_line(statement: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(decorator.lineno for decorator in decorators)])


def _harmless(block: str, taken: frozenset[str]) -> Iterator[str]:
    """The imports and definitions of a block that replace nothing of ours."""
    tree = _tree(block)
    for statement in tree.body if tree else ():
        if isinstance(statement, ast.Import | ast.ImportFrom):
            names = [alias for alias in statement.names if (alias.asname or alias.name).split(".")[0] not in taken]
            if names:
                statement.names = names
                yield ast.unparse(statement)
        elif (
            isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and statement.name not in taken
        ):
            yield "\n".join(block.split("\n")[_first_line(statement) - 1 : statement.end_lineno])


def _tree(text: str) -> ast.Module | None:
    """Python's own reading of a short and shallow text, in which magics count as nothing; None if it is no Python."""
    lines = text.split("\n")
    if len(text) > MAX_TEXT or any(len(line) > MAX_LINE for line in lines) or _deep(text):
        return None
    plain = "\n".join(_MAGIC.sub(r"\1pass", line) for line in lines)
    try:
        return ast.parse(plain)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _deep(text: str) -> bool:
    """Whether brackets or indents are nested deeper than anybody writes."""
    depth = deepest = 0
    for sign in text:
        depth = max(0, depth + (sign in "([{") - (sign in ")]}"))
        deepest = max(deepest, depth)
    indents = max((len(line) - len(line.lstrip()) for line in text.split("\n")), default=0)
    return deepest > MAX_DEPTH or indents > 4 * MAX_DEPTH
