"""How accurate and how robust a network is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from training.adversary import resists_pgd
from training.photos import Photos

PGD_BUDGETS = (0.5, 1.0, 2.0)
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


def measure_pgd(
    network: nn.Module,
    photos: Photos,
    device: torch.device,
    *,
    done: dict[str, Any],
    save: Callable[[dict[str, Any]], None],
    restarts: int = 3,
    chunk: int = 285,
) -> dict[str, Any]:
    """Photos that resist PGD-50 at each budget.

    A photo that a budget breaks is not attacked with a larger one: its adversarial example lies in the larger ball too.

    Args:
        network: Pixels -> logits.
        photos: The photos.
        device: Where to compute.
        done: What an interrupted measurement had found, or an empty table.
        save: Is called with the counts after each chunk of photos.
        restarts: Random starts for each photo and budget.
        chunk: Photos between two calls of `save`.

    Returns:
        `{"photos": N, "restarts": 3, "standing": {"0.0": ..., "0.5": ..., ...}}`, budget 0 being the clean photos.
    """
    budgets = (0.0, *PGD_BUDGETS)
    result = done or {"photos": 0, "restarts": restarts, "standing": dict.fromkeys(map(str, budgets), 0)}
    while result["photos"] < len(photos):
        first = result["photos"]
        part = Photos(photos.images[first : first + chunk], photos.labels[first : first + chunk])
        standing = rightly_classified(network, part, device)
        for eps in budgets:
            if eps > 0:
                standing = resists_restarts(network, part, standing, device, eps=eps, restarts=restarts, seed=first)
            result["standing"][str(eps)] += int(standing.sum())
        result["photos"] += len(part)
        save(result)
    return result


def measure_autoattack(
    network: nn.Module,
    photos: Photos,
    device: torch.device,
    *,
    done: dict[str, Any],
    save: Callable[[dict[str, Any]], None],
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
        done: What an interrupted measurement had found, or an empty table.
        save: Is called after each batch.
        eps: Budget in L2, in pixel units at 64 x 64.
        components: Names of the attacks.
        batch_size: Photos attacked at once.

    Returns:
        `{"photos": N, "eps": 1.0, "standing": {"clean": ..., "apgd-ce": ..., ...}, ...}`; `standing` names only the
        components that are complete.

    Raises:
        ImportError: If the package is missing; the message has the command.
    """
    attack = _autoattack(network, eps, device)
    x, labels = photos.pixels(), photos.labels
    if not done:
        alive = rightly_classified(network, photos, device).nonzero().flatten().tolist()
        done = {"photos": len(photos), "eps": eps, "standing": {"clean": len(alive)}, "alive": alive, "waiting": alive}
    for component in components[len(done["standing"]) - 1 :]:
        attack.attacks_to_run = [component]
        while done["waiting"]:
            batch = done["waiting"][:batch_size]
            attacked, _ = attack.run_standard_evaluation(x[batch], labels[batch], batch_size=batch_size)
            with torch.no_grad():
                broken = network(attacked.to(device)).argmax(dim=1).cpu() != labels[batch]
            gone = {photo for photo, is_broken in zip(batch, broken.tolist(), strict=True) if is_broken}
            done["alive"] = [photo for photo in done["alive"] if photo not in gone]
            done["waiting"] = done["waiting"][batch_size:]
            save(done)
        done["standing"][component] = len(done["alive"])
        done["waiting"] = list(done["alive"])
        save(done)
    return done


def _autoattack(network: nn.Module, eps: float, device: torch.device) -> Any:
    try:
        package = import_module("pyautoattack")
    except ModuleNotFoundError as missing:
        raise ImportError(
            f"AutoAttack needs the package {missing.name}, which is not installed; type: pip install 'pset4[training]'"
        ) from None
    return package.AutoAttack(network, norm="L2", eps=eps, seed=0, device=device, version="standard")
