"""`pset4 fetch` and `pset4 doctor`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_files import madrylab_checkpoint, save_with_dill
from loopback import QUICK, Page, Server, Shelf, use_shelf
from torch import nn

from pset4.command_line import main
from pset4.commands import fetch
from pset4.commands.probes import packages
from pset4.files.manifest import load_manifest


@pytest.fixture
def shelf(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """All five files of the course, as small ones on the server."""
    monkeypatch.setattr(fetch, "PATIENCE", QUICK)
    shelf = Shelf(tmp_path)
    shelf.mirror.mkdir()
    checkpoint = save_with_dill(madrylab_checkpoint(nn.Linear(2, 2)), tmp_path / "net.ckpt", zipped=True).read_bytes()
    for asset in load_manifest().values():
        content = checkpoint if asset.name == "resnet50_robust" else asset.name.encode() * 100
        server.pages[f"/{asset.name}"] = Page(content)
        shelf.add(asset.name, asset.path, f"{server.address}/{asset.name}", content=content)
    return use_shelf(shelf, monkeypatch)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    status = main(arguments)
    return status, capsys.readouterr().out


def lines_about(text: str, name: str) -> list[str]:
    return [line for line in text.splitlines() if line.split()[1:2] in ([f"{name}:"], [name])]


def test_fetch_gets_everything_and_says_so_file_by_file(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = run(capsys, "fetch")
    assert status == 0
    for asset in load_manifest().values():
        (line,) = lines_about(text, asset.name)
        assert line.startswith("ready") and str(shelf.cache / asset.path) in line
        assert asset.licence in line and asset.attribution in line


def test_fetch_takes_names(shelf: Shelf, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "fetch", "tabby")[0] == 0
    assert [path for path, _ in server.requests] == ["/tabby"]


def test_fetch_goes_on_after_a_failure_and_reports_it(
    shelf: Shelf, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    del server.pages["/corgi_2"]
    server.pages["/tabby"].content += b"wrong"
    status, text = run(capsys, "fetch")
    assert status == 1
    assert "answered 404" in lines_about(text, "corgi_2")[0]
    assert "wrong checksum" in text
    assert [lines_about(text, name)[0].split()[0] for name in ("corgi", "corgi_2", "tabby", "resnet50_robust")] == [
        "ready", "FAILED", "FAILED", "ready"
    ]  # fmt: skip
    assert text.splitlines()[-1] == "2 of 5 could not be had: corgi_2, tabby."


def test_fetch_refuses_a_hostile_checkpoint(
    shelf: Shelf, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Hostile:
        def __reduce__(self) -> Any:
            return eval, (f"open({str(tmp_path / 'marker')!r}, 'w')",)

    torch.save({"model": Hostile()}, tmp_path / "hostile.ckpt")
    content = (tmp_path / "hostile.ckpt").read_bytes()
    shelf.manifest.unlink()
    server.pages["/hostile"] = Page(content)
    shelf.add("resnet50_robust", "networks/net.ckpt", f"{server.address}/hostile", content=content)
    status, text = run(capsys, "fetch", "resnet50_robust")
    assert status == 1 and "FAILED" in text and "eval" in text
    assert not (tmp_path / "marker").exists()


def test_an_unknown_name_is_answered_with_the_known_ones(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "korgi"]) == 1
    assert "korgi; it has corgi, corgi_2, tabby" in capsys.readouterr().err


def test_doctor_finds_what_is_missing_and_names_the_command(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = run(capsys, "doctor")
    assert status == 0, "the embedded networks are enough to work"
    assert lines_about(text, "corgi")[0].split()[0] == "missing"
    assert text.splitlines()[-1] == "Next: pset4 fetch"
    for fact in (f"torch {torch.__version__.split('+')[0]}", f"cache folder: {shelf.cache}", "CPU threads"):
        assert fact in text


def test_doctor_is_content_when_all_is_there(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "fetch")
    status, text = run(capsys, "doctor")
    assert status == 0
    assert "missing" not in text
    assert text.splitlines()[-1].startswith("Next: ") and "jupyter lab" in text.splitlines()[-1]


def test_doctor_names_a_wrong_file_and_leaves_it(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = shelf.put(shelf.cache, "images/corgi.jpg", b"wrong")
    status, text = run(capsys, "doctor")
    assert status == 0
    assert "WRONG    corgi" in text and "expected SHA-256" in text and "found    SHA-256" in text
    assert text.splitlines()[-1] == "Next: pset4 fetch corgi"
    assert wrong.read_bytes() == b"wrong"


def test_doctor_does_not_send_an_offline_machine_to_the_network(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PSET4_OFFLINE", "1")
    text = run(capsys, "doctor")[1]
    assert "jupyter lab" in text.splitlines()[-1]


@pytest.mark.parametrize(("with_files", "expected_status"), [(False, 1), (True, 0)])
def test_doctor_fails_when_there_is_no_network_to_work_with(
    with_files: bool,
    expected_status: int,
    shelf: Shelf,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if with_files:
        run(capsys, "fetch")
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    status, text = run(capsys, "doctor")
    assert status == expected_status
    assert text.splitlines()[-1].endswith('pip install "pset4[embedded]"')


def test_doctor_names_a_mirror_that_does_not_exist(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    shelf.mirror.rmdir()
    text = run(capsys, "doctor")[1]
    assert f"mirror {shelf.mirror}: there is no such folder" in text
    assert "PSET4_MIRROR" in text.splitlines()[-1]


def test_the_installed_command_runs(shelf: Shelf) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "pset4.command_line", "--help"], capture_output=True, text=True, check=True
    )
    assert "fetch" in result.stdout and "doctor" in result.stdout
    without = subprocess.run([sys.executable, "-m", "pset4.command_line"], capture_output=True, text=True, check=False)
    assert without.returncode == 2 and "command" in without.stderr
