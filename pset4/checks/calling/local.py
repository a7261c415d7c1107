"""A submission whose functions are called in this process, as visible checks and stock nbgrader do it."""

from __future__ import annotations

import contextlib
import os
import random
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pset4.checks.calling import specs
from pset4.checks.calling.observe import banned_calls
from pset4.checks.calling.outcome import USUAL_CALL, CallOptions, Opaque, Outcome
from pset4.checks.calling.time_limit import OutOfTime, time_limit
from pset4.checks.calling.torch_state import TorchState
from pset4.traces import is_open, last_line

MAX_MESSAGE = 500
MAX_ENTRIES = 50_000_000
# Of a list, counting those of the lists in it.
MAX_ITEMS = 10_000
MAX_DEPTH = 4
# Of a NumPy array: a photo has 150,528.
MAX_ARRAY = 1_000_000
SEED = 4


class LocalStudent:
    """Calls functions of a namespace and hands back data; use it as a context manager, or call `close`."""

    def __init__(self, namespace: dict[str, Any], *, quiet: bool = True) -> None:
        """Notes the student's torch switches, which hold during the student's calls only.

        Args:
            namespace: What the notebook defines.
            quiet: Whether what the student prints is dropped, warnings too: nbgrader gives 0 for anything on stderr.
        """
        self._namespace, self._quiet = namespace, quiet
        self._torch = TorchState.now()

    def __enter__(self) -> LocalStudent:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives the student's torch switches back to the notebook."""
        self._torch.apply()

    def call(self, function: str, arguments: Sequence[Any], options: CallOptions = USUAL_CALL) -> Outcome:
        """Calls the student's function of that name on clones of the arguments; never raises."""
        target = self._namespace.get(function)
        if target is None:
            return Outcome(error="MissingName", message=f"the notebook does not define `{function}`")
        given = [_private(argument, options.device) for argument in arguments]
        value, error, message, line, banned = self._attempt(target, given, options)
        steps = [a for a in given if isinstance(a, specs.RecordingStep)]
        return Outcome(
            value=as_data(value),
            error=error,
            message=message,
            arguments_after=tuple(a if isinstance(a, Tensor) else None for a in given),
            banned=banned,
            steps=sum(step.calls for step in steps),
            first_direction=steps[0].first_direction if steps else None,
            same_direction=any(step.same_direction for step in steps),
            line=line,
            requires_grad=isinstance(value, Tensor) and bool(value.requires_grad),
            same_object=any(_shares_memory(value, a) for a in given),
        )

    def value(self, name: str) -> Outcome:
        """The student's variable of that name, as data."""
        if name not in self._namespace or self._namespace[name] is ...:  # the `...` that the notebook came with
            return Outcome(error="MissingName", message=f"the notebook does not define `{name}`")
        value = self._namespace[name]
        if is_open(value):
            return Outcome(error="MissingName", message=f"the notebook does not set `{name}`")
        grad = isinstance(value, Tensor) and bool(value.requires_grad)
        return Outcome(value=as_data(value), requires_grad=grad)

    def _attempt(
        self, target: Any, given: list[Any], options: CallOptions
    ) -> tuple[Any, str, str, str, tuple[str, ...]]:
        outside = TorchState.now()
        value, error, message, line = None, "", "", ""
        quiet = silence() if self._quiet else contextlib.nullcontext()
        watching = banned_calls(enabled=options.from_scratch, thorough=options.thorough)
        with quiet, fresh_randomness(), watching as watch:
            try:
                self._torch.apply()
                with time_limit(options.seconds):
                    value = target(*given)
            except OutOfTime:
                error, message = "Timeout", f"the call took longer than {options.seconds:g} s"
            except BaseException as raised:
                error, message, line = type(raised).__name__, _message(raised), _line_of(raised, target)
            finally:
                outside.apply()
        return value, error, message, line, watch.names


def as_data(value: Any) -> Any:
    """The value if it is plain data (tensors, numbers, strings, None, lists and tuples of them), else an `Opaque`.

    NumPy's numbers count as Python's, and tuples with named fields as tuples.
    """
    return _as_data(value, depth=0, room=iter(range(MAX_ITEMS)))


def _as_data(value: Any, depth: int, room: Iterator[int]) -> Any:
    if value is None or _is_exactly(value, bool, int, float, str):
        return value
    if isinstance(value, Tensor):
        return _plain_tensor(value)
    if type(value).__module__ == "numpy" and isinstance(value, np.generic):
        return _as_data(value.item(), depth, room)
    if _is_exactly(value, list, tuple) or _has_named_fields(value):
        items = _items(value, depth, room)
        if items is not None:
            return items if type(value) is list else tuple(items)
    return Opaque(type(value).__name__[:60], _content(value, depth, room))


def _items(value: Any, depth: int, room: Iterator[int]) -> list[Any] | None:
    """The items of a list or tuple as data, if there are not too many."""
    kind = list if isinstance(value, list) else tuple
    if depth >= MAX_DEPTH:
        return None
    # Not by the value's own methods, which a subclass may have replaced.
    items = [_as_data(item, depth + 1, room) for item, _ in zip(kind.__iter__(value), room, strict=False)]
    return items if len(items) == kind.__len__(value) else None


