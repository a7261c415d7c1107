"""Files in the formats of the full-size networks, written by the tests."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import dill
import torch
from loopback import Shelf
from torch import Tensor, nn

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


class AdversarialModel(nn.Module):
    """The layout of the `robustness` library: network, normaliser, and an attacker that holds both once more."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.normalizer = _Normaliser()
        self.model = network
        self.attacker = _Attacker(network)


class _Normaliser(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("new_mean", torch.tensor(MEAN)[..., None, None])
        self.register_buffer("new_std", torch.tensor(STD)[..., None, None])


class _Attacker(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.normalize = _Normaliser()
        self.model = network


class Doubling:
    """A schedule's callable, which dill writes as code."""

    def __call__(self, epoch: int) -> float:
        return 2.0**epoch


def madrylab_checkpoint(network: nn.Module, *, train: bool = True) -> dict[str, Any]:
    """What MadryLab's training saves: weights below `module.`, optimiser, schedule, and figures.

    Without `train` the weights stay as they are, and the optimiser has no state.
    """
    model = nn.DataParallel(AdversarialModel(network))
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, Doubling())
    first = next(iter(network.parameters()))
    if train:
        first.grad = torch.ones_like(first)
        optimiser.step()
    return {
        "model": model.state_dict(),
        "optimizer": optimiser.state_dict(),
        "schedule": schedule.state_dict(),
        "epoch": 90,
        "amp": None,
        "adv_prec1": torch.tensor(34.6),
        "nat_prec1": first.detach().mean().numpy()[()],
        "callback": lambda epoch: epoch + 1,
        "kind": Doubling,
    }


def save_with_dill(checkpoint: object, path: Path, *, zipped: bool) -> Path:
    """Writes a checkpoint as that library does, in torch's old or its new container."""
    torch.save(checkpoint, path, pickle_module=dill, _use_new_zipfile_serialization=zipped)
    return path


def put_in_mirror(shelf: Shelf, name: str, path: str, source: Path) -> None:
    """Puts a file under `path` into the shelf's mirror, with its checksum in the manifest."""
    target = shelf.mirror / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.hardlink_to(source)
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    shelf.add(name, path, sha256=digest, size=source.stat().st_size)


def state_of(network: nn.Module) -> dict[str, Tensor]:
    """The weights of a network, as plain tensors."""
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
