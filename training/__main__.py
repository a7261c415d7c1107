"""The command line: `python -m training train|export|evaluate`."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import platformdirs
import torch

from pset4.device import best_device
from pset4.networks.small_resnet import SIDE
from pset4.settings import data_folder
from training.evaluate import PARTS, evaluate
from training.fit import CHECKPOINT, RECIPE, Trainer, export, train
from training.photos import Photos, fetch_zip, load_photos
from training.recipe import SHIPPED, Recipe


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    top = argparse.ArgumentParser(prog="python -m training", description="The embedded networks.")
    commands = top.add_subparsers(dest="command", required=True)

    training = commands.add_parser("train", help="train a network; an interrupted run goes on where it stopped")
    training.add_argument("--adversary", choices=list(SHIPPED), required=True)
    training.add_argument("--output", type=Path, required=True, help="folder for the checkpoint and the log")
    training.add_argument("--epochs", type=int, help="stretch or shrink the schedule to so many epochs")
    training.add_argument("--seed", type=int, default=Recipe.seed)
    training.add_argument("--bf16", action="store_true", help="matrix products in bfloat16 (GPUs, and CPUs with AMX)")

    exporting = commands.add_parser("export", help="write the weights of a run as safetensors")
    exporting.add_argument("run", type=Path, help="folder that `train` wrote")
    exporting.add_argument("file", type=Path)

    evaluating = commands.add_parser("evaluate", help="measure the shipped weights and write the model card")
    evaluating.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="default: all")
    evaluating.add_argument("--weights", type=Path, default=data_folder(), help="folder with both safetensors files")
    evaluating.add_argument("--output", type=Path, default=data_folder(), help="folder for the results")
    evaluating.add_argument(
        "--photo", help="a file, or a photo of the course, for the contact sheet; default: the corgi"
    )

    for command in (training, exporting, evaluating):
        command.add_argument("--data", type=Path, help="the photos, as zip or npz; without it they are downloaded")
        command.add_argument("--device", type=torch.device, default=best_device())
        command.add_argument("--threads", type=int, help="CPU threads")
    return top


def main(arguments: list[str] | None = None) -> None:
    """Runs one command."""
    options = parser().parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    training, validation = _photos(options.data)
    if options.command == "train":
        recipe = _recipe(options)
        train(recipe, training, validation, options.output, options.device, bf16=options.bf16)
    elif options.command == "export":
        _export(options.run, options.file, training, options.device)
    else:
        evaluate(
            options.parts,
            validation,
            options.device,
            weights=options.weights,
            output=options.output,
            photo=options.photo,
        )


def _photos(path: Path | None) -> tuple[Photos, Photos]:
    return load_photos(path or fetch_zip(platformdirs.user_cache_path("pset4") / "photos"))


def _recipe(options: argparse.Namespace) -> Recipe:
    recipe = replace(SHIPPED[options.adversary], seed=options.seed)
    return recipe.stretched(options.epochs) if options.epochs else recipe


def _export(run: Path, file: Path, training: Photos, device: torch.device) -> None:
    settings = json.loads((run / RECIPE).read_text(encoding="utf-8"))
    trainer = Trainer(Recipe.from_json(settings), training, device)
    trainer.load(run / CHECKPOINT)
    metadata = {"recipe": json.dumps(settings), "epochs_done": str(trainer.epoch)}
    export(trainer.averaged(SIDE), file, metadata)


if __name__ == "__main__":
    main()
