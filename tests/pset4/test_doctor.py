"""`pset4 doctor` names every trouble and, below it, what to type or to click."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest
from loopback import Page, Server, Shelf, use_shelf

from pset4.command_line import main
from pset4.commands import doctor
from pset4.commands.probes import STOP, machine
from pset4.settings import PACKAGE

RELEASED = PACKAGE.parent / "notebooks"
NAMES = ("problem1_forward", "problem2_classification", "problem3_backward", "problem4_adversarial")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, without downloads."""
    folder = tmp_path / "my notebooks"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PSET4_OFFLINE", "1")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return folder


def ask(probe: str) -> tuple[str, str]:
    """What one probe finds, and the first remedy that it names."""
    lines = list(doctor._examine(probe))
    return "\n".join(line.text for line in lines), next((line.remedy for line in lines if line.remedy), "")


# Python and packages


def test_an_old_python_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 18))
    (line,) = doctor._examine("packages.python")
    assert "too old, 3.11 or newer" in line.text and line.weight == STOP
    assert line.remedy == "conda env create -f environment.yml"


@pytest.mark.parametrize("module", ["command_line.py", "commands/__init__.py", "commands/doctor.py",
                                    "commands/probes/__init__.py", "commands/probes/packages.py"])  # fmt: skip
def test_what_names_an_old_python_can_be_read_by_it(module: str) -> None:
    source = (PACKAGE / module).read_text()
    tree = ast.parse(source, feature_version=(3, 8))
    imported = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    from_ours = {node.module for node in tree.body if isinstance(node, ast.ImportFrom)} - {"__future__"}
    assert "tomllib" not in imported
    assert not from_ours & {"pset4.settings", "pset4.files.assets", "torch"}


