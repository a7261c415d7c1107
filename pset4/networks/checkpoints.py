"""Reads the files of the full-size networks without running any code that they hold.

A PyTorch checkpoint is a pickle, and a pickle is a program: it names functions, and a naive reader calls them.
torchvision's file holds nothing but tensors, and torch's own `weights_only` reader takes it. MadryLab's was written
with dill and holds an optimiser's and a schedule's state beside the weights, which that reader refuses. Here it goes
through an unpickler that knows the few functions that build tensors and imports nothing: every other name becomes an
inert placeholder, so that no function of the file's choice is ever called.
"""

from __future__ import annotations

import pickle
import types
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

NETWORK_PREFIX = "module.model."
NORMALISER_PREFIX = "module.normalizer."
# The attack inside MadryLab's file holds the whole network once more, and its normaliser under another name.
ATTACKER_NETWORK_PREFIX = "module.attacker.model."
ATTACKER_NORMALISER_PREFIX = "module.attacker.normalize."
# Names that no checkpoint has a use for. They would stay inert like every unknown name: safety does not hang on this
# list, which is there so that a file that is clearly an attack is called one, and not used.
# fmt: off
ALARMING_MODULES = frozenset({
    "asyncio", "code", "codeop", "commands", "ctypes", "importlib", "io", "multiprocessing", "nt", "os", "pdb", "pip",
    "posix", "pty", "runpy", "shutil", "socket", "subprocess", "sys", "timeit", "urllib", "webbrowser",
})
ALARMING_BUILTINS = frozenset({"__import__", "breakpoint", "compile", "eval", "exec", "input", "open"})
# fmt: on


class UnsafeCheckpointError(ValueError):
    """A checkpoint names a function that has no business in it; nothing of it was run."""


class CheckpointError(ValueError):
    """A checkpoint does not hold the network that it should."""


class Inert:
    """Stands for whatever is not a tensor: accepts every operation of a pickle and does nothing."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        """Forgets its arguments."""

    def __call__(self, *args: object, **kwargs: object) -> Inert:
        """Forgets the arguments."""
        return self

    def __setstate__(self, state: object) -> None:
        """Forgets the state."""

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def __hash__(self) -> int:
        return 0

    def append(self, item: object) -> None:
        """Forgets the item."""

    def extend(self, items: object) -> None:
        """Forgets the items."""

    def add(self, item: object) -> None:
        """Forgets the item."""


class _Entries(dict[str, Any]):
    """An `OrderedDict` of the file; the attributes that torch hangs on it are forgotten."""

    def __setstate__(self, state: object) -> None:
        pass


class _Sealed:
    """A function that a pickle may call and cannot change."""

    __slots__ = ("_function",)
    _function: Callable[..., Any]

    def __init__(self, function: Callable[..., Any]) -> None:
        object.__setattr__(self, "_function", function)

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)

    def __setattr__(self, name: str, value: object) -> None:
        raise UnsafeCheckpointError(f"the checkpoint tries to replace {name!r} of a function; it was not loaded")


def _rebuild_parameter(data: Tensor, requires_grad: bool, hooks: object) -> Tensor:
    """A parameter of the file, as a plain tensor."""
    return data


def _rebuild_tensor(*args: Any) -> Tensor:
    """A tensor of the file; gradients and hooks (the arguments from the fifth on) are left out."""
    tensor: Tensor = torch._utils._rebuild_tensor(*args[:4])  # type: ignore[no-untyped-call]
    return tensor


BUILDERS: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): _Entries,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
}


class RestrictedUnpickler(pickle.Unpickler):
    """Unpickles tensors and plain containers; see the module's text for the rest."""

    def find_class(self, module: str, name: str) -> Any:
        """What a name of the pickle stands for.

        Raises:
            UnsafeCheckpointError: If the name is one that only an attack has a use for.
        """
        if (module, name) in BUILDERS:
            return _Sealed(BUILDERS[module, name])
        root = module.partition(".")[0]
        if root in ALARMING_MODULES or (root in {"builtins", "__builtin__"} and name in ALARMING_BUILTINS):
            raise UnsafeCheckpointError(
                f"the checkpoint asks for {module}.{name}, which weights have no use for; it may be an attack. "
                "Nothing of it was run. Do not use this file; get it from its source again"
            )
        return Inert


