"""The course's settings, the device, the seeds, and the package's public names."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import pset4
from pset4.device import best_device, seed_everything
from pset4.settings import data_folder, is_grading, load_settings, n_iter

COMPLETE = """
[course]
repository = "someone/course"
branch = "spring"
[attack]
n_iter = 20
n_iter_while_grading = 5
"""


def test_the_courses_settings_are_read() -> None:
    settings = load_settings()
    assert settings.repository.count("/") == 1 and settings.branch
    assert settings.n_iter >= settings.n_iter_while_grading >= 1


def test_settings_of_ones_own_are_read(tmp_path: Path) -> None:
    path = tmp_path / "pset4.toml"
    path.write_text(COMPLETE)
    settings = load_settings(path)
    assert (settings.repository, settings.branch) == ("someone/course", "spring")
    assert (settings.n_iter, settings.n_iter_while_grading) == (20, 5)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("n_iter = 20", "", r"\[attack\]: the setting n_iter is missing; it is a positive integer"),
        ("[course]", "[coarse]", r"there is no section \[coarse\]; did you mean \[course\]\?"),
        ("[attack]", "[xyz]", r"there is no section \[xyz\]; there is \[attack\], \[course\], \[grading\]"),
        (COMPLETE, "attack = 3\n", r"\[attack\] must be a section, not 3"),
        ("n_iter = 20", "n_iter = 0", "n_iter must be a positive integer, not 0"),
        ("n_iter = 20", "n_iter = true", "n_iter must be a positive integer, not True"),
        ("n_iter_while_grading = 5", "n_iter_while_grading = 2.5", "n_iter_while_grading must be .* not 2.5"),
        ("n_iter = 20", "n_iter = ", "cannot be read"),
        ("[attack]", "[grading]\ntwo_process = false\n[attack]", r"\[grading\]: .* did you mean two_processes\?"),
        ("[attack]", "[grading]\ntwo_processes = 'no'\n[attack]", "two_processes must be true or false, .* not 'no'"),
        ("[attack]", "[grading]\nqqq = 1\n[attack]", "there is two_processes, unsafe_no_sandbox"),
        ("someone/course", "https://gitlab.com/a/b", 'repository must be "owner/name" of a repository on GitHub'),
        ("someone/course", "https://github.com/someone", "repository must be"),
        ("someone/course", "course", "repository must be"),
        ('"someone/course"', "7", "repository must be"),
        ('"spring"', '"my branch"', "branch must be the name of a branch"),
    ],
)
def test_a_wrong_setting_is_named(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "pset4.toml"
    path.write_text(COMPLETE.replace(old, new))
    with pytest.raises(ValueError, match=message) as error:
        load_settings(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    "address",
    [
        *(
            "https://github.com/a/b-c",
            "https://github.com/a/b-c.git",
            "http://www.github.com/a/b-c/",
            "github.com/a/b-c",
        ),
        *("git@github.com:a/b-c.git", "a/b-c"),
    ],
)
def test_an_address_on_github_is_its_owner_and_name(address: str, tmp_path: Path) -> None:
    path = tmp_path / "pset4.toml"
    path.write_text(COMPLETE.replace("someone/course", address))
    assert load_settings(path).repository == "a/b-c"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"pset4\.toml cannot be read"):
        load_settings(tmp_path / "pset4.toml")


@pytest.mark.parametrize(
    ("value", "grading"), [(None, False), ("", False), ("autograde", True), ("validate", True), ("elsewhere", False)]
)
def test_attacks_are_shorter_while_nbgrader_executes(
    value: str | None, grading: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is None:
        monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    else:
        monkeypatch.setenv("NBGRADER_EXECUTION", value)
    settings = load_settings()
    assert is_grading() is grading
    assert n_iter() == (settings.n_iter_while_grading if grading else settings.n_iter)


def test_the_data_folder_holds_the_manifest() -> None:
    assert (data_folder() / "manifest.json").is_file()


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_the_fastest_device_is_chosen(cuda: bool, mps: bool, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert best_device() == torch.device(expected)


def test_a_seed_repeats_all_random_numbers() -> None:
    def draw() -> list[float]:
        return [random.random(), float(np.random.rand()), float(torch.rand(1))]

    seed_everything(7)
    first = draw()
    seed_everything(7)
    assert draw() == first
    seed_everything(8)
    assert not set(draw()) & set(first)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_numpy_refuses_is_refused_for_all(seed: int) -> None:
    with pytest.raises(ValueError, match=f"seed must lie between 0 and 4294967295, not {seed}"):
        seed_everything(seed)


def test_public_names_are_there() -> None:
    for name in dir(pset4):
        assert getattr(pset4, name) is not None
    assert {"load_model", "load_corgi", "L2Step", "n_iter", "best_device", "class_name"} <= set(dir(pset4))
    with pytest.raises(AttributeError, match="load_modell"):
        _ = pset4.load_modell


def test_importing_the_package_imports_no_torch() -> None:
    code = "import sys, pset4; print([name for name in ('torch', 'matplotlib', 'requests') if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