BROKEN = {
    "torch is missing": ("torch", "raise ModuleNotFoundError(name='torch')", "not examined"),
    "a library is missing": ("torch", "raise OSError('libcudart.so: not there')", "torch does not start: libcudart"),
    "a package is missing": ("torch", "import not_there_at_all", "torch does not start: No module named 'not_there"),
    "another torchvision": (
        "torchvision",
        "raise RuntimeError('operator torchvision::nms does not exist')",
        "do not fit each other: operator torchvision::nms does not exist",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_torch_that_does_not_start_is_named_and_the_doctor_goes_on(case: str, here: Path, tmp_path: Path) -> None:
    package, source, sentence = BROKEN[case]
    broken = tmp_path / "broken" / package
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text(source)
    environment = {**os.environ, "PYTHONPATH": str(broken.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    result = subprocess.run(
        [sys.executable, "-m", "pset4.command_line", "doctor"], capture_output=True, text=True, env=environment
    )
    assert sentence in result.stdout and "Files of the manifest" in result.stdout, result.stderr
    if case != "torch is missing":  # its metadata are still there
        assert result.returncode == 1
        assert result.stdout.splitlines()[-1].endswith("install --force-reinstall torch torchvision")


def test_missing_packages_are_installed_by_one_command(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    monkeypatch.setattr(metadata, "requires", lambda name: ["ipywidgets>=8", "no-such-one>=1", "nor_this; x > '3'",
                                                            "left_out; extra == 'dev'"])  # fmt: skip
    text, remedy = ask("packages.dependencies")
    assert "missing  no-such-one, nor_this\n" in text
    assert remedy.endswith("pip install no-such-one nor_this")


def test_a_package_that_is_not_installed_at_all_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    def not_found(name: str) -> Any:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", not_found)
    text, remedy = ask("packages.dependencies")
    assert "pset4 is not installed" in text and "install -e" in remedy


def test_remedies_name_the_python_of_this_environment_if_pip_is_another_ones(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor.pip_install("x") == f'"{sys.executable}" -m pip install x'
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    assert doctor.pip_install("x") == "pip install x"


# Jupyter


@pytest.fixture
def other_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The `jupyter-lab` of an environment of its own, without widgets, which stands first in PATH."""
    environment = tmp_path / "other"
    venv.create(environment, with_pip=False)
    program = environment / "bin" / "jupyter-lab"
    program.write_text(f"#!{environment}/bin/python\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "user"))
    return program


def kernel(folder: Path, name: str, python: str, title: str = "A kernel") -> None:
    (folder / "kernels" / name).mkdir(parents=True)
    content = {"argv": [python, "-m", "ipykernel_launcher"], "display_name": title, "language": "python"}
    (folder / "kernels" / name / "kernel.json").write_text(json.dumps(content))


def test_a_lab_without_the_widgets_extension_gets_it_in_its_own_environment(other_lab: Path, tmp_path: Path) -> None:
    text, remedy = ask("jupyter.lab")
    assert f"the JupyterLab in {other_lab.parents[1]} cannot show widgets" in text
    assert remedy == f'"{other_lab.parent}/python" -m pip install jupyterlab_widgets'
    (tmp_path / "user" / "labextensions" / "@jupyter-widgets" / "jupyterlab-manager").mkdir(parents=True)
    assert ask("jupyter.lab")[1] == ""


def test_a_lab_of_another_environment_gets_a_kernel_of_this_one(other_lab: Path, tmp_path: Path) -> None:
    text, remedy = ask("jupyter.kernel")
    assert f"the kernel python3 starts {other_lab.parent}/python, but pset4 is in {sys.prefix}" in text
    command, _, click = remedy.partition("; then ")
    assert click == "click: Kernel, Change Kernel, PSet 4"
    subprocess.run(command, shell=True, check=True, capture_output=True)
    assert (tmp_path / "user" / "kernels" / "pset4" / "kernel.json").is_file()
    assert ask("jupyter.kernel")[1] == "click: Kernel, Change Kernel, PSet 4"


def test_a_kernel_file_that_points_elsewhere_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask("jupyter.kernel") == ("the kernel python3 starts this environment", "")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    kernel(tmp_path, "python3", "/opt/other/bin/python")
    text, remedy = ask("jupyter.kernel")
    assert "the kernel python3 starts /opt/other/bin/python" in text and "-m ipykernel install" in remedy
    kernel(tmp_path, "course", sys.executable, title="The course")
    assert ask("jupyter.kernel")[1] == "click: Kernel, Change Kernel, The course"


def test_colab_is_not_asked_about_its_jupyter(monkeypatch: pytest.MonkeyPatch, other_lab: Path) -> None:
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab")
    assert ask("jupyter.lab") == ask("jupyter.kernel") == ("", "")


# Notebooks


@pytest.fixture
def notebooks(here: Path) -> Path:
    for name in NAMES:
        shutil.copy(RELEASED / f"{name}.ipynb", here)
    return here


def change(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_released_notebooks_are_all_right_here_and_in_the_folder_below(
    notebooks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask("notebooks.there") == (f"notebooks: {notebooks}", "")
    notebooks.rename(notebooks.with_name("notebooks"))
    monkeypatch.chdir(notebooks.parent)
    assert ask("notebooks.there") == (f"notebooks: {notebooks.with_name('notebooks')}", "")


def test_missing_notebooks_are_named(notebooks: Path) -> None:
    (notebooks / "problem3_backward.ipynb").unlink()
    text, remedy = ask("notebooks.there")
    assert "problem3_backward.ipynb is missing" in text
    assert remedy.startswith("curl ") and remedy.endswith("/notebooks/problem3_backward.ipynb")
    for path in notebooks.iterdir():
        path.unlink()
    assert "no notebook of the course" in ask("notebooks.there")[0]


IMPORTS = {
    "a name": ("from pset4 import load_corgi, a_new_helper", "no pset4.a_new_helper"),
    "a module": ("from pset4.a_new_module import something", "no pset4.a_new_module.something"),
    "beside a magic": ("%matplotlib inline\nfrom pset4 import a_new_helper", "no pset4.a_new_helper"),
}


@pytest.mark.parametrize("case", IMPORTS)
def test_a_notebook_of_another_release_is_named(case: str, notebooks: Path) -> None:
    source, sentence = IMPORTS[case]
    change(notebooks / "problem2_classification.ipynb", cells=[{"cell_type": "code", "source": source}])
    text, remedy = ask("notebooks.there")
    assert "problem2_classification.ipynb is of another release" in text and sentence in text
    assert "pip install" in remedy


@pytest.mark.parametrize(
    "source", ["def f(:", "from torch import no_such_name", "from pset4 import checks, load_corgi"]
)
def test_what_a_student_writes_is_not_taken_for_another_release(source: str, notebooks: Path) -> None:
    change(notebooks / "problem2_classification.ipynb", cells=[{"cell_type": "code", "source": source}])
    assert ask("notebooks.there")[1] == ""


@pytest.mark.parametrize(("version", "minor"), [(4, 9), (5, 0)])
def test_a_notebook_format_of_the_future_is_named(version: int, minor: int, notebooks: Path) -> None:
    change(notebooks / "problem1_forward.ipynb", nbformat=version, nbformat_minor=minor)
    text, remedy = ask("notebooks.there")
    assert f"problem1_forward.ipynb was saved in the notebook format {version}.{minor}, which is too new" in text
    assert remedy.endswith("pip install --upgrade jupyterlab nbformat")


@pytest.mark.parametrize("content", ["", "<<<<<<< HEAD", "[]", '{"cells": []}'])
def test_a_damaged_notebook_is_named(content: str, notebooks: Path) -> None:
    (notebooks / "problem1_forward.ipynb").write_text(content)
    text, remedy = ask("notebooks.there")
    assert "problem1_forward.ipynb cannot be read as a notebook" in text
    assert remedy == "click: File, Revert Notebook to Checkpoint"


@pytest.mark.parametrize(
    ("file", "shown"),
    [
        ("pset4/__init__.py", "pset4"),
        ("pset4.py", "pset4.py"),
        ("torch.py", "torch.py"),
        ("numpy/__init__.py", "numpy"),
    ],
)
def test_what_hides_a_package_is_moved_away(file: str, shown: str, here: Path) -> None:
    (here / file).parent.mkdir(exist_ok=True)
    (here / file).touch()
    text, remedy = ask("notebooks.hidden")
    assert text.startswith(f"{here / shown} hides the installed package")
    subprocess.run(remedy, shell=True, check=True)
    assert ask("notebooks.hidden") == ("", "")


def test_a_folder_that_hides_nothing_is_left_alone(here: Path) -> None:
    (here / "pset4").mkdir()  # an unzipped release: without __init__.py, the installed package is found first
    assert ask("notebooks.hidden") == ("", "")


# Machine


def test_a_card_that_torch_does_not_use_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    text, remedy = ask("machine.device")
    assert "this torch is a build for CPUs" in text and remedy.endswith("--force-reinstall torch torchvision")
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    text, remedy = ask("machine.device")
    assert "driver does not run torch's CUDA 13.2" in text and remedy.startswith("click: ")


@pytest.mark.parametrize(("value", "is_named"), [("1", True), ("2", False), (None, False)])
def test_a_single_thread_is_named(value: str | None, is_named: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if value:
        monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert ask("machine.threads")[1] == ("unset OMP_NUM_THREADS" if is_named else "")


@pytest.mark.parametrize(
    ("files", "gigabytes"),
    [
        ({}, 8),
        ({"memory.max": "max\n", "memory.current": "1\n"}, 8),
        ({"memory.max": "2000000000\n", "memory.current": "500000000\n"}, 1.5),
        ({"memory/memory.limit_in_bytes": "4000000000", "memory/memory.usage_in_bytes": "5000000000"}, 0),
    ],
)
def test_memory_is_what_the_container_leaves(
    files: dict[str, str], gigabytes: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = {f"sys/fs/cgroup/{name}": content for name, content in files.items()}
    contents["proc/meminfo"] = "MemAvailable: 7812500 kB\nSwap: 0 kB\n"
    for name, content in contents.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    free = machine.available_memory(tmp_path)
    assert free == gigabytes * 1e9
    monkeypatch.setattr(machine, "available_memory", lambda: free)
    assert bool(ask("machine.memory")[1]) == (gigabytes < 3)


def test_a_system_that_does_not_say_how_much_memory_it_has_is_no_trouble(tmp_path: Path) -> None:
    assert machine.available_memory(tmp_path) is None


# Files and network


@pytest.fixture
def shelf(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """A course of one photo that is not here yet."""
    monkeypatch.setattr("pset4.files.manifest.data_folder", lambda: tmp_path)
    server.pages["/corgi"] = Page(b"corgi")
    shelf = Shelf(tmp_path)
    shelf.add("corgi", "images/corgi.jpg", f"{server.address}/corgi", content=b"corgi")
    for name in (
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
        "NO_PROXY",
        "no_proxy",
    ):
        monkeypatch.delenv(name, raising=False)
    return use_shelf(shelf, monkeypatch)


def move_to(shelf: Shelf, address: str) -> None:
    """Gives the photo another address."""
    shelf.manifest.unlink()
    shelf.add("corgi", "images/corgi.jpg", address, content=b"corgi")


def test_a_server_that_answers_is_no_trouble(shelf: Shelf) -> None:
    text, remedy = ask("files.network")
    assert text.endswith(": answers") and not remedy
    assert ask("files.manifest")[1] == "pset4 fetch"


def test_no_connection_is_answered_by_working_without(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    move_to(shelf, "http://127.0.0.1:9/corgi")
    text, remedy = ask("files.network")
    assert "127.0.0.1:9: no connection" in text and remedy == "export PSET4_OFFLINE=1"
    monkeypatch.setenv("PSET4_OFFLINE", "1")
    text, remedy = ask("files.network")
    assert "PSET4_OFFLINE is set" in text and remedy == "unset PSET4_OFFLINE"


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_that_does_not_answer_is_named_without_its_password(
    name: str, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    move_to(shelf, "http://photos.example/corgi")
    monkeypatch.setenv(name, "http://me:secret@127.0.0.1:9")
    text, remedy = ask("files.network")
    assert f"the proxy of {name} does not answer" in text and remedy == f"unset {name}"
    assert f"{name}: http://...@127.0.0.1:9" in ask("files.settings")[0]
    assert "secret" not in ask("files.settings")[0]


def test_a_certificate_that_is_not_accepted_is_named(shelf: Shelf, server: Server) -> None:
    move_to(shelf, f"{server.address.replace('http:', 'https:')}/corgi")
    text, remedy = ask("files.network")
    assert "its certificate is not accepted" in text and remedy.endswith("install --upgrade certifi pip-system-certs")


def test_a_cache_folder_that_cannot_be_written_is_moved(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.cache.write_text("a file where the folder should be")
    text, remedy = ask("files.cache")
    assert f"{shelf.cache} cannot be written (" in text
    assert remedy.startswith("export PSET4_CACHE=")


def test_a_full_disk_is_named(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 10**9, 12_000_000))
    text, remedy = ask("files.cache")
    assert "the disk is almost full: 12.0 MB free, 50.0 MB are needed" in text and remedy.endswith("pip cache purge")


def test_a_wrong_file_is_fetched_again(shelf: Shelf) -> None:
    shelf.put(shelf.cache, "images/corgi.jpg", b"wrong")
    text, remedy = ask("files.manifest")
    assert "WRONG    corgi" in text and remedy == "pset4 fetch corgi"


# The report


def test_each_remedy_stands_below_its_trouble_and_the_worst_comes_next(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    monkeypatch.setattr(doctor, "PROBES", {"Both": ("machine.threads", "packages.python")})
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(sys, "version_info", (3, 9, 18))
    assert main(["doctor"]) == 1
    title, thread, remedy, *_, last = capsys.readouterr().out.splitlines()
    assert title == "Both" and "OMP_NUM_THREADS is 1" in thread and remedy.strip() == "-> unset OMP_NUM_THREADS"
    assert last == "Next: conda env create -f environment.yml"


def test_a_probe_that_fails_does_not_end_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> bool:
        raise OSError("what nobody thought of")

    monkeypatch.setattr(shutil, "which", broken)
    assert ask("jupyter.lab")[0] == "not examined (lab): what nobody thought of"


def test_every_probe_of_the_table_is_there() -> None:
    from importlib import import_module

    for probe in (probe for probes in doctor.PROBES.values() for probe in probes):
        module, name = probe.split(".")
        assert callable(getattr(import_module(f"pset4.commands.probes.{module}"), name))
