"""Grader and sandbox use the same bytes: what one has the other has, what changes is noticed, nothing else is seen."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from loopback import Shelf, use_shelf

from autograder.engine.grader.assets import grading_assets, grading_checksums, pinned, shown_assets
from autograder.engine.grader.launcher import SAME_AS_GRADER, Warm
from autograder.engine.grader.sandbox import Namespace, SandboxUnavailable
from autograder.engine.grader.session import CannotStart, Session, open_session
from autograder.engine.wire.limits import Limits
from pset4 import images
from pset4.files.assets import AssetError, AssetUnavailableError, fetch, required_hashes, required_variable
from pset4.networks import network as networks

PHOTO, WEIGHTS = b"a photo", b"weights"
# The first session of a process refuses for all; what goes wrong later is this notebook's "not gradable".
SESSION_REFUSED = (SandboxUnavailable, CannotStart)
PHOTO_HASH = hashlib.sha256(PHOTO).hexdigest()


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """A manifest with a photo in the mirror, weights in the cache, and a file that this machine does not have."""
    shelf = use_shelf(Shelf(tmp_path), monkeypatch)
    shelf.add("photo", "images/photo.jpg", "https://user:password@example.org/photo.jpg", content=PHOTO)
    shelf.add("weights", "networks/weights.pth", content=WEIGHTS)
    shelf.add("elsewhere", "images/elsewhere.jpg", content=b"not on this machine")
    shelf.put(shelf.mirror, "images/photo.jpg", PHOTO)
    shelf.put(shelf.cache, "networks/weights.pth", WEIGHTS)
    monkeypatch.delenv("PSET4_REQUIRED", raising=False)
    return shelf


@pytest.fixture(scope="module")
def warm() -> Iterator[Warm]:
    process = Warm()
    yield process
    process.close()


def run(session: Session, source: str) -> str:
    result = session.run_cell(source)
    text = "".join(output.get("text", "") + output.get("evalue", "") for output in result.outputs)
    assert result.status == "ok", text
    return text


# The variable


def required(monkeypatch: pytest.MonkeyPatch, **checksums: str) -> None:
    monkeypatch.setenv("PSET4_REQUIRED", required_variable(checksums))


def test_exactly_the_required_files_are_used(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    required(monkeypatch, photo=PHOTO_HASH)
    assert required_hashes() == {"photo": PHOTO_HASH}
    assert fetch("photo").read_bytes() == PHOTO
    with pytest.raises(AssetUnavailableError, match="PSET4_REQUIRED does not name it"):
        fetch("weights")  # though it is there
    monkeypatch.setenv("PSET4_REQUIRED", "")
    with pytest.raises(AssetUnavailableError):
        fetch("photo")


@pytest.mark.parametrize("content", [None, b"other bytes"])
def test_a_required_file_that_is_not_there_unchanged_is_an_error_that_nothing_hides(
    content: bytes | None, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    required(monkeypatch, photo=PHOTO_HASH, corgi=PHOTO_HASH, resnet50_standard=PHOTO_HASH, resnet50_robust=PHOTO_HASH)
    places = {
        "images/photo.jpg",
        "images/corgi.jpg",
        "networks/resnet50-0676ba61.pth",
        "networks/resnet50_l2_eps3.ckpt",
    }
    for path in places:
        (shelf.mirror / path).unlink(missing_ok=True)
        if content is not None:
            shelf.put(shelf.mirror, path, content)
    for call in (
        lambda: fetch("photo"),
        lambda: images.load_corgi("cpu"),
        lambda: networks.load_model("standard", "cpu"),
        lambda: networks.load_model("robust", "cpu"),
    ):
        with pytest.raises(AssetError, match="nothing takes its place") as error:
            call()
        assert not isinstance(error.value, AssetUnavailableError)


def test_a_full_home_does_not_bring_the_substitute(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache that cannot be written does not hide what the mirror has."""
    required(monkeypatch, weights=hashlib.sha256(WEIGHTS).hexdigest())
    shelf.put(shelf.mirror, "networks/weights.pth", WEIGHTS)
    monkeypatch.setenv("PSET4_CACHE", "/proc/nowhere")
    assert fetch("weights").read_bytes() == WEIGHTS