def _pickle_module() -> types.ModuleType:
    """A stand-in for the module `pickle` that `torch.load` takes."""
    module = types.ModuleType("restricted_pickle")

    def load(file: Any, **options: Any) -> Any:
        return RestrictedUnpickler(file, **options).load()

    module.Unpickler = RestrictedUnpickler  # type: ignore[attr-defined]
    module.load = load  # type: ignore[attr-defined]
    return module


def read_tensors_only(path: Path) -> Any:
    """Reads a checkpoint in either of torch's formats; what is not a tensor or a plain container becomes `Inert`.

    Raises:
        UnsafeCheckpointError: If it names a function that only an attack has a use for.
        CheckpointError: If it cannot be read.
    """
    try:
        if _is_zip(path) and _is_torchscript(path):
            raise UnsafeCheckpointError("it is a TorchScript program, not a file of weights; nothing of it was run")
        return torch.load(path, map_location="cpu", pickle_module=_pickle_module(), weights_only=False)
    except UnsafeCheckpointError as error:
        raise UnsafeCheckpointError(f"{path}: {error}") from None
    except Exception as error:  # a damaged pickle can raise anything
        raise CheckpointError(f"{path} cannot be read as a checkpoint ({type(error).__name__}: {error})") from None


def _is_zip(path: Path) -> bool:
    """Whether torch will take the file for its newer container: it goes by the first bytes, not by the last ones."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _is_torchscript(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def read_torchvision(path: Path) -> dict[str, Tensor]:
    """Weights of a torchvision network.

    Raises:
        CheckpointError: If the file is not a state dict.
    """
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True, mmap=_is_zip(path))
    except Exception as error:
        raise CheckpointError(f"{path} is not a file of weights ({type(error).__name__}: {error})") from None
    return _all_tensors(weights, path)


def _all_tensors(weights: Any, path: Path) -> dict[str, Tensor]:
    if not isinstance(weights, Mapping) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise CheckpointError(f"{path} holds something else than a mapping of names to tensors")
    return dict(weights)


def read_madrylab(path: Path) -> tuple[dict[str, Tensor], list[float], list[float]]:
    """Weights of MadryLab's ResNet-50 under torchvision's names, and its normaliser's mean and standard deviation.

    Raises:
        UnsafeCheckpointError: If the checkpoint names a function that only an attack has a use for.
        CheckpointError: If a part is missing or not a tensor.

    Source: Salman et al., Do Adversarially Robust ImageNet Models Transfer Better? (2020).
    """
    checkpoint = read_tensors_only(path)
    if not isinstance(checkpoint, Mapping) or not isinstance(checkpoint.get("model"), Mapping):
        raise CheckpointError(f"{path} has no entry 'model' with the weights; expected MadryLab's format")
    everything = checkpoint["model"]
    weights = _below(everything, NETWORK_PREFIX) or _below(everything, ATTACKER_NETWORK_PREFIX)
    normaliser = _below(everything, NORMALISER_PREFIX) or _below(everything, ATTACKER_NORMALISER_PREFIX)
    if not weights:
        raise CheckpointError(f"{path} has no entries {NETWORK_PREFIX}*; expected MadryLab's format")
    if not {"new_mean", "new_std"} <= normaliser.keys():
        raise CheckpointError(f"{path} has no normaliser ({NORMALISER_PREFIX}new_mean and new_std)")
    statistics = _all_tensors({name: normaliser[name] for name in ("new_mean", "new_std")}, path)
    if wrong := [values.numel() for values in statistics.values() if values.numel() != 3]:
        raise CheckpointError(f"{path}: the normaliser has {wrong[0]} values, expected one for each of 3 channels")
    mean, std = (values.flatten().tolist() for values in statistics.values())
    return _all_tensors(weights, path), mean, std


def _below(entries: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {
        key.removeprefix(prefix): value
        for key, value in entries.items()
        if isinstance(key, str) and key.startswith(prefix)
    }
