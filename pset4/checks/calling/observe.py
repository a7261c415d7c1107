"""Observes banned calls where they happen: convolution, correlation, pooling, and differentiation by machine.

Three observers see a call whatever name the student's code gives it (an alias, `getattr`, `torch.ops`, a layer):

- torch's function mode sees each torch function, with the name that the student knows;
- torch's dispatch mode sees the operator that does the work, also from compiled or scripted code;
- Python's profile hook sees NumPy's and SciPy's functions, and autograd's engine, at the moment when they are entered.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from types import FrameType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._python_dispatch import TorchDispatchMode

_LIBRARY_OPERATOR = re.compile(r"conv(?!ert)|pool", re.IGNORECASE)

# Python functions, by the module in whose globals they run, and the name that students know.
_PYTHON_FUNCTIONS: dict[str, tuple[str, frozenset[str]]] = {
    "torch.autograd": ("torch.autograd", frozenset({"backward", "grad"})),
    "torch._tensor": ("torch.Tensor", frozenset({"backward"})),
    "torch.autograd.functional": (
        "torch.autograd.functional",
        frozenset({"vjp", "jvp", "jacobian", "hessian", "vhp", "hvp"}),
    ),
    "torch.autograd.forward_ad": ("torch.autograd.forward_ad", frozenset({"make_dual"})),
    **dict.fromkeys(
        ("torch._functorch.apis", "torch._functorch.eager_transforms"),
        ("torch.func", frozenset({"grad", "grad_and_value", "vjp", "jvp", "jacrev", "jacfwd", "hessian", "linearize"})),
    ),
    **dict.fromkeys(("numpy._core.numeric", "numpy.core.numeric"), ("numpy", frozenset({"convolve", "correlate"}))),
    **dict.fromkeys(("numpy.lib._polynomial_impl", "numpy.lib.polynomial"), ("numpy", frozenset({"polymul"}))),
}
_C_FUNCTIONS = {
    "run_backward": "torch.autograd",
    "_make_dual": "torch.autograd.forward_ad.make_dual",
    "correlate": "numpy.correlate",
    "correlate2": "numpy.correlate",
}
_BANNED_PACKAGES = ("scipy.signal", "scipy.ndimage")


class Watch:
    """Names of the banned calls that were seen.

    What a banned call itself calls is not noted: the outermost name is the one that the student wrote.
    """

    def __init__(self) -> None:
        self._names: dict[str, None] = {}
        self._inside: object = None

    @property
    def names(self) -> tuple[str, ...]:
        """In the order in which they were seen first."""
        return tuple(self._names)

    def note(self, name: str) -> None:
        """Keeps a name, once, unless a banned call is running already."""
        if self._inside is None:
            self._names[name] = None

    def enter(self, name: str, token: object) -> None:
        """Notes a name; calls until `leave(token)` are the library's own."""
        if self._inside is None:
            self._names[name] = None
            self._inside = token

    def leave(self, token: object) -> None:
        """Ends what `enter` began."""
        if self._inside is token:
            self._inside = None


@contextmanager
def banned_calls(*, enabled: bool = True, thorough: bool = True) -> Iterator[Watch]:
    """Watches the block for library convolution, correlation, pooling, and differentiation by machine.

    Args:
        enabled: Without it nothing is watched.
        thorough: Also use the dispatch mode, whose first use in a process takes a second of imports.

    Example:
        >>> with banned_calls(thorough=False) as watch:
        ...     _ = torch.conv1d(torch.ones(1, 1, 3), torch.ones(1, 1, 1))
        >>> watch.names
        ('torch.nn.functional.conv1d',)
    """
    watch = Watch()
    with ExitStack() as stack:
        if enabled:
            if thorough:
                _warm_up()
                stack.enter_context(_OperatorObserver(watch))
            stack.enter_context(_FunctionObserver(watch))
            stack.enter_context(_profile_hook(_entries(watch)))
        yield watch


class _FunctionObserver(TorchFunctionMode):
    """Sees torch's public functions and methods."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = _torch_name(func)
        if not name:
            return func(*args, **(kwargs or {}))
        self._watch.enter(name, func)
        try:
            return func(*args, **(kwargs or {}))
        finally:
            self._watch.leave(func)


class _OperatorObserver(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees the operators that do the work."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._watch = watch

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = str(func)
        if _is_library_operator(name):
            self._watch.note(f"torch.ops.{name}")
        return func(*args, **(kwargs or {}))


def _torch_name(function: Any) -> str:
    """The public name of a banned torch function, or "" for one that is allowed."""
    short = getattr(function, "__name__", "")
    module = getattr(function, "__module__", None) or ""
    if short in {"grad", "backward"} and module in {"torch.autograd", "torch._tensor"}:
        return f"torch.Tensor.{short}" if module == "torch._tensor" else f"{module}.{short}"
    if not _is_library_operator(str(short)):
        return ""
    return resolve_name(function) or f"torch.{short}"


@cache
def _is_library_operator(name: str) -> bool:
    return _LIBRARY_OPERATOR.search(name) is not None


def _entries(watch: Watch) -> Callable[[FrameType, str, Any], None]:
    """A profile function that notes banned Python and C functions when they are entered."""

    def hook(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            name = _python_name(frame)
            if name and not _importing(frame):
                watch.enter(name, frame)
        elif event == "return":
            watch.leave(frame)
        elif event == "c_call":
            name = _c_name(argument)
            if name and not _importing(frame):
                watch.note(name)

    return hook


def _python_name(frame: FrameType) -> str:
    module = frame.f_globals.get("__name__")
    if not isinstance(module, str):
        return ""
    function = frame.f_code.co_name
    if module in _PYTHON_FUNCTIONS:
        public, functions = _PYTHON_FUNCTIONS[module]
        return f"{public}.{function}" if function in functions else ""
    if module.startswith(_BANNED_PACKAGES) and not function.startswith("<"):
        return f"{'.'.join(module.split('.')[:2])}.{function}"
    return ""


def _c_name(function: Any) -> str:
    short = getattr(function, "__name__", "")
    module = getattr(function, "__module__", None) or ""
    if short in _C_FUNCTIONS and (module.startswith("numpy") or not short.startswith("correlate")):
        return _C_FUNCTIONS[short]
    if module.startswith("torch") and _is_library_operator(short):
        # The function mode will see it too: both must find the same name.
        return resolve_name(function) or f"torch.{short}"
    if module.startswith(_BANNED_PACKAGES):
        return f"{'.'.join(module.split('.')[:2])}.{short}"
    return ""


def _importing(frame: FrameType | None) -> bool:
    """Whether a banned package is just being imported: its modules call their own functions then."""
    while frame is not None:
        if frame.f_code.co_name == "<module>" and str(frame.f_globals.get("__name__")).startswith(
            ("scipy", "numpy", "torch")
        ):
            return True
        frame = frame.f_back
    return False


@contextmanager
def _profile_hook(hook: Callable[[FrameType, str, Any], None]) -> Iterator[None]:
    """Installs a profile function for this thread and for those that start inside the block."""
    before, before_threads = sys.getprofile(), threading.getprofile()
    threading.setprofile(hook)
    sys.setprofile(hook)
    try:
        yield
    finally:
        sys.setprofile(before)
        threading.setprofile(before_threads)


@cache
def _warm_up() -> None:
    """Does the dispatch mode's imports now, so that the profile hook does not have to watch them."""
    with _OperatorObserver(Watch()):
        torch.ones(1).add(1)
