"""The loader of photos and networks, against a server that cuts, stalls, lies and refuses."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import pathlib
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loopback import QUICK, Page, Server, Shelf, use_shelf

from pset4.files import assets, download
from pset4.files.assets import AssetUnavailableError, CacheWriteError, ChecksumError, fetch, find_local
from pset4.files.manifest import load_manifest

CONTENT = random.Random(0).randbytes(200_000)
WRONG = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
PATH = "images/photo.bin"


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    return use_shelf(Shelf(tmp_path), monkeypatch)


@pytest.fixture
def photo(shelf: Shelf, server: Server) -> Page:
    """A file in the manifest that only the server has."""
    server.pages["/photo"] = Page(CONTENT)
    shelf.add("photo", PATH, f"{server.address}/photo", content=CONTENT)
    return server.pages["/photo"]


def get(name: str = "photo") -> bytes:
    return fetch(name, patience=QUICK).read_bytes()


def leftovers(shelf: Shelf) -> list[str]:
    """Files in the cache other than locks."""
    if not shelf.cache.exists():
        return []
    files = (path.relative_to(shelf.cache) for path in shelf.cache.rglob("*") if path.is_file())
    return sorted(str(path) for path in files if path.parts[0] != "locks")


# Where a file is looked for


@pytest.mark.parametrize(
    ("places", "expected", "n_requests"),
    [
        (("cache", "mirror", "server"), "cache", 0),
        (("mirror", "server"), "mirror", 0),
        (("server",), "cache", 1),
    ],
)
def test_the_cache_comes_before_the_mirror_and_the_mirror_before_the_network(
    places: tuple[str, ...], expected: str, n_requests: int, shelf: Shelf, server: Server, photo: Page
) -> None:
    for place in places[:-1]:
        shelf.put(shelf.folder / place, PATH, CONTENT)
    path = fetch("photo", patience=QUICK)
    assert path == shelf.folder / expected / PATH
    assert path.read_bytes() == CONTENT
    assert len(server.requests) == n_requests


def test_a_mirror_may_hold_the_file_directly_and_there_may_be_several(
    shelf: Shelf, photo: Page, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PSET4_MIRROR", os.pathsep.join([str(tmp_path / "not there"), str(shelf.mirror)]))
    target = shelf.put(shelf.mirror, "photo.bin", CONTENT)
    assert fetch("photo") == target


def test_a_downloaded_file_is_asked_for_only_once(shelf: Shelf, server: Server, photo: Page) -> None:
    assert get() == get() == CONTENT
    assert len(server.requests) == 1
    assert leftovers(shelf) == [PATH]


def test_offline_nothing_is_asked_for(
    shelf: Shelf, server: Server, photo: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PSET4_OFFLINE", "1")
    with pytest.raises(AssetUnavailableError, match="PSET4_OFFLINE") as error:
        get()
    assert error.value.short == "could not be found or fetched (offline)"
    assert server.requests == []


def test_an_unknown_name_is_answered_with_the_known_ones(shelf: Shelf, photo: Page) -> None:
    with pytest.raises(KeyError, match=r"'foto'.*corgi.*photo"):
        fetch("foto")


# Downloads that go wrong


def test_a_cut_connection_is_resumed_where_it_broke(shelf: Shelf, server: Server, photo: Page) -> None:
    photo.cuts = [131_072, 163_840]
    assert get() == CONTENT
    assert server.ranges() == [None, "bytes=131072-", "bytes=163840-"]
    assert leftovers(shelf) == [PATH]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, len(CONTENT)), max_size=2))
def test_wherever_the_connection_is_cut_the_file_comes_out_whole(
    cuts: list[int], shelf: Shelf, server: Server, photo: Page
) -> None:
    shutil.rmtree(shelf.cache, ignore_errors=True)
    photo.cuts = cuts
    assert get() == CONTENT


def test_a_server_without_ranges_sends_everything_again(shelf: Shelf, server: Server, photo: Page) -> None:
    photo.cuts, photo.ranges = [100_000], False
    assert get() == CONTENT
    assert len(server.requests) == 2


def test_a_download_goes_on_after_the_process_was_killed(shelf: Shelf, server: Server, photo: Page) -> None:
    photo.gate = threading.Event()
    first = _start_fetch(shelf)
    assert server.asked.wait(60)
    part = shelf.cache / f"{PATH}.part"
    _wait_until(lambda: part.exists() and part.stat().st_size > 0)
    first.kill()
    first.communicate()
    kept = part.stat().st_size
    photo.gate.set()
    assert get() == CONTENT
    assert server.ranges() == [None, f"bytes={kept}-"]


def test_a_stalled_connection_is_dropped_and_resumed(shelf: Shelf, server: Server, photo: Page) -> None:
    photo.gate = threading.Event()
    opening = threading.Thread(target=_open_at_second_request, args=(server, photo))
    opening.start()
    assert get() == CONTENT
    opening.join()
    first, second, *_ = server.ranges()
    assert first is None and second is not None, "the second request goes on where the first one stalled"


def _open_at_second_request(server: Server, page: Page) -> None:
    _wait_until(lambda: len(server.requests) >= 2)
    assert page.gate
    page.gate.set()


def test_a_slow_server_is_waited_for(shelf: Shelf, server: Server, photo: Page) -> None:
    photo.pause = 0.04
    started = time.monotonic()
    assert get() == CONTENT
    assert time.monotonic() - started > QUICK.read, "slower in all than the time that may pass without a byte"
    assert len(server.requests) == 1


def test_a_server_that_is_busy_for_the_moment_is_asked_again(server: Server, photo: Page) -> None:
    photo.statuses = [503, 500]
    assert get() == CONTENT
    assert len(server.requests) == 3


def test_a_server_that_stays_broken_is_given_up(shelf: Shelf, server: Server, photo: Page) -> None:
    photo.statuses = [503] * 50
    with pytest.raises(AssetUnavailableError, match="503"):
        get()
    assert len(server.requests) == QUICK.attempts
    assert leftovers(shelf) == []


def test_not_found_is_final_and_the_next_address_is_tried(shelf: Shelf, server: Server) -> None:
    server.pages["/second"] = Page(CONTENT)
    shelf.add("photo", PATH, f"{server.address}/first", f"{server.address}/second", content=CONTENT)
    assert get() == CONTENT
    assert [path for path, _ in server.requests] == ["/first", "/second"]


def test_not_found_anywhere_is_an_error_that_says_what_to_do(shelf: Shelf, server: Server) -> None:
    shelf.add("photo", PATH, f"{server.address}/first", content=CONTENT)
    with pytest.raises(AssetUnavailableError, match=r"photo\.bin.*404.*pset4 fetch.*PSET4_MIRROR") as error:
        get()
    assert "answered 404" in error.value.short
    assert leftovers(shelf) == []


# Wrong files


def assert_names_both_hashes(error: BaseException, found: bytes, file_name: str = "photo.bin") -> None:
    text = str(error)
    assert file_name in text
    assert hashlib.sha256(CONTENT).hexdigest() in text, "the expected hash"
    assert hashlib.sha256(found).hexdigest() in text, "the found hash"


def test_a_wrong_byte_is_an_error_and_the_file_is_not_kept(shelf: Shelf, photo: Page) -> None:
    photo.content = WRONG
    with pytest.raises(ChecksumError) as error:
        get()
    assert_names_both_hashes(error.value, WRONG)
    assert leftovers(shelf) == []


def test_after_a_wrong_file_the_next_address_is_tried(shelf: Shelf, server: Server) -> None:
    server.pages |= {"/bad": Page(WRONG), "/good": Page(CONTENT)}
    shelf.add("photo", PATH, f"{server.address}/bad", f"{server.address}/good", content=CONTENT)
    assert get() == CONTENT


def test_a_wrong_part_from_last_time_does_not_spoil_the_download(shelf: Shelf, server: Server, photo: Page) -> None:
    shelf.put(shelf.cache, f"{PATH}.part", b"x" * 50_000)
    assert get() == CONTENT
    assert server.ranges() == ["bytes=50000-", None]


@pytest.mark.parametrize("size", [len(CONTENT), len(CONTENT) + 7])
def test_a_part_that_is_complete_or_too_long_is_checked_like_any_other(
    size: int, shelf: Shelf, server: Server, photo: Page
) -> None:
    shelf.put(shelf.cache, f"{PATH}.part", (CONTENT + b"trailing")[:size])
    assert get() == CONTENT
    assert len(server.requests) == (0 if size == len(CONTENT) else 1)


def test_a_server_that_sends_far_too_much_is_cut_off(shelf: Shelf, photo: Page) -> None:
    photo.content = CONTENT * 20
    with pytest.raises(ChecksumError):
        get()
    assert leftovers(shelf) == []


def test_a_wrong_file_in_the_cache_is_removed_and_fetched_again(shelf: Shelf, photo: Page) -> None:
    shelf.put(shelf.cache, PATH, WRONG)
    assert get() == CONTENT


def test_a_wrong_file_in_the_cache_is_an_error_where_nothing_better_can_be_had(
    shelf: Shelf, photo: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PSET4_OFFLINE", "1")
    shelf.put(shelf.cache, PATH, WRONG)
    with pytest.raises(ChecksumError, match="has been removed") as error:
        get()
    assert_names_both_hashes(error.value, WRONG)
    assert leftovers(shelf) == []


def test_a_wrong_file_in_the_cache_gives_way_to_the_mirror(shelf: Shelf, server: Server, photo: Page) -> None:
    shelf.put(shelf.cache, PATH, WRONG)
    mirrored = shelf.put(shelf.mirror, PATH, CONTENT)
    assert fetch("photo") == mirrored
    assert leftovers(shelf) == []
    assert server.requests == []


def test_a_wrong_file_in_the_mirror_is_named_and_left_alone(
    shelf: Shelf, photo: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirrored = shelf.put(shelf.mirror, PATH, WRONG)
    assert get() == CONTENT, "the network has the right one"
    shutil.rmtree(shelf.cache)
    monkeypatch.setenv("PSET4_OFFLINE", "1")
    with pytest.raises(ChecksumError, match="mirror") as error:
        get()
    assert_names_both_hashes(error.value, WRONG)
    assert mirrored.read_bytes() == WRONG


# No network, no room, no right to write


def test_a_name_that_is_not_resolved_is_asked_for_once(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def refuse(host: Any, *args: Any, **kwargs: Any) -> Any:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for name in ("one", "two"):
        shelf.add(name, f"images/{name}", "https://nowhere.invalid/x", content=CONTENT)
        with pytest.raises(AssetUnavailableError, match=r"no connection to nowhere\.invalid"):
            get(name)
    assert asked == ["nowhere.invalid"]


def test_a_resolver_that_hangs_is_not_waited_for(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: released.wait(60))
    shelf.add("photo", PATH, "https://slow.invalid/x", content=CONTENT)
    started = time.monotonic()
    with pytest.raises(AssetUnavailableError, match="not resolved"):
        get()
    released.set()
    assert time.monotonic() - started < 10 * QUICK.connect


def test_a_closed_port_is_not_tried_twice(shelf: Shelf) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closing:
        port = closing.getsockname()[1]
    shelf.add("photo", PATH, f"http://127.0.0.1:{port}/x", content=CONTENT)
    for _ in range(2):
        with pytest.raises(AssetUnavailableError, match=f"no connection to 127.0.0.1:{port}"):
            get()
    assert leftovers(shelf) == []


class FillingUp(io.FileIO):
    """A file on a disk that is full after 100 kB."""

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > 100_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)


def test_a_disk_that_fills_up_is_named_and_nothing_half_is_left(
    shelf: Shelf, photo: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = pathlib.Path.open

    def opened(path: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        return (
            FillingUp(path, mode)
            if path.name.endswith(".part") and mode in {"ab", "wb"}
            else plain(path, mode, *args, **kwargs)
        )

    monkeypatch.setattr(pathlib.Path, "open", opened)
    with pytest.raises(CacheWriteError, match=r"disk is full.*photo\.bin.*PSET4_CACHE") as error:
        get()
    assert "full" in error.value.short
    assert leftovers(shelf) == []


def test_too_little_room_is_noticed_before_the_download(
    shelf: Shelf, photo: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(shelf.folder)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(CacheWriteError, match="disk is full"):
        get()
    assert leftovers(shelf) == []


SMALL_DISK = """
mount -t tmpfs -o size=128k tmpfs "$PSET4_CACHE" || exit 77
"$0" - <<'PYTHON'
import os, pathlib
from pset4.files import download
from pset4.files.assets import CacheWriteError, fetch
# The check for room beforehand would hide what a disk does that fills up while the file grows.
download._check_space = lambda part, needed: None
try:
    fetch("photo")
