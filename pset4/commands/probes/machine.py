"""Device, threads and memory."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

from pset4.commands.fetch import file_size
from pset4.commands.probes import NOTE, Line, pip_install, unset_variable

# A kernel with notebook 4's networks, its attacks and its figures, and JupyterLab beside it.
NEEDED_BYTES = 3_000_000_000


def device() -> Iterator[Line]:
    """What the networks run on, and why it is not the graphics card that is there."""
    import torch

    from pset4.device import best_device

    found = best_device()
    name = torch.cuda.get_device_name() if found.type == "cuda" else platform.processor() or platform.machine()
    yield Line(f"{found.type} ({name}), {torch.get_num_threads()} CPU threads")
    if found.type == "cpu" and shutil.which("nvidia-smi"):
        if torch.version.cuda is None:
            yield Line("an NVIDIA card is there, but this torch is a build for CPUs", _cuda_build(), NOTE)
        else:
            text = f"an NVIDIA card is there, but its driver does not run torch's CUDA {torch.version.cuda}"
            yield Line(text, "click: update the driver, https://www.nvidia.com/drivers", NOTE)


def _cuda_build() -> str:
    if platform.system() == "Linux":  # there, the ordinary wheels are the ones with CUDA
        return pip_install("--force-reinstall torch torchvision")
    return "click: CUDA on https://pytorch.org/get-started/locally, and type what it shows"


def threads() -> Iterator[Line]:
    """A single thread where there are more cores: somebody's setting for another program."""
    cores = os.cpu_count() or 1
    if os.environ.get("OMP_NUM_THREADS") == "1" and cores > 1:
        text = f"OMP_NUM_THREADS is 1: one of {cores} cores works, and attacks take longer"
        yield Line(text, unset_variable("OMP_NUM_THREADS"), NOTE)


def memory() -> Iterator[Line]:
    """What is free, within the limit of the container if there is one."""
    free = available_memory()
    if free is None:
        return
    if free < NEEDED_BYTES:
        text = f"{file_size(free)} of memory are free, notebook 4 needs {file_size(NEEDED_BYTES)}"
        yield Line(text, "click: Kernel, Shut Down All Kernels; then open one notebook at a time")
    else:
        yield Line(f"{file_size(free)} of memory are free")


def available_memory(root: Path = Path("/")) -> int | None:
    """Bytes that a new process can have; None where the system does not say.

    Args:
        root: Where `proc` and `sys` are.
    """
    try:
        table = dict(line.split(":") for line in (root / "proc/meminfo").read_text().splitlines())
        free = int(table["MemAvailable"].split()[0]) * 1024
    except (OSError, ValueError, KeyError):
        return None
    group = root / "sys/fs/cgroup"
    for limit, usage in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            free = min(free, int((group / limit).read_text()) - int((group / usage).read_text()))
        except (OSError, ValueError):  # no such group, or no limit ("max")
            continue
    return max(free, 0)
