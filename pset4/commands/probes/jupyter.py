"""JupyterLab, and the kernel that it starts."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from pset4.commands.probes import NOTE, Line, pip_install

WIDGETS = "@jupyter-widgets/jupyterlab-manager"


def is_colab() -> bool:
    """Whether this is a terminal or a cell of Colab, whose Jupyter is not a student's business."""
    return "COLAB_RELEASE_TAG" in os.environ


def lab() -> Iterator[Line]:
    """Which JupyterLab starts, and whether it can show widgets: they need their extension where JupyterLab is."""
    if is_colab():
        return
    program = _lab_program()
    if program is None:
        yield Line("JupyterLab is not installed", pip_install('"pset4[lab]"'), NOTE)
        return
    yield Line(f"jupyter lab starts {program}")
    folders = [program.parents[1] / "share/jupyter/labextensions", *_seen_by(program, "labextensions")]
    if not any((folder / WIDGETS).is_dir() for folder in folders):
        text = f"the JupyterLab in {program.parents[1]} cannot show widgets: its extension for them is missing"
        yield Line(text, f'"{_python_of(program)}" -m pip install jupyterlab_widgets')


def kernel() -> Iterator[Line]:
    """Whether a notebook's kernel, `python3`, has this environment's packages."""
    program = _lab_program()
    if is_colab() or program is None:
        return
    kernels = _kernels(program)
    ours = {name: title for name, (title, python) in kernels.items() if _is_ours(python)}
    if "python3" in ours:
        yield Line("the kernel python3 starts this environment")
        return
    text = f"the kernel python3 starts {kernels['python3'][1]}, but pset4 is in {sys.prefix}"
    if ours:
        title = next(iter(ours.values()))
        yield Line(text, f"click: Kernel, Change Kernel, {title}", NOTE)
    else:
        command = f'"{sys.executable}" -m ipykernel install --user --name pset4 --display-name "PSet 4"'
        yield Line(text, f"{command}; then click: Kernel, Change Kernel, PSet 4")


def _lab_program() -> Path | None:
    """What `jupyter lab` starts in this terminal, or would start if this environment were active."""
    found = shutil.which("jupyter-lab") or shutil.which("jupyter-lab", path=str(Path(sys.executable).parent))
    return Path(os.path.realpath(found)) if found else None


def _kernels(program: Path) -> dict[str, tuple[str, str]]:
    """Title and Python of each kernel that a JupyterLab offers; `python3` is its own Python unless a file says else."""
    from jupyter_client.kernelspec import KernelSpecManager

    own = _python_of(program)
    kernels = {"python3": ("Python 3", own)}
    folders = [str(folder) for folder in _seen_by(program, "kernels")]
    manager = KernelSpecManager(kernel_dirs=folders, ensure_native_kernel=False)
    for name, found in manager.get_all_specs().items():
        python, *_ = found["spec"]["argv"]
        if Path(python).is_absolute():
            kernels[name] = (found["spec"]["display_name"], python)
        elif name != "python3" and python.startswith("python"):
            kernels[name] = (found["spec"]["display_name"], own)
    return kernels


def _seen_by(program: Path, kind: str) -> list[Path]:
    """Where a JupyterLab looks for extensions or kernels: not in this environment, if it belongs to another one."""
    from jupyter_core.paths import jupyter_path

    is_ours = _is_ours(_python_of(program))
    return [Path(folder) for folder in jupyter_path(kind) if is_ours or not folder.startswith(sys.prefix + os.sep)]


def _python_of(program: Path) -> str:
    """The Python that runs a program: its first line says so, except on Windows."""
    with program.open("rb") as file:
        first = file.readline().decode(errors="replace").strip()
    return first[2:] if first.startswith("#!/") and "python" in first else str(program.parent / "python")


def _is_ours(python: str) -> bool:
    """Whether this is a Python of the environment that the doctor runs in."""
    return os.path.realpath(Path(python).parent) == os.path.realpath(Path(sys.executable).parent)