except CacheWriteError as error:
    print(error)
cache = pathlib.Path(os.environ["PSET4_CACHE"])
print("left:", [str(path) for path in cache.rglob("*") if path.is_file() and "locks" not in path.parts])
PYTHON
"""


def test_a_real_small_disk_fills_up(shelf: Shelf, photo: Page) -> None:
    """In addition to the injected error above, where this machine allows a mount in a namespace of its own."""
    if shutil.which("unshare") is None:
        pytest.skip("no unshare here; the injected full disk is tested above")
    shelf.cache.mkdir()
    command = ["unshare", "--mount", "--map-root-user", "sh", "-c", SMALL_DISK, sys.executable]
    result = subprocess.run(
        command, env=os.environ | {"PSET4_MIRROR": ""}, capture_output=True, text=True, timeout=120, check=False
    )
    if result.returncode == 77 or "unshare" in result.stderr:
        pytest.skip(f"mounting is not permitted here ({result.stderr.strip()}); the injected full disk is tested above")
    assert "the disk is full" in result.stdout, result.stderr
    assert "left: []" in result.stdout


def test_a_cache_that_cannot_be_written_is_named(shelf: Shelf, photo: Page) -> None:
    shelf.cache.write_text("a file where the folder should be")
    with pytest.raises(CacheWriteError, match=r"cannot be written.*PSET4_CACHE"):
        get()


def test_reading_needs_no_right_to_write(shelf: Shelf, photo: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sandbox sees the cache and cannot change it; here no lock can be taken."""
    assert get() == CONTENT

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(assets, "FileLock", refuse)
    assert get() == CONTENT
    monkeypatch.setenv("PSET4_OFFLINE", "1")
    shelf.add("other", "images/other.bin", content=CONTENT)
    with pytest.raises(AssetUnavailableError, match="PSET4_OFFLINE"):
        get("other")


