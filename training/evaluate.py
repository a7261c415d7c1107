"""Measures the shipped weights; every figure of the model card comes from here."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from pset4.images import load_corgi, load_photo
from pset4.networks.small_resnet import ANIMAL_CLASSES, SmallResNet, load_small_resnet
from training.card import write_card
from training.meaning import attack_towards, measure_meaning
from training.measure import measure_autoattack, measure_pgd, rightly_classified
from training.photos import Photos, file_hash
from training.sheet import draw_sheet

FILES = {"robust": "robust_animals57.safetensors", "standard": "standard_animals57.safetensors"}
PARTS = ("clean", "time", "sheet", "meaning", "pgd", "autoattack")
RESULTS = "evaluation.json"

Table = dict[str, Any]


def evaluate(
    parts: Sequence[str], validation: Photos, device: torch.device, *, weights: Path, output: Path, photo: str | None
) -> Table:
    """Measures what is still missing, and writes `evaluation.json`, `MODEL_CARD.md` and `contact_sheet.png`.

    Results are kept part by part, with the checksums of the weights that they belong to: an interrupted
    evaluation goes on with the part that it did not finish, and new weights are measured afresh.

    Args:
        parts: Which of `PARTS`.
        validation: The validation photos.
        device: Where to compute.
        weights: Folder with the two safetensors files.
        output: Folder for the results.
        photo: A file, or the name of one of the course's photos, for the contact sheet; the corgi by default.

    Returns:
        The table that `evaluation.json` holds.
    """
    networks = {name: load_small_resnet(weights / file).to(device) for name, file in FILES.items()}
    hashes = {name: file_hash(weights / file, "sha256") for name, file in FILES.items()}
    results = _earlier_results(output / RESULTS, hashes)
    results["recipes"] = {name: read_recipe(weights / file) for name, file in FILES.items()}
    measures: dict[str, Callable[[], Any]] = {
        "clean": lambda: {name: _count_right(network, validation, device) for name, network in networks.items()},
        "pgd": lambda: {name: measure_pgd(network, validation, device) for name, network in networks.items()},
        "meaning": lambda: measure_meaning(networks["robust"], networks["standard"], validation.sample(100, 0), device),
        "time": lambda: _seconds_of_an_attack(networks["robust"], device),
        "sheet": lambda: _sheet(networks, photo, device, output),
        "autoattack": lambda: measure_autoattack(networks["robust"], validation.sample(500, 0), device),
    }
    for part in parts:
        if part not in results:
            print(f"measuring: {part}", flush=True)
            results[part] = measures[part]()
            _save(results, output)
    return results


def read_recipe(path: Path) -> Table:
    """The recipe that `export` wrote into the weights file."""
    with safe_open(path, framework="pt") as file:
        recipe: Table = json.loads(file.metadata()["recipe"])
    return recipe


def _earlier_results(path: Path, hashes: dict[str, str]) -> Table:
    results: Table = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return results if results.get("weights") == hashes else {"weights": hashes, "torch": torch.__version__}


def _save(results: Table, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    part = output / f"{RESULTS}.part"
    part.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    part.replace(output / RESULTS)
    write_card(results, output / "MODEL_CARD.md")


def _count_right(network: SmallResNet, photos: Photos, device: torch.device) -> Table:
    return {"photos": len(photos), "right": int(rightly_classified(network, photos, device).sum())}


def _seconds_of_an_attack(network: SmallResNet, device: torch.device) -> Table:
    """One attack as in the notebook: 200 steps on one photo of 224 x 224 pixels."""
    photo = torch.full((1, 3, 224, 224), 0.5, device=device)
    target = torch.tensor([ANIMAL_CLASSES.index(281)], device=device)
    attack_towards(network, photo, target, eps=30, n_steps=5)  # the first calls are slower
    start, start_of_work = time.perf_counter(), time.process_time()
    attack_towards(network, photo, target, eps=30, n_steps=200)
    return {
        "seconds": time.perf_counter() - start,
        # On a machine that does other things too, the time on the clock says little.
        "processor_seconds": time.process_time() - start_of_work,
        "device": str(device),
        "threads": torch.get_num_threads(),
    }


def _sheet(networks: dict[str, SmallResNet], photo: str | None, device: torch.device, output: Path) -> Table:
    rows = {"standard twin": networks["standard"], "robust network": networks["robust"]}
    draw_sheet(rows, load_photo(photo, device) if photo else load_corgi(device), output / "contact_sheet.png")
    return {"photo": Path(photo).stem if photo else "corgi"}