def _content(value: Any, depth: int, room: Iterator[int]) -> Any:
    """What is in an object that no exercise asks for."""
    if type(value) is np.ndarray and value.dtype.kind in "biuf" and value.size <= MAX_ARRAY:
        return torch.from_numpy(value.astype(np.float64))
    if type(value).__module__ == "torch.return_types" and isinstance(value, tuple):
        items = _items(value, depth, room)
        return None if items is None else tuple(items)
    if type(value) is dict:
        return _items(list(value.items()), depth, room)
    return None


def _has_named_fields(value: Any) -> bool:
    return isinstance(value, tuple) and isinstance(vars(type(value)).get("_fields"), tuple)


def _is_exactly(value: Any, *types: type) -> bool:
    """Whether the value is of one of the types, not of a subclass, which may carry the student's own comparisons."""
    # By identity: `in` would ask the metaclass of a student's class whether it is equal.
    return any(type(value) is known for known in types)


def _plain_tensor(value: Tensor) -> Any:
    """A detached copy; tensors without ordinary memory, or with absurdly much of it, become an `Opaque`."""
    try:
        # Methods of a subclass could run the student's code.
        with torch._C.DisableTorchFunctionSubclass():
            plain = value.detach().as_subclass(Tensor)
            if plain.layout is not torch.strided or plain.device.type == "meta" or plain.is_quantized:
                return Opaque(f"Tensor ({plain.layout}, {plain.device.type})")
            if plain.numel() > MAX_ENTRIES:
                return Opaque(f"Tensor with {plain.numel()} entries")
            return plain.resolve_conj().resolve_neg().clone()
    except Exception as error:
        return Opaque(f"Tensor ({type(error).__name__})")


def _private(argument: Any, device: str) -> Any:
    """What the student gets: a built specification, or a clone with the same memory layout."""
    if isinstance(argument, specs.Spec):
        return specs.build(argument, device)
    if isinstance(argument, Tensor):
        return clone_with_layout(argument)
    return argument


def clone_with_layout(tensor: Tensor) -> Tensor:
    """A copy with its own memory and the same strides and offset; expanded dimensions stay expanded."""
    storage = tensor.untyped_storage()
    whole = torch.empty(0, dtype=tensor.dtype, device=tensor.device).set_(storage)
    return whole.clone().as_strided(tensor.size(), tensor.stride(), tensor.storage_offset())


def _shares_memory(value: Any, argument: Any) -> bool:
    if not (isinstance(value, Tensor) and isinstance(argument, Tensor)):
        return False
    try:
        return bool(value.numel()) and value.untyped_storage().data_ptr() == argument.untyped_storage().data_ptr()
    except Exception:
        return False


def _message(error: BaseException) -> str:
    try:
        return str(error)[:MAX_MESSAGE]
    except BaseException:
        return ""


def _line_of(error: BaseException, target: Any) -> str:
    """The last line of the file or cell that defines `target` which the error passed through."""
    try:
        return last_line(error, {target.__code__.co_filename})
    except Exception:
        return ""


@contextlib.contextmanager
def fresh_randomness() -> Iterator[None]:
    """Seeds every common generator inside, and gives the CPU's states back outside."""
    python, numpy, torch_state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(SEED)
    np.random.seed(SEED)
    # Not torch.manual_seed: where CUDA sleeps, that costs a millisecond to note the seed for later.
    torch.default_generator.manual_seed(SEED)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(SEED)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(torch_state)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Drops what is written to stdout and stderr (by Python, by C code, through older references) and displays."""
    streams = sys.stdout, sys.stderr
    with contextlib.ExitStack() as stack:
        nowhere = stack.enter_context(open(os.devnull, "w"))  # noqa: PTH123
        for stream in streams:
            stack.enter_context(_muted(stream, "write"))
        stack.enter_context(_no_displays())
        for number in (1, 2):
            stack.enter_context(_descriptor_to(number, nowhere.fileno()))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        sys.stdout = sys.stderr = nowhere
        try:
            yield
        finally:
            sys.stdout, sys.stderr = streams


@contextlib.contextmanager
def _muted(target: Any, method: str) -> Iterator[None]:
    """Makes a method do nothing, for everyone who holds the object: logging handlers keep the stream itself."""
    try:
        setattr(target, method, _nothing)
    except (AttributeError, TypeError):
        yield
        return
    try:
        yield
    finally:
        with contextlib.suppress(AttributeError):
            delattr(target, method)


def _nothing(*_arguments: Any, **_keywords: Any) -> int:
    return 0


@contextlib.contextmanager
def _no_displays() -> Iterator[None]:
    """Drops figures, widgets and everything else that goes to `display` in a notebook."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    with contextlib.ExitStack() as stack:
        if shell is not None:
            for method in ("publish", "clear_output"):
                stack.enter_context(_muted(shell.display_pub, method))
        yield


@contextlib.contextmanager
def _descriptor_to(number: int, target: int) -> Iterator[None]:
    try:
        saved = os.dup(number)
    except OSError:
        yield
        return
    os.dup2(target, number)
    try:
        yield
    finally:
        os.dup2(saved, number)
        os.close(saved)
