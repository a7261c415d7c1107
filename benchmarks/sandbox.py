"""What the sandbox costs for each submission: `python benchmarks/sandbox.py` writes `sandbox.json` and `sandbox.md`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from autograder.engine.grader.launcher import Warm
from autograder.engine.grader.sandbox import Namespace
from autograder.engine.grader.session import Session, open_session
from autograder.engine.wire.limits import Limits

HERE = Path(__file__).parent
COLD = "import IPython, matplotlib.pyplot, numpy, torch, torchvision, pset4.networks.network"
Samples = dict[str, list[float]]


def timed(samples: Samples, name: str, action: Callable[[], object]) -> object:
    """Runs an action and notes how long it took, in milliseconds."""
    started = time.perf_counter()
    result = action()
    samples.setdefault(name, []).append(1000 * (time.perf_counter() - started))
    return result


def private_memory(pid: int) -> float:
    """Memory of a process that it shares with no other, in MB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    kept = [int(line.split()[1]) for line in lines if line.startswith(("Private_Dirty", "Private_Clean"))]
    return sum(kept) * 1024 / 1e6


def one_submission(warm: Warm, samples: Samples, *, sandbox: bool) -> None:
    """Opens a session, runs two cells, calls a function with small and with large data, and closes it."""
    kind = "sandboxed" if sandbox else "no sandbox"
    session = timed(samples, f"{kind}: start", lambda: open_session(limits=Limits(), sandbox=sandbox, warm=warm))
    assert isinstance(session, Session)
    source = "import torch\ndef double(x):\n    return 2 * x"
    timed(samples, f"{kind}: first cell", lambda: session.run_cell(source))
    timed(samples, f"{kind}: next cell", lambda: session.run_cell("x = 1"))
    student = session.student()
    small, photo = torch.ones(16), torch.rand(1, 3, 224, 224)
    timed(samples, f"{kind}: first call", lambda: student.call("double", [small]))
    for _ in range(20):
        timed(samples, f"{kind}: call, 16 numbers", lambda: student.call("double", [small]))
        timed(samples, f"{kind}: call, a photo of 0.6 MB", lambda: student.call("double", [photo]))
    if sandbox:
        samples.setdefault("memory of its own (MB)", []).append(private_memory(session.leader))
    timed(samples, f"{kind}: end", session.close)


def bubblewrap_alone(samples: Samples) -> None:
    """The namespaces without anything in them."""
    arguments = {"limits": Limits(), "scratch_files": None, "readable": [], "device": "cpu"}
    namespace = timed(samples, "bubblewrap alone: start", lambda: Namespace(**arguments))  # type: ignore[arg-type]
    assert isinstance(namespace, Namespace)
    timed(samples, "bubblewrap alone: end", namespace.close)


def measure(submissions: int) -> dict[str, object]:
    """All figures, as medians and 95th percentiles."""
    samples: Samples = {}
    warm = Warm()
    timed(samples, "once: start of the warm process", warm.wait_until_ready)
    one_submission(warm, {}, sandbox=True)
    for _ in range(submissions):
        one_submission(warm, samples, sandbox=True)
        one_submission(warm, samples, sandbox=False)
        bubblewrap_alone(samples)
    warm.close()
    for _ in range(3):
        timed(
            samples,
            "for comparison: a fresh interpreter's imports",
            lambda: subprocess.run([sys.executable, "-c", COLD]),
        )
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "versions": f"Python {platform.python_version()}, torch {torch.__version__}",
        "submissions": submissions,
        "results": {name: summary(values) for name, values in samples.items()},
    }


def summary(values: list[float]) -> dict[str, float]:
    """Median, 95th percentile and smallest of some values."""
    ordered = sorted(values)
    p95 = ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]
    return {"median": round(statistics.median(ordered), 2), "p95": round(p95, 2), "smallest": round(ordered[0], 2)}


def as_markdown(figures: dict[str, object]) -> str:
    """The table that stands beside the data."""
    results = figures["results"]
    assert isinstance(results, dict)
    rows = [f"| {name} | {r['median']} | {r['p95']} | {r['smallest']} |" for name, r in results.items()]
    head = [
        "# Cost of the sandbox for each submission",
        "",
        f"{figures['submissions']} submissions of each kind, one after another; {figures['machine']}; "
        f"{figures['versions']}. Milliseconds, unless it says otherwise. Written by `benchmarks/sandbox.py`.",
        "",
        "| what | median | 95 % | smallest |",
        "|---|---|---|---|",
    ]
    return "\n".join([*head, *rows, ""])


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--submissions", type=int, default=30)
    figures = measure(parser.parse_args().submissions)
    (HERE / "sandbox.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    (HERE / "sandbox.md").write_text(as_markdown(figures), encoding="utf-8")
    print(as_markdown(figures))


if __name__ == "__main__":
    main()