# Several processes


FETCH = "import pset4.files.assets; print(pset4.files.assets.fetch('photo'), flush=True)"


def _start_fetch(shelf: Shelf) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-c", FETCH], env=os.environ | shelf.environment(), stdout=subprocess.PIPE, text=True
    )


def _wait_until(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "this took too long"
        pause.wait(0.01)


def test_two_processes_share_one_download(shelf: Shelf, server: Server, photo: Page) -> None:
    photo.gate = threading.Event()
    first = _start_fetch(shelf)
    assert server.asked.wait(60)
    second = _start_fetch(shelf)
    assert second.stdout
    assert "Another process is fetching photo" in second.stdout.readline()
    photo.gate.set()
    for process in (first, second):
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert output.splitlines()[-1].endswith(str(shelf.cache / PATH))
    assert (shelf.cache / PATH).read_bytes() == CONTENT
    assert len(server.requests) == 1
    assert leftovers(shelf) == [PATH]


# The manifest


def test_every_file_of_the_course_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PSET4_MANIFEST", raising=False)
    manifest = load_manifest()
    assert set(manifest) == {"corgi", "corgi_2", "tabby", "resnet50_standard", "resnet50_robust"}
    for asset in manifest.values():
        assert asset.urls and all(url.startswith("https://") for url in asset.urls)
        assert asset.licence and asset.attribution
    standard = manifest["resnet50_standard"]
    assert standard.file_name == f"resnet50-{standard.sha256[:8]}.pth"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"path": "../photo"}, "must stay below the cache folder"),
        ({"path": "/etc/photo"}, "must stay below the cache folder"),
        ({"path": "..\\photo"}, "must stay below the cache folder"),
        ({"sha256": "0676ba61"}, "64 hexadecimal digits"),
        ({"sha256": None}, "64 hexadecimal digits, not None"),
        ({"colour": "red"}, "unknown field"),
    ],
)
def test_a_bad_entry_is_refused(fields: dict[str, str], message: str, shelf: Shelf) -> None:
    shelf.add("bad", **{"path": PATH, "content": CONTENT, **fields})
    with pytest.raises(ValueError, match=message):
        load_manifest()


def test_an_incomplete_entry_is_refused(shelf: Shelf) -> None:
    shelf.manifest.write_text(json.dumps({"files": [{"name": "bad", "path": "x"}]}))
    with pytest.raises(ValueError, match="'bad' is incomplete"):
        load_manifest()


def test_a_manifest_of_ones_own_adds_to_the_course(shelf: Shelf) -> None:
    shelf.add("corgi", "images/my_corgi.jpg", content=CONTENT)
    shelf.add("cat", "images/cat.jpg", content=CONTENT)
    manifest = load_manifest()
    assert manifest["corgi"].path == "images/my_corgi.jpg"
    assert {"cat", "tabby"} <= set(manifest)


def test_looking_changes_nothing(shelf: Shelf, server: Server, photo: Page) -> None:
    assert find_local(load_manifest()["photo"]) is None
    shelf.put(shelf.cache, PATH, WRONG)
    with pytest.raises(ChecksumError):
        find_local(load_manifest()["photo"])
    assert (shelf.cache / PATH).read_bytes() == WRONG
    assert server.requests == []
