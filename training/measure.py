"""How accurate and how robust a network is."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from training.adversary import resists_pgd
from training.photos import Photos

PGD_BUDGETS = (0.5, 1.0, 2.0)
# Photos whose random starts are drawn from one seed.
CHUNK = 285
# AutoAttack's standard version, in its order.
COMPONENTS = ("apgd-ce", "apgd-t", "fab-t", "square")


@torch.no_grad()
def rightly_classified(network: nn.Module, photos: Photos, device: torch.device, *, batch_size: int = 256) -> Tensor:
    """Which photos the network gets right: (N,) bool, on the CPU."""
    parts = zip(torch.split(photos.pixels(), batch_size), torch.split(photos.labels, batch_size), strict=True)
    return torch.cat([network(x.to(device)).argmax(dim=1).cpu() == labels for x, labels in parts])


def resists_restarts(
    network: nn.Module, photos: Photos, standing: Tensor, device: torch.device, *, eps: float, restarts: int, seed: int
) -> Tensor:
    """Which photos no restart of PGD-50 breaks.

    Args:
        network: Pixels -> logits.
        photos: N photos.
        standing: (N,) bool, the photos to attack; the others count as broken.
        device: Where to compute.
        eps: Budget in L2, in pixel units at 64 x 64.
        restarts: Random starts for each photo.
        seed: Seed of the random starts.

    Returns:
        (N,) bool.
    """
    generator = torch.Generator().manual_seed(seed)
    standing = standing.clone()
    for _ in range(restarts):
        index = standing.nonzero().flatten()
        if not len(index):
            break
        for part in torch.split(index, 128):
            x, labels = photos.images[part].to(device) / 255, photos.labels[part].to(device)
            standing[part] = resists_pgd(network, x, labels, eps=eps, n_steps=50, generator=generator).cpu()
    return standing


def measure_pgd(network: nn.Module, photos: Photos, device: torch.device, *, restarts: int = 3) -> dict[str, Any]:
    """Photos that resist PGD-50 at each budget.

    A photo that a budget breaks is not attacked with a larger one: its adversarial example lies in the larger ball too.

    Args:
        network: Pixels -> logits.
        photos: The photos.
        device: Where to compute.
        restarts: Random starts for each photo and budget.

    Returns:
        `{"photos": N, "restarts": 3, "standing": {"0.0": ..., "0.5": ..., ...}}`, budget 0 being the clean photos.
    """
    standing = {"0.0": 0} | dict.fromkeys(map(str, PGD_BUDGETS), 0)
    for first in tqdm(range(0, len(photos), CHUNK), desc="PGD", file=sys.stdout, mininterval=5):
        part = Photos(photos.images[first : first + CHUNK], photos.labels[first : first + CHUNK])
        alive = rightly_classified(network, part, device)
        standing["0.0"] += int(alive.sum())
        for eps in PGD_BUDGETS:
            alive = resists_restarts(network, part, alive, device, eps=eps, restarts=restarts, seed=first)
            standing[str(eps)] += int(alive.sum())
    return {"photos": len(photos), "restarts": restarts, "standing": standing}


def measure_autoattack(
    network: nn.Module,
    photos: Photos,
    device: torch.device,
    *,
    eps: float = 1.0,
    components: Sequence[str] = COMPONENTS,
    batch_size: int = 64,
) -> dict[str, Any]:
    """Photos that resist AutoAttack's standard version in L2; each component meets the survivors of those before it.

    Source: Croce & Hein (2020), "Reliable evaluation of adversarial robustness with an ensemble of diverse
    parameter-free attacks"; the package is `pyautoattack`.

    Args:
        network: Pixels -> logits.
        photos: The photos.
        device: Where to compute.
        eps: Budget in L2, in pixel units at 64 x 64.
        components: Names of the attacks.
        batch_size: Photos attacked at once.

    Returns:
        `{"photos": N, "eps": 1.0, "standing": {"clean": ..., "apgd-ce": ..., ...}}`.

    Raises:
        ImportError: If the package is missing; the message has the command.
    """
    attack = _autoattack(network, eps, device)
    alive = rightly_classified(network, photos, device).nonzero().flatten()
    standing = {"clean": len(alive)}
    for component in components:
        attack.attacks_to_run = [component]
        survivors = []
        for batch in torch.split(alive, batch_size):
            x, labels = photos.pixels()[batch], photos.labels[batch]
            attacked, _ = attack.run_standard_evaluation(x, labels, batch_size=batch_size)
            with torch.no_grad():
                survivors.append(batch[network(attacked.to(device)).argmax(dim=1).cpu() == labels])
        alive = torch.cat([alive[:0], *survivors])
        standing[component] = len(alive)
        print(f"  after {component}: {len(alive)} of {len(photos)}", flush=True)
    return {"photos": len(photos), "eps": eps, "standing": standing}


def _autoattack(network: nn.Module, eps: float, device: torch.device) -> Any:
    try:
        package = import_module("pyautoattack")
    except ModuleNotFoundError as missing:
        raise ImportError(
            f"AutoAttack needs the package {missing.name}, which is not installed; type: pip install 'pset4[training]'"
        ) from None
    return package.AutoAttack(network, norm="L2", eps=eps, seed=0, device=device, version="standard")
