"""Checkpoints: only tensors are read, and no code of a file ever runs."""

from __future__ import annotations

import io
import os
import pickle
import runpy
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dill
import pytest
import torch
from checkpoint_files import MEAN, STD, madrylab_checkpoint, save_with_dill, state_of
from torch import nn

from pset4.networks import checkpoints
from pset4.networks.checkpoints import (
    CheckpointError,
    UnsafeCheckpointError,
    read_madrylab,
    read_tensors_only,
    read_torchvision,
)

both_formats = pytest.mark.parametrize("zipped", [False, True], ids=["old container", "zip container"])


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 5))


@pytest.fixture
def checkpoint(network: nn.Module) -> dict[str, Any]:
    return madrylab_checkpoint(network)


def assert_same(read: dict[str, torch.Tensor], network: nn.Module) -> None:
    expected = state_of(network)
    assert read.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(read[name], tensor), name
        assert type(read[name]) is torch.Tensor and not read[name].requires_grad


# MadryLab's format


@both_formats
def test_weights_and_normaliser_come_out_of_a_checkpoint_in_madrylabs_format(
    zipped: bool, checkpoint: dict[str, Any], network: nn.Module, tmp_path: Path
) -> None:
    path = save_with_dill(checkpoint, tmp_path / "net.ckpt", zipped=zipped)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
    weights, mean, std = read_madrylab(path)
    assert_same(weights, network)
    assert mean == pytest.approx(MEAN) and std == pytest.approx(STD)


def test_the_attackers_copy_serves_where_it_is_the_only_one(
    checkpoint: dict[str, Any], network: nn.Module, tmp_path: Path
) -> None:
    only = {name: value for name, value in checkpoint["model"].items() if ".attacker." in name}
    weights, mean, std = read_madrylab(save_with_dill({"model": only}, tmp_path / "net.ckpt", zipped=True))
    assert mean == pytest.approx(MEAN) and std == pytest.approx(STD)
    assert_same(weights, network)


def without(prefix: str) -> Callable[[dict[str, Any]], Any]:
    return lambda sound: {"model": {k: v for k, v in sound["model"].items() if not k.startswith(prefix)}}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda sound: list(sound), "no entry 'model'"),
        (lambda sound: {"state_dict": sound["model"]}, "no entry 'model'"),
        (lambda sound: {"model": {}}, r"no entries module\.model\.\*"),
        (without("module.normalizer"), None),
        (lambda sound: without("module.attacker")(without("module.normalizer")(sound)), "no normaliser"),
        (lambda sound: {"model": sound["model"] | {"module.model.0.weight": 3}}, "something else than"),
        (lambda sound: {"model": sound["model"] | {"module.normalizer.new_mean": torch.zeros(1)}}, "1 values"),
    ],
)
def test_a_checkpoint_without_the_network_is_named(
    spoil: Callable[[dict[str, Any]], Any], message: str | None, checkpoint: dict[str, Any], tmp_path: Path
) -> None:
    path = save_with_dill(spoil(checkpoint), tmp_path / "net.ckpt", zipped=True)
    if message is None:
        assert read_madrylab(path)[1] == pytest.approx(MEAN)
        return
    with pytest.raises(CheckpointError, match=message) as error:
        read_madrylab(path)
    assert "net.ckpt" in str(error.value)


# Hostile files


class Call:
    """Pickles as a call of any function: what an attacker puts into a checkpoint."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.function, self.arguments

    def __call__(self, *arguments: Any) -> None:
        """Only what can be called may stand for the function of another call."""


def _script(marker: Path) -> str:
    return f"open({str(marker)!r}, 'w').close()"


def _program(marker: Path) -> str:
    program = marker.with_name("program.py")
    program.write_text(_script(marker))
    return str(program)


def _nested(marker: Path) -> bytes:
    inner = io.BytesIO()
    torch.save(Call(exec, _script(marker)), inner)
    return inner.getvalue()


def _function(marker: Path) -> Callable[[], None]:
    """A function that no module knows, so that dill writes its code into the file."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(f"def touch(): {_script(marker)}", namespace)
    function: Callable[[], None] = namespace["touch"]
    return function


