"""Mutation operators over a syntax tree: each makes one small change that a tired programmer could make."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

COMPARISONS = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq, ast.GtE),
    ast.NotEq: (ast.Eq,),
}
ARITHMETIC = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div, ast.Add),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Mult, ast.Mod),
    ast.Mod: (ast.FloorDiv,),
    ast.MatMult: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
}
METHODS = {"amax": "amin", "argmax": "argmin", "index_add": "index_copy", "new_zeros": "new_ones", "zeros": "ones"}
# A call of one of these with its receiver alone is what is left when the call is forgotten.
FORGETTABLE = {"flip", "clamp", "contiguous", "clone"}


@dataclass(frozen=True)
class Mutant:
    """One change.

    Attributes:
        what: Line and change, such as "4: `k // 2` -> `k * 2`".
        source: The whole changed source.
    """

    what: str
    source: str


def mutants(source: str) -> Iterator[Mutant]:
    """All mutants of a source, without those that come out the same twice."""
    tree = ast.parse(source)
    seen = {ast.unparse(tree)}
    # Nodes have no identity across copies, so each change is made at an index of the walk.
    for index, node in enumerate(ast.walk(tree)):
        for change in changes(node):
            mutated = copy.deepcopy(tree)
            target = next(n for i, n in enumerate(ast.walk(mutated)) if i == index)
            replacement = change(target)
            if replacement is not target:
                mutated = Replace(target, replacement).visit(mutated)
            text = ast.unparse(ast.fix_missing_locations(mutated))
            if text not in seen:
                seen.add(text)
                yield Mutant(describe(node, replacement), text)


class Replace(ast.NodeTransformer):
    """Puts one node in another's place."""

    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self.new if node is self.old else super().visit(node)


def describe(node: ast.AST, replacement: ast.AST) -> str:
    before, after = ast.unparse(node).split("\n")[0], ast.unparse(ast.fix_missing_locations(replacement)).split("\n")[0]
    return f"{getattr(node, 'lineno', 0)}: `{before}` -> `{after}`"


def changes(node: ast.AST) -> Iterator:
    """Functions that change (a copy of) the node, in place or by returning another."""
    match node:
        case ast.Compare():
            for place, operator in enumerate(node.ops):
                for other in COMPARISONS.get(type(operator), ()):
                    yield lambda n, place=place, other=other: set_item(n, "ops", place, other())
        case ast.BinOp():
            for other in ARITHMETIC.get(type(node.op), ()):
                yield lambda n, other=other: set_field(n, "op", other())
            yield lambda n: n.left
            yield lambda n: n.right
        case ast.AugAssign():
            yield lambda n: ast.Assign([n.target], n.value)
            for other in ARITHMETIC.get(type(node.op), ()):
                yield lambda n, other=other: set_field(n, "op", other())
        case ast.UnaryOp(op=ast.USub() | ast.Not()):
            yield lambda n: n.operand
        case ast.BoolOp():
            other = ast.Or if isinstance(node.op, ast.And) else ast.And
            yield lambda n: set_field(n, "op", other())
            for value in range(len(node.values)):
                yield lambda n, value=value: n.values[value]
        case ast.Constant(value=bool()):
            yield lambda n: ast.Constant(not n.value)
        case ast.Constant(value=int() | float()):
            yield lambda n: ast.Constant(n.value + 1)
            yield lambda n: ast.Constant(n.value - 1)
        case ast.If():
            yield lambda n: set_field(n, "test", ast.Constant(True))
            yield lambda n: set_field(n, "test", ast.Constant(False))
        case ast.Return(value=ast.expr()):
            yield lambda n: set_field(n, "value", None)
        case ast.Attribute():
            if node.attr in METHODS:
                yield lambda n: set_field(n, "attr", METHODS[n.attr])
            if node.attr == "T":
                yield lambda n: n.value
        case ast.Call():
            if isinstance(node.func, ast.Attribute) and node.func.attr in FORGETTABLE:
                yield lambda n: n.func.value
            if len(node.args) >= 2:
                yield lambda n: set_field(n, "args", [n.args[1], n.args[0], *n.args[2:]])
            for place in range(len(node.args)):
                yield lambda n, place=place: set_field(n, "args", n.args[:place] + n.args[place + 1 :])
            for place in range(len(node.keywords)):
                yield lambda n, place=place: set_field(n, "keywords", n.keywords[:place] + n.keywords[place + 1 :])
        case ast.Assign() | ast.Expr() | ast.Raise():
            yield lambda n: ast.Pass()
        case ast.Subscript(slice=ast.Slice()):
            yield lambda n: n.value
        case ast.FunctionDef():
            names = [argument.arg for argument in node.args.args]
            if len(names) >= 2:
                yield lambda n: swap_names(n, names[0], names[1])


def set_field(node: ast.AST, field: str, value: object) -> ast.AST:
    setattr(node, field, value)
    return node


def set_item(node: ast.AST, field: str, place: int, value: object) -> ast.AST:
    getattr(node, field)[place] = value
    return node


def swap_names(function: ast.FunctionDef, first: str, second: str) -> ast.AST:
    """Uses each of two arguments where the other belongs."""
    swap = {first: second, second: first}
    for node in ast.walk(ast.Module(function.body, [])):
        if isinstance(node, ast.Name):
            node.id = swap.get(node.id, node.id)
    return function
