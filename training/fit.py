"""The training loop: seeded, resumable, with a log and a progress bar."""

from __future__ import annotations

import copy
import json
import math
import sys
import time
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from pset4.networks.small_resnet import SIDE, SmallResNet, resize
from training.adversary import one_step, resists_pgd
from training.muon import Muon
from training.photos import PHOTO_SIDE, Photos, augment
from training.recipe import Recipe

CHECKPOINT = "checkpoint.pt"
RECIPE = "recipe.json"
LOG = "log.jsonl"


def train(
    recipe: Recipe, training: Photos, validation: Photos, folder: Path, device: torch.device, *, bf16: bool = False
) -> SmallResNet:
    """Trains a network, or goes on where an interrupted run of the same recipe stopped.

    After each epoch the folder gets a checkpoint and one line in `log.jsonl`.

    Args:
        recipe: The settings.
        training: Photos to learn from.
        validation: Photos for the scores in the log.
        folder: Where checkpoint and log go; made if need be.
        device: CPU, CUDA or MPS.
        bf16: Whether matrix products run in bfloat16. On GPUs, and on CPUs with matrix units for it, this is faster.

    Returns:
        The network with the averaged weights, in eval mode.

    Raises:
        ValueError: If the folder holds a run of another recipe.
        RuntimeError: If the loss is no longer finite.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _check_same_recipe(recipe, folder / RECIPE)
    trainer = Trainer(recipe, training, device, bf16=bf16)
    if (folder / CHECKPOINT).exists():
        trainer.load(folder / CHECKPOINT)
    while trainer.epoch < recipe.epochs:
        start = time.monotonic()
        loss = trainer.run_epoch()
        if not math.isfinite(loss):
            raise RuntimeError(f"the loss became {loss} in epoch {trainer.epoch}; a lower learning rate should help")
        trainer.save(folder / CHECKPOINT)
        side = recipe.side_at(trainer.epoch - 0.5)
        row = {"epoch": trainer.epoch, "side": side, "loss": loss, "seconds": time.monotonic() - start}
        row |= quick_score(trainer.averaged(side), validation, side, device)
        with (folder / LOG).open("a", encoding="utf-8") as log:
            log.write(json.dumps({name: round(value, 4) for name, value in row.items()}) + "\n")
    return trainer.averaged(SIDE)


def _check_same_recipe(recipe: Recipe, path: Path) -> None:
    text = json.dumps(asdict(recipe), indent=1)
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise ValueError(f"{path} is the recipe of another run; choose another output folder, or remove this one")
    path.write_text(text, encoding="utf-8")


class Trainer:
    """The state of a run: the network, the running mean of its weights, the optimisers and the epoch."""

    def __init__(self, recipe: Recipe, photos: Photos, device: torch.device, *, bf16: bool = False) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.photos, self.device, self.bf16 = recipe, photos, device, bf16
        self.model = SmallResNet().to(device).to(memory_format=torch.channels_last)
        self.mean: SmallResNet = copy.deepcopy(self.model).requires_grad_(False).eval()
        self.optimisers = make_optimisers(self.model, recipe)
        self.epoch = 0

    def run_epoch(self) -> float:
        """One pass over the photos; returns the mean loss."""
        # A generator of its own for each epoch: a resumed run draws what an unbroken one would have drawn.
        generator = torch.Generator().manual_seed(1000 * self.recipe.seed + self.epoch)
        batches = torch.split(torch.randperm(len(self.photos), generator=generator), self.recipe.batch_size)
        # A smaller last batch would have noisier statistics.
        batches = batches[:-1] if len(batches) > 1 and len(batches[-1]) < self.recipe.batch_size else batches
        self.model.train()
        losses = []
        for i, batch in enumerate(tqdm(batches, desc=f"epoch {self.epoch + 1}", file=sys.stdout, mininterval=5)):
            position = self.epoch + (i + 0.5) / len(batches)
            losses.append(self._step(batch, position, generator))
            steps_done = self.epoch * len(batches) + i
            average_into(self.mean, self.model, min(self.recipe.ema_decay, (1 + steps_done) / (10 + steps_done)))
        self.epoch += 1
        return torch.stack(losses).mean().item()

    def _step(self, batch: Tensor, position: float, generator: torch.Generator) -> Tensor:
        set_rates(self.optimisers, self.recipe, position)
        x, labels = self._attacked_batch(batch, position, generator)
        with self._autocast():
            loss = cross_entropy(self._classify(x), labels, label_smoothing=self.recipe.label_smoothing)
        self.model.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for optimiser in self.optimisers:
            optimiser.step()
        return loss.detach()

    def _attacked_batch(self, batch: Tensor, position: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        side, labels = self.recipe.side_at(position), self.photos.labels[batch].to(self.device)
        x = augment(self.photos.images[batch], side, generator).to(self.device)
        x = x.contiguous(memory_format=torch.channels_last)  # (B, 3, side, side)
        eps = self.recipe.eps_at(position) * side / PHOTO_SIDE
        if eps > 0:
            with self._autocast():
                x = one_step(self._classify, x, labels, eps=eps, generator=generator)
        return x, labels

    def _classify(self, x: Tensor) -> Tensor:
        return self.model.classify(self.model.normalise(x)).float()

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def averaged(self, side: int) -> SmallResNet:
        """A copy of the averaged network whose normalisation statistics are measured on photos of that side."""
        network = copy.deepcopy(self.mean)
        calibrate(network, self.photos, side, self.device)
        return network

    def save(self, path: Path) -> None:
        """Writes the checkpoint; a file that is there already is replaced only by a complete one."""
        state = {
            "epoch": self.epoch,
            "model": self.model.state_dict(),
            "ema": self.mean.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
        }
        part = path.with_suffix(".part")
        torch.save(state, part)
        part.replace(path)

    def load(self, path: Path) -> None:
        """Takes up a checkpoint."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.epoch = state["epoch"]
        self.model.load_state_dict(state["model"])
        self.mean.load_state_dict(state["ema"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)


def make_optimisers(model: SmallResNet, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the convolutions of the stages, SGD for the rest; no weight decay on one-dimensional parameters."""
    kernels = [module.weight for module in model.stages.modules() if isinstance(module, nn.Conv2d)]
    taken = {id(kernel) for kernel in kernels}
    others = [parameter for parameter in model.parameters() if id(parameter) not in taken]
    groups = [
        {"params": [p for p in others if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
    ]
    sgd = torch.optim.SGD(groups, lr=recipe.sgd_lr, momentum=0.9, nesterov=True)
    return [Muon(kernels, lr=recipe.muon_lr), sgd]


def set_rates(optimisers: list[torch.optim.Optimizer], recipe: Recipe, position: float) -> None:
    """Sets the learning rates of a moment, given in epochs."""
    for optimiser, peak in zip(optimisers, (recipe.muon_lr, recipe.sgd_lr), strict=True):
        for group in optimiser.param_groups:
            group["lr"] = peak * recipe.rate_at(position)


@torch.no_grad()
def average_into(mean: nn.Module, model: nn.Module, decay: float) -> None:
    """`mean <- decay * mean + (1 - decay) * model`, for weights and for the statistics of the normalisations."""
    for average, value in zip(mean.state_dict().values(), model.state_dict().values(), strict=True):
        if average.is_floating_point():
            average.lerp_(value, 1 - decay)
        else:
            average.copy_(value)


@torch.no_grad()
def calibrate(model: SmallResNet, photos: Photos, side: int, device: torch.device, *, n_batches: int = 16) -> None:
    """Measures the statistics of all batch normalisations anew, over training photos; leaves the model in eval mode.

    The mean of many networks' statistics is not what the mean of their weights produces.
    """
    generator = torch.Generator().manual_seed(0)
    for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
        norm.train()
    for batch in torch.split(torch.randperm(len(photos), generator=generator), 128)[:n_batches]:
        model.classify(model.normalise(augment(photos.images[batch], side, generator).to(device)))
    model.eval()


def quick_score(model: SmallResNet, photos: Photos, side: int, device: torch.device) -> dict[str, float]:
    """Accuracy on 1000 photos, and on 128 of them under PGD-10 with the budget that 1.0 at 64 x 64 corresponds to."""
    chosen = photos.sample(1000, seed=0)
    x, labels = resize(chosen.pixels(), side).to(device), chosen.labels.to(device)

    def classify(x: Tensor) -> Tensor:
        return model.classify(model.normalise(x))

    with torch.no_grad():
        right = torch.cat([classify(part) for part in torch.split(x, 250)]).argmax(dim=1) == labels
    generator = torch.Generator().manual_seed(0)
    resists = resists_pgd(classify, x[:128], labels[:128], eps=side / PHOTO_SIDE, n_steps=10, generator=generator)
    return {"clean": right.float().mean().item(), "pgd10": resists.float().mean().item()}


def export(model: SmallResNet, path: Path, metadata: dict[str, str]) -> None:
    """Writes the weights in half precision, and the statistics of the normalisations in single precision."""
    statistics = ("running_mean", "running_var")
    state = {
        name: (value if name.endswith(statistics) or not value.is_floating_point() else value.half()).contiguous().cpu()
        for name, value in model.state_dict().items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, path, metadata)
    path.chmod(0o644)  # safetensors writes files that only their owner can read
