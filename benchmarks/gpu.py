"""What holds on a GPU: `python benchmarks/gpu.py` writes `gpu.json` and `gpu.md`, and exits with 1 where it does not.

It runs from a bare checkout with torch, torchvision and what `pset4` needs, without Jupyter. `--device cpu` goes the
same way on the processor, where nothing can differ.

1. Exams: every answer of the bank is judged on the CPU, and on CPU and device together.
2. Probabilities of the photo, of each network, on CPU and device.
3. The reference answers attack the photo on the device as the notebook does, and are judged as the exam does.
4. Two processes do 3 on the same device at the same time.
5. What is said of a call for which the device had no memory left.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
import torchvision

from autograder.answers import Answer, all_answers
from autograder.answers.bank import reference
from autograder.answers.photo import PHOTOS, Namespace, given_cells, run_cells
from autograder.engine.grader.faults import our_fault
from autograder.exams import EXAMS, LocalStudent, examine
from pset4.checks.judging.photos import judging_network, judging_photo
from pset4.figures.paths import class_probabilities
from pset4.networks.network import NetworkName

HERE = Path(__file__).parent
REPOSITORY = HERE.parent
NETWORKS: tuple[NetworkName, ...] = ("random", "standard", "robust", "standard_twin")
AGREEMENT = 1e-3
SEED = 1
Row = dict[str, Any]


def namespace_of(answer: Answer, device: str) -> Namespace:
    """What a notebook on this device holds after the answer."""
    sys.path.insert(0, str(REPOSITORY / "tests" / "helpers"))
    import bank_tools  # with the tests, since only they know what stands before an answer

    given = given_cells(answer.exercise, device=device) if answer.exercise.startswith("p4") else None
    return run_cells(answer, bank_tools.given(answer.exercise) if given is None else given)


def judged(number: int, device: str) -> Row:
    """One answer of the bank, judged without and with the device."""
    torch.set_num_threads(1)
    answer = all_answers()[number]
    namespace = namespace_of(answer, device)
    row: Row = {"answer": f"{answer.exercise}: {answer.name}", "right": answer.right}
    for devices in (("cpu",), ("cpu", device)):
        with LocalStudent(namespace) as student:
            verdict = examine(answer.exercise, student, seed=SEED, devices=devices)
        row["points " + " and ".join(devices)] = verdict.points
        row["lost " + " and ".join(devices)] = verdict.missed
    row["full"] = verdict.points == verdict.max_points
    return row


def exams(device: str, exercises: Sequence[str], jobs: int) -> list[Row]:
    """Every answer of the bank to these exercises, judged without and with the device."""
    chosen = [n for n, answer in enumerate(all_answers()) if answer.exercise.startswith(tuple(exercises))]
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(judged, chosen, [device] * len(chosen)))


def probabilities(device: str) -> list[Row]:
    """How far the device's probabilities of the photo are from the CPU's, at most over the classes."""
    rows = []
    for name in NETWORKS:
        here, there = (
            class_probabilities(judging_network(name, at), judging_photo(at)).cpu() for at in ("cpu", device)
        )
        rows.append({"network": name, "largest difference": float((here - there).abs().max())})
    return rows


def attacks(device: str) -> list[Row]:
    """The reference attacks on the photo, as a notebook on this device makes them, and what the exams say of them."""
    rows = []
    for exercise in PHOTOS:
        namespace = given_cells(exercise, device=device)
        started = time.perf_counter()
        run_cells(reference(exercise), namespace)
        seconds = time.perf_counter() - started
        with LocalStudent(namespace) as student:
            verdict = examine(exercise, student, seed=SEED, devices=("cpu", device))
        rows.append(
            {
                "exercise": exercise,
                "points": verdict.points,
                "of": verdict.max_points,
                "steps": namespace["N_ITER"],
                "attack (s)": seconds,
            }
        )
    return rows


def shared(device: str) -> list[list[Row]]:
    """Two notebooks that attack on one device at the same time."""
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(attacks, [device] * 2))


def out_of_memory(device: str) -> Row:
    """What an exam sees of a call on a device whose memory somebody else has taken."""
    namespace = given_cells("p4a_attack", device=device)
    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction(torch.cuda.memory_reserved() / total)
    call = [judging_network("standard", device), judging_photo(device).repeat(64, 1, 1, 1), 76, None, 1]
    source = "def generate_adversarial_example(network, x, *_rest):\n    return network(x)"
    with LocalStudent({**namespace, **run_cells(Answer("p4a_attack", "right", "oom", source), {})}) as student:
        outcome = student.call("generate_adversarial_example", call)
    torch.cuda.set_per_process_memory_fraction(1.0)
    again = attacks(device)
    return {
        "error": outcome.error,
        "called our fault": our_fault(outcome.error, outcome.message),
        "points afterwards": [row["points"] for row in again],
        "free before": free,
    }


def failures(found: dict[str, Any]) -> list[str]:
    """What does not hold."""
    wrong = []
    for row in found["exams"]:
        if row["right"] and not row["full"]:
            wrong.append(f"{row['answer']} is right and lost points")
        if not row["right"] and row["full"]:
            wrong.append(f"{row['answer']} is wrong and keeps full marks")
    for row in found["probabilities"]:
        if not row["largest difference"] <= AGREEMENT:
            wrong.append(f"{row['network']}: probabilities differ by {row['largest difference']:.2g}")
    for where in ([found["attacks"]], found["shared"]):
        for rows in where:
            wrong += [
                f"{row['exercise']} has {row['points']} of {row['of']}" for row in rows if row["points"] < row["of"]
            ]
    memory = found.get("out of memory")
    if memory and not memory["called our fault"]:
        wrong.append(f"a GPU without memory is not called our fault: {memory['error']}")
    return wrong


def machine(device: str) -> Row:
    """Where this was run."""
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else platform.processor() or "CPU",
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "Python": platform.python_version(),
        "exercises": len(EXAMS),
    }


def write(found: dict[str, Any]) -> None:
    """Writes `gpu.json` and the page."""
    (HERE / "gpu.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    where, rows = found["machine"], found["exams"]
    both = [key for key in rows[0] if key.startswith("points")]
    other = [row for row in rows if row[both[0]] != row[both[1]]]
    lines = [
        "# On a GPU",
        "",
        f"Written by `python benchmarks/gpu.py` on {where['device']}, torch {where['torch']}, "
        f"torchvision {where['torchvision']}, Python {where['Python']}.",
        "",
        f"**Exams**: {len(rows)} answers of the bank, {sum(row['right'] for row in rows)} of them right. "
        f"{len(other)} get other points on CPU and device together than on the CPU alone.",
        *(f"- {row['answer']}: {row[both[0]]:g} on the CPU, {row[both[1]]:g} with the device" for row in other),
        "",
        "**Probabilities of the photo**, largest difference between CPU and device:",
        *(f"- {row['network']}: {row['largest difference']:.1e}" for row in found["probabilities"]),
        "",
        "**Attacks of the reference answers on the photo**:",
        *(_attack(row) for row in found["attacks"]),
        "",
        "**Two notebooks on one device at the same time**:",
        *(_attack(row) for rows in found["shared"] for row in rows),
    ]
    if memory := found.get("out of memory"):
        lines += ["", f"**No memory left**: {memory['error']}; the grader says: {memory['called our fault']}."]
        lines += [f"Afterwards the attacks earn {memory['points afterwards']} in the same process."]
    wrong = found["failures"]
    lines += ["", f"**Does not hold**: {'; '.join(wrong)}." if wrong else "Everything holds."]
    (HERE / "gpu.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _attack(row: Row) -> str:
    return f"- {row['exercise']}: {row['points']:g} of {row['of']:g}, {row['steps']} steps, {row['attack (s)']:.2f} s"


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--exercises", nargs="*", default=["p"], help="ids begin like this (default: all)")
    parser.add_argument("--jobs", type=int, default=min(8, os.cpu_count() or 1))
    options = parser.parse_args()
    found: dict[str, Any] = {
        "machine": machine(options.device),
        "probabilities": probabilities(options.device),
        "attacks": attacks(options.device),
        "shared": shared(options.device),
    }
    if options.device == "cuda":
        found["out of memory"] = out_of_memory(options.device)
    found["exams"] = exams(options.device, options.exercises, options.jobs)
    found["failures"] = failures(found)
    write(found)
    print((HERE / "gpu.md").read_text(encoding="utf-8"))
    sys.exit(bool(found["failures"]))


if __name__ == "__main__":
    main()