# Each of them creates the file `marker` when a naive reader unpickles it.
PAYLOADS: dict[str, Callable[[Path], Any]] = {
    "os.system": lambda marker: Call(os.system, f"touch {marker}"),
    "eval": lambda marker: Call(eval, f"__import__('pathlib').Path({str(marker)!r}).touch()"),
    "exec": lambda marker: Call(exec, _script(marker)),
    "open": lambda marker: Call(open, str(marker), "w"),
    "subprocess": lambda marker: Call(subprocess.check_call, ["touch", str(marker)]),
    "runpy": lambda marker: Call(runpy.run_path, _program(marker)),
    "a method": lambda marker: Call(Path.touch, marker),
    "getattr": lambda marker: Call(Call(getattr, os, "system"), f"touch {marker}"),
    "torch's own reader": lambda marker: Call(torch.storage._load_from_bytes, _nested(marker)),
    "a function that dill wrote": lambda marker: Call(_function(marker)),
    "dill's reader": lambda marker: Call(dill.loads, dill.dumps(Call(_function(marker)))),
}
# What is called an attack; the others are not known as such and stay inert.
REFUSED = ["os.system", "eval", "exec", "open", "subprocess", "runpy"]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_naive_reader_would_run_the_payload(payload: str, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    path = save_with_dill({"model": PAYLOADS[payload](marker)}, tmp_path / "net.ckpt", zipped=True)
    torch.load(path, weights_only=False, pickle_module=dill)
    assert marker.exists()


@both_formats
@pytest.mark.parametrize("place", ["beside the weights", "as a weight", "as the file"])
@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_code_of_a_checkpoint_runs(
    payload: str, place: str, zipped: bool, checkpoint: dict[str, Any], tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    hostile = PAYLOADS[payload](marker)
    everything: dict[str, Any] = {
        "beside the weights": checkpoint | {"schedule": hostile},
        "as a weight": {"model": checkpoint["model"] | {"module.model.0.weight": hostile}},
        "as the file": hostile,
    }
    path = save_with_dill(everything[place], tmp_path / "net.ckpt", zipped=zipped)
    if payload in REFUSED:
        with pytest.raises(UnsafeCheckpointError, match=r"net\.ckpt.*Nothing of it was run"):
            read_madrylab(path)
    elif place == "beside the weights":
        assert read_madrylab(path)[0].keys() == {"0.weight", "0.bias", *BATCH_NORM, "3.weight", "3.bias"}
    else:
        with pytest.raises(CheckpointError):
            read_madrylab(path)
    assert not marker.exists()


BATCH_NORM = {f"1.{part}" for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")}


@pytest.mark.parametrize("payload", PAYLOADS)
def test_torchvisions_format_takes_nothing_but_tensors(payload: str, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    path = save_with_dill({"weight": PAYLOADS[payload](marker)}, tmp_path / "net.pth", zipped=True)
    with pytest.raises(CheckpointError, match=r"net\.pth"):
        read_torchvision(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    "name", ["ctorch._utils\n_rebuild_tensor_v2\n", "ccollections\nOrderedDict\n", "cdill._dill\n_load_type\n"]
)
@pytest.mark.parametrize("state", ["}X\x04\x00\x00\x00spamK\x01s", "N}X\x04\x00\x00\x00spamK\x01s\x86"])
def test_a_pickle_cannot_change_the_functions_that_it_may_call(name: str, state: str, tmp_path: Path) -> None:
    """The opcode BUILD sets attributes on whatever the pickle names; here spam = 1 on an allowed function or class."""
    program = f"\x80\x02{name}{state}b.".encode("latin-1")
    path = tmp_path / "net.ckpt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net/data.pkl", program)
        archive.writestr("net/version", "3\n")
        archive.writestr("net/byteorder", "little")
    with pytest.raises((CheckpointError, UnsafeCheckpointError)):
        read_tensors_only(path)
    allowed = [torch._utils._rebuild_tensor_v2, dict, checkpoints.Inert, *checkpoints.BUILDERS.values()]
    assert not any(hasattr(thing, "spam") for thing in allowed)


def test_a_torchscript_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.ckpt"
    torch.jit.script(nn.Linear(2, 2)).save(str(path))
    with pytest.raises(UnsafeCheckpointError, match="TorchScript"):
        read_tensors_only(path)


# Damaged files


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.97])
@both_formats
def test_a_cut_file_is_named(keep: float, zipped: bool, checkpoint: dict[str, Any], tmp_path: Path) -> None:
    path = save_with_dill(checkpoint, tmp_path / "net.ckpt", zipped=zipped)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(CheckpointError, match=r"net\.ckpt cannot be read"):
        read_tensors_only(path)


def test_torchvisions_format_round_trips(network: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    torch.save(network.state_dict(), path)
    assert_same(read_torchvision(path), network)


@pytest.mark.parametrize("content", [[torch.zeros(1)], {"weight": 3}])
def test_a_file_that_is_no_state_dict_is_named(content: Any, tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match="something else than a mapping of names to tensors"):
        read_torchvision(path)
