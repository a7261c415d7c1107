"""`pset4 doctor`: what is there, what is missing, and what to type next."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec

from pset4.commands.probes import NOTE, STOP, Line, first_line, pip_install

# Module and function of each probe. A module is imported when its turn comes: what is broken is to be named, not met.
PROBES = {
    "Python and packages": ("packages.python", "packages.dependencies", "packages.torch_and_torchvision"),
    "Jupyter and notebooks": ("jupyter.lab", "jupyter.kernel", "notebooks.hidden", "notebooks.there"),
    "Machine": ("machine.device", "machine.threads", "machine.memory"),
    "Settings": ("files.settings", "files.cache", "files.network"),
    "Files of the manifest": ("files.manifest",),
    "Networks and photo without a download": ("packages.embedded",),
}


def run(options: argparse.Namespace) -> int:
    """Examines this machine, prints a line for each thing found, and below each trouble its remedy.

    Returns:
        1 if the notebooks cannot run, else 0.
    """
    lines: list[Line] = []
    for title, probes in PROBES.items():
        print(title)
        for line in (line for probe in probes for line in _examine(probe)):
            print(f"  {line.text}" + (f"\n      -> {line.remedy}" if line.remedy else ""))
            lines.append(line)
    troubles = [line for line in lines if line.remedy and line.weight != NOTE]
    # The worst first; where two are alike, the one that was looked at first.
    troubles.sort(key=lambda line: line.weight != STOP)
    print(f"\nNext: {troubles[0].remedy if troubles else _start()}")
    return 1 if any(line.weight == STOP for line in troubles) else 0


def _examine(probe: str) -> Iterator[Line]:
    module, name = probe.split(".")
    try:
        yield from getattr(import_module(f"pset4.commands.probes.{module}"), name)()
    except Exception as error:
        yield Line(f"not examined ({name}): {first_line(error)}")


def _start() -> str:
    if "COLAB_RELEASE_TAG" in os.environ:
        return "go on in your notebook"
    return "jupyter lab" if find_spec("jupyterlab") else pip_install('"pset4[lab]"') + ", then: jupyter lab"