@pytest.mark.parametrize("text", ["photo", "photo=12", "=" + PHOTO_HASH, f"photo:{PHOTO_HASH}"])
def test_a_variable_of_another_form_is_refused(text: str, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PSET4_REQUIRED", text)
    with pytest.raises(AssetError, match="name=sha256"):
        fetch("photo")


# The grader's side


def test_the_grader_finds_its_files_without_a_download(shelf: Shelf) -> None:
    photo, weights = shelf.mirror / "images" / "photo.jpg", shelf.cache / "networks" / "weights.pth"
    assert {name: grading_assets().get(name) for name in ("photo", "weights", "elsewhere")} == {
        "photo": photo,
        "weights": weights,
        "elsewhere": None,
    }
    assert grading_checksums()["weights"] == hashlib.sha256(WEIGHTS).hexdigest()
    assert shown_assets()[Path("/srv/pset4/images/photo.jpg")] == photo
    assert f"photo={PHOTO_HASH}" in pinned()["PSET4_REQUIRED"] and "elsewhere" not in pinned()["PSET4_REQUIRED"]


def test_links_are_followed_by_the_grader(shelf: Shelf, tmp_path: Path) -> None:
    photo = shelf.mirror / "images" / "photo.jpg"
    photo.rename(tmp_path / "stick.jpg")
    photo.symlink_to(tmp_path / "stick.jpg")
    assert grading_assets()["photo"] == tmp_path / "stick.jpg"


@pytest.mark.parametrize("change", ["replaced", "rewritten", "removed"])
def test_a_file_that_changes_while_grading_runs_ends_the_grading(change: str, shelf: Shelf, warm: Warm) -> None:
    photo = shelf.mirror / "images" / "photo.jpg"
    with open_session(warm=warm):
        pass
    if change == "replaced":
        shelf.put(shelf.folder, "other.jpg", b"other").replace(photo)
    elif change == "rewritten":
        photo.write_bytes(b"A PHOTO, REWRITTEN")
    else:
        photo.unlink()
    with pytest.raises(SESSION_REFUSED, match=r"photo\.jpg \(photo\) was changed or removed while grading ran"):
        open_session(warm=warm)


def test_a_damaged_file_is_refused_when_the_sandbox_is_tried(shelf: Shelf) -> None:
    shelf.put(shelf.mirror, "images/photo.jpg", b"damaged")
    with pytest.raises(SandboxUnavailable, match=r"photo\.jpg has a wrong checksum"):
        Namespace(limits=Limits(), scratch_files=None, device="cpu")


# The sandbox's side


@pytest.mark.parametrize("sandbox", [True, False])
def test_the_submission_has_what_the_grader_has_and_lacks_what_it_lacks(
    sandbox: bool, shelf: Shelf, warm: Warm, tmp_path: Path
) -> None:
    handed_in = tmp_path / "handed_in" / ".cache" / "pset4" / "images"
    handed_in.mkdir(parents=True)
    (handed_in / "elsewhere.jpg").write_bytes(b"not on this machine")
    source = """
from pset4.files.assets import AssetUnavailableError, fetch
print(fetch("photo").read_bytes(), fetch("weights").read_bytes())
try:
    print(fetch("elsewhere"))
except AssetUnavailableError as error:
    print(error.short)
"""
    with open_session(warm=warm, sandbox=sandbox, scratch_files=tmp_path / "handed_in") as session:
        assert run(session, source) == f"{PHOTO} {WEIGHTS}\ncould not be found or fetched (offline)\n"


def test_of_cache_mirror_and_manifest_nothing_else_is_seen(
    shelf: Shelf, warm: Warm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PSET4_MIRROR", os.pathsep.join([str(shelf.mirror), str(shelf.folder), str(Path.home())]))
    for folder in (shelf.folder, shelf.mirror, shelf.cache, shelf.mirror / "images"):
        shelf.put(folder, "secret.txt", b"secret")
    source = f"""
import os
print(sorted(os.path.join(folder, name) for folder, _, names in os.walk("/srv/pset4") for name in names))
print(os.path.exists({str(shelf.folder)!r}), "password" in open("/srv/pset4.json").read())
print([name for name, value in os.environ.items() if {str(shelf.folder)!r} in value])
for path in ("/srv/x", "/srv/pset4/x", "/srv/pset4/images/photo.jpg", "/srv/pset4.json"):
    try:
        open(path, "a")
        print("written")
    except OSError:
        pass
"""
    with open_session(warm=warm) as session:
        assert run(session, source) == (
            "['/srv/pset4/images/photo.jpg', '/srv/pset4/networks/weights.pth']\nFalse False\n[]\n"
        )


# What else decides how numbers come out


def test_numbers_come_out_as_in_the_grader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    for name in (
        "LD_PRELOAD",
        "PYTHONOPTIMIZE",
        "PYTHONPATH_OF_MINE",
        "MALLOC_CONF",
        "OMP_NUM_THREADS",
        "PYTHONHASHSEED",
    ):
        monkeypatch.setenv(name, "7" if name != "LD_PRELOAD" else "")
    process = Warm()
    try:
        with open_session(warm=process) as session:
            source = f"""
import os, sys, torch
print(torch.backends.cpu.get_cpu_capability(), os.environ["CUBLAS_WORKSPACE_CONFIG"], torch.get_num_threads())
print(sorted({{*os.environ}} - {set(SAME_AS_GRADER)!r}), os.environ["OMP_NUM_THREADS"], sys.flags.optimize)
"""
            lines = run(session, source).splitlines()
    finally:
        process.close()
    assert lines[0] == "DEFAULT :4096:8 1"
    assert "MALLOC_CONF" not in lines[1] and "LD_PRELOAD" not in lines[1] and "_OF_MINE" not in lines[1]
    assert lines[1].endswith("] 1 0")


def test_sets_keep_their_order_from_one_grading_to_the_next() -> None:
    orders = set()
    for _ in range(2):
        process = Warm()
        try:
            with open_session(warm=process) as session:
                orders.add(run(session, "print({'a', 'b', 'c', 'd', 'e', 'f', 'g'})"))
        finally:
            process.close()
    assert len(orders) == 1


def test_the_grader_s_own_results_are_the_submission_s(warm: Warm) -> None:
    source = """
import torch
from pset4 import load_model
x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
print([float(load_model(name, "cpu", verbose=False)(x).double().max()) for name in ("standard", "robust")])
"""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        ours = [
            float(networks.load_model(name, "cpu", verbose=False)(x).double().max()) for name in ("standard", "robust")
        ]
    finally:
        torch.set_num_threads(threads)
    with open_session(warm=warm) as session:
        theirs = json.loads(run(session, source))
    assert theirs == pytest.approx(ours, rel=1e-4)
