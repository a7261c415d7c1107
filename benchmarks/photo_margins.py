"""How safe the success of every right answer is on the photo, however a machine rounds.

`python benchmarks/photo_margins.py` adds what is missing to `photo_margins.jsonl` and writes `photo_margins.md`. It
attacks both photos with every right answer of the bank from starts that differ by 1e-6, with one and two threads, with
and without oneDNN's kernels, and in processes that may not use what newer processors have. On two idle cores it takes
about an hour; where it is interrupted, the next call goes on.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from autograder.answers.photo import perturbed, photo_attacks, photos
from pset4.settings import load_settings

HERE = Path(__file__).parent
MEASURED = HERE / "photo_margins.jsonl"
Row = dict[str, Any]


@dataclass(frozen=True)
class Variant:
    """One way to compute the same.

    Attributes:
        name: For the table.
        seed: Of the perturbation of the start; 0 is none.
        threads: Of torch.
        onednn: Whether oneDNN's kernels may be used.
        environment: What a process has to start with.
    """

    name: str
    seed: int = 0
    threads: int = 1
    onednn: bool = True
    environment: tuple[tuple[str, str], ...] = ()


AVX2 = (("ATEN_CPU_CAPABILITY", "avx2"), ("ONEDNN_MAX_CPU_ISA", "AVX2"), ("MKL_ENABLE_INSTRUCTIONS", "AVX2"))
SSE41 = (("ATEN_CPU_CAPABILITY", "default"), ("ONEDNN_MAX_CPU_ISA", "SSE41"), ("MKL_CBWR", "COMPATIBLE"))
VARIANTS = (
    Variant("one thread, the photo itself"),
    Variant("two threads", seed=1, threads=2),
    Variant("without oneDNN", seed=2, onednn=False),
    Variant("kernels for AVX2", seed=3, environment=AVX2),
    Variant("kernels for SSE4.1", seed=4, environment=SSE41),
)


@contextlib.contextmanager
def computing(variant: Variant) -> Iterator[None]:
    """Sets torch's threads and kernels."""
    before = torch.get_num_threads()
    torch.set_num_threads(variant.threads)
    try:
        with warnings.catch_warnings(), torch.backends.mkldnn.flags(enabled=variant.onednn):
            warnings.filterwarnings("ignore", "TF32 acceleration")
            yield
    finally:
        torch.set_num_threads(before)


def key_of(row: Row) -> tuple[Any, ...]:
    """What one measurement is about."""
    return row["photo"], row["variant"], row["attack"], row["n_iter"]


def measured() -> list[Row]:
    """The measurements so far with the iterations that grading has now."""
    lines = MEASURED.read_text(encoding="utf-8").splitlines() if MEASURED.exists() else []
    rows: list[Row] = [json.loads(line) for line in lines]
    return [row for row in rows if row["n_iter"] == load_settings().n_iter_while_grading]


def measure(numbers: Sequence[int], photo_name: str, only: str) -> None:
    """Measures what is not measured yet under some of the variants, in this process; each result is kept at once."""
    done, photo = {key_of(row) for row in measured()}, photos()[photo_name]
    for variant in (VARIANTS[number] for number in numbers):
        start = perturbed(photo, variant.seed)
        for attack in (attack for attack in photo_attacks() if only in str(attack)):
            row: Row = {"photo": photo_name, "variant": variant.name, "attack": str(attack)}
            row["n_iter"] = load_settings().n_iter_while_grading
            if key_of(row) in done:
                continue
            with computing(variant):
                row |= asdict(attack.run(photo, start))
            with MEASURED.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


def measure_in_their_environments(photo_name: str, only: str) -> None:
    """Measures all variants, each environment in a process of its own."""
    for environment in dict.fromkeys(variant.environment for variant in VARIANTS):
        numbers = [str(n) for n, variant in enumerate(VARIANTS) if variant.environment == environment]
        command = [sys.executable, __file__, "--photo", photo_name, "--only", only, "--variants", *numbers]
        subprocess.run(command, env=os.environ | dict(environment), check=True)


def table(rows: Sequence[Row]) -> list[str]:
    """The worst of all variants for each attack on one photo."""
    lines = [
        "| attack | smallest gap | over the last quarter | lowest probability | kept from step | steps | variants |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name in sorted({row["attack"] for row in rows}):
        mine = [row for row in rows if row["attack"] == name]
        gap, on_the_way = (min(row[which] for row in mine) for which in ("gap", "lowest_gap"))
        kept = [row["kept_from"] for row in mine]
        steps = max(row["steps"] for row in mine)
        latest = "" if not steps else "never" if None in kept else max(kept)
        lowest = min(row["probability"] for row in mine)
        lines.append(
            f"| {name} | {gap:.2f} | {on_the_way:.2f} | {lowest:.3f} | {latest} | {steps or ''} | {len(mine)} |"
        )
    return lines


def write(rows: Sequence[Row]) -> None:
    """Writes the table."""
    machine = f"{platform.machine()}, {os.cpu_count()} cores; Python {platform.python_version()}"
    lines = [
        "# How safe every right answer's success on the photo is",
        "",
        "Every right answer of the bank attacks the photo with the settings of grading "
        f"(N_ITER = {load_settings().n_iter_while_grading}); answers to p4a also attack the other target and the "
        "robust network. The gap is the logarithm of the target's probability over the runner-up's, after rounding "
        "to 8 bits: below 0, the attack fails. Each row shows the worst of the variants that were measured; the attack "
        "succeeds from the given step on. One that stops at its first success looks for it itself, and so its gap may "
        "be small. "
        f"{machine}, torch {torch.__version__}. Written by `benchmarks/photo_margins.py`.",
        "",
        f"Variants: {'; '.join(variant.name for variant in VARIANTS)}. All but the first start elsewhere, "
        "each pixel moved by about 1e-6.",
    ]
    for photo_name in sorted({row["photo"] for row in rows}):
        of_this_photo = [row for row in rows if row["photo"] == photo_name]
        lines += ["", f"## {photo_name.capitalize()}", "", *table(of_this_photo)]
    (HERE / "photo_margins.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photo", choices=sorted(photos()), help="this photo alone")
    parser.add_argument("--only", default="", help="the attacks whose names hold this text alone")
    parser.add_argument("--variants", type=int, nargs="*", help="these alone, in this process as it was started")
    parser.add_argument("--table", action="store_true", help="measure nothing more")
    options = parser.parse_args()
    if options.variants is not None:
        measure(options.variants, options.photo, options.only)
        return
    for name in [] if options.table else [options.photo] if options.photo else sorted(photos()):
        measure_in_their_environments(name, options.only)
    write(measured())


if __name__ == "__main__":
    main()
