"""The layers of problem 1 as the student wrote them, for problem 3 to run forwards."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pset4.figures.gradients import library_conv1d, library_maxpool1d
from pset4.traces import is_open, open_exercise

NOTEBOOK = Path("problem1_forward.ipynb")
Layer = Callable[[Tensor, Any], Tensor]

_SIGNAL = torch.tensor([2.0, -1.0, 3.0, 0.5, 1.0], dtype=torch.float64)
_KERNEL = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)


def layers_of_problem1(namespace: Mapping[str, Any], notebook: Path = NOTEBOOK) -> tuple[Layer, Layer]:
    """The student's `conv1d` and `maxpool1d` where they are right and can be differentiated, else the library's.

    One printed line for each says which it is, and why.

    Args:
        namespace: What the calling notebook defines: a function that was pasted there goes before all others.
        notebook: The saved notebook of problem 1.

    Returns:
        conv1d: (N,), (k,) -> (N,); maxpool1d: (N,), size -> (N - size + 1,).
    """
    return (
        _own_or_library("conv1d", "p1a_conv1d", library_conv1d, _KERNEL, namespace, notebook),
        _own_or_library("maxpool1d", "p1b_maxpool1d", library_maxpool1d, 2, namespace, notebook),
    )


def _own_or_library(
    name: str, exercise: str, library: Layer, argument: Any, namespace: Mapping[str, Any], notebook: Path
) -> Layer:
    own, source = namespace.get(name), "this notebook"
    reason = ""
    if own is None:
        source = notebook.name
        own, reason = _from_notebook(notebook, exercise, name)
    reason = reason or _why_not(own, library, argument)
    print(f"{name}: the library's, since {reason}" if reason else f"{name}: yours, from {source}")
    return library if reason else own


def _from_notebook(path: Path, exercise: str, name: str) -> tuple[Any, str]:
    """The function of an answer cell, or why there is none. What runs is the student's own, in their own kernel."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError, TypeError):
        return None, f"there is no saved {path.name} beside this notebook"
    answers = [c for c in cells if c.get("metadata", {}).get("nbgrader", {}).get("grade_id") == exercise]
    defined: dict[str, Any] = {"torch": torch, "F": functional, "nn": nn, "Tensor": Tensor}
    try:
        for cell in answers:
            exec(compile("".join(cell["source"]), f"{path.name}, {exercise}", "exec"), defined)
    except Exception as error:
        return None, f"the cell {exercise} of {path.name} stops with {type(error).__name__}: {error}"
    return defined.get(name), "" if name in defined else f"{path.name} does not define it in its cell {exercise}"


def _why_not(own: Any, library: Layer, argument: Any) -> str:
    """Why a function cannot stand for the library's here, or ""."""
    if is_open(own) or not callable(own):
        return "yours is no function yet"
    x = _SIGNAL.clone().requires_grad_()
    try:
        result = own(x, argument)
        with torch.no_grad():
            right = torch.allclose(result, library(_SIGNAL, argument))
    except Exception as error:
        return "yours is still open" if open_exercise(error) else f"yours stops with {type(error).__name__}: {error}"
    if not right:
        return "yours returns other values; its check in problem 1 says why"
    return (
        "" if result.requires_grad else "autograd cannot look through yours, which takes plain numbers out of tensors"
    )
