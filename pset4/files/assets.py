"""How the files of the manifest get onto this machine. One is looked for

1. in the user's cache folder (`PSET4_CACHE`, else the usual place of the system),
2. in the folders of `PSET4_MIRROR` (a campus mirror, a stick), separated as in `PATH`,
3. at its addresses, unless `PSET4_OFFLINE=1` forbids it.

Nothing is used before its checksum is right.

Grading sets `PSET4_REQUIRED` ("name=sha256,name=sha256"), so that the submission's process and the grader use the same
bytes: exactly the files that it names are used, from cache or mirror. One that is not there with that checksum is an
error, which no substitute hides; one that it does not name counts as unavailable, even if it is there.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

import platformdirs
from filelock import FileLock, Timeout

from pset4.files.download import DISK_FULL, DownloadError, Job, Patience, UnreachableError, download
from pset4.files.manifest import Asset, find_asset, is_sha256

# Hosts without a connection: asked once in the life of the process, so that every later file falls back at once.
_unreachable_hosts: set[str] = set()


class AssetError(RuntimeError):
    """A file of the manifest cannot be used; the message says why and what to do."""


class ChecksumError(AssetError):
    """A file is not what it should be. It has been removed from the cache."""


class AssetUnavailableError(AssetError):
    """A file can be had from nowhere.

    Attributes:
        short: The reason in a few words, to stand in a sentence: "could not be fetched (offline)".
    """

    def __init__(self, message: str, *, short: str) -> None:
        """Keeps both wordings."""
        super().__init__(message)
        self.short = short


class CacheWriteError(AssetUnavailableError):
    """The cache folder is full or cannot be written."""


@dataclass(frozen=True)
class Found:
    """A verified file on this machine: `place` is "cache" or the mirror folder."""

    path: Path
    place: str


def cache_folder() -> Path:
    """Folder that keeps downloads: `PSET4_CACHE`, else the system's usual place for caches."""
    override = os.environ.get("PSET4_CACHE")
    return Path(override) if override else platformdirs.user_cache_path("pset4", appauthor=False)


def mirror_folders() -> list[Path]:
    """Folders of `PSET4_MIRROR`, in order."""
    return [Path(folder) for folder in os.environ.get("PSET4_MIRROR", "").split(os.pathsep) if folder]


def is_offline() -> bool:
    """Whether `PSET4_OFFLINE` forbids downloads."""
    return os.environ.get("PSET4_OFFLINE", "").strip().lower() in {"1", "true", "yes", "on"}


def required_hashes() -> dict[str, str] | None:
    """Names and checksums of the files that `PSET4_REQUIRED` asks for; None where it is not set.

    Raises:
        AssetError: If it is not a list of the form "name=sha256,name=sha256".
    """
    text = os.environ.get("PSET4_REQUIRED")
    if text is None:
        return None
    pairs = [part.rpartition("=")[::2] for part in text.split(",") if part]
    if not all(name and is_sha256(sha256) for name, sha256 in pairs):
        raise AssetError(f"PSET4_REQUIRED must be a list name=sha256,name=sha256, not {text!r}; unset it")
    return dict(pairs)


def required_variable(checksums: Mapping[str, str]) -> str:
    """The value of `PSET4_REQUIRED` that asks for these files."""
    return ",".join(f"{name}={sha256}" for name, sha256 in sorted(checksums.items()))


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    status = path.stat()
    return _sha256(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _sha256(path: Path, size: int, modified: int) -> str:
    """Size and time only make a changed file a new question."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _wrong(asset: Asset, path: Path) -> ChecksumError | None:
    """The error of a file whose checksum differs, or None."""
    if (found := sha256_of(path)) == asset.sha256:
        return None
    return ChecksumError(
        f"{path} has a wrong checksum.\n  expected SHA-256 {asset.sha256}\n  found    SHA-256 {found} "
        f"({path.stat().st_size} bytes)"
    )


def find_local(asset: Asset) -> Found | None:
    """The verified file in the cache or a mirror folder, or None; nothing is changed.

    Raises:
        ChecksumError: If the first file found is wrong and no other one is right.
    """
    error = None
    for path, place in places_of(asset):
        if not path.is_file():
            continue
        wrong = _wrong(asset, path)
        if wrong is None:
            return Found(path, place)
        error = error or wrong
    if error:
        raise error
    return None


def places_of(asset: Asset) -> Iterator[tuple[Path, str]]:
    """Where a file may stand on this machine, in the order in which it is looked for, and what each place is called."""
    yield cache_folder() / asset.path, "cache"
    for folder in mirror_folders():
        yield folder / asset.path, str(folder)
        yield folder / asset.file_name, str(folder)


def fetch(name: str, *, patience: Patience | None = None, ask_again: bool = False) -> Path:
    """The path of a file of the manifest on this machine, downloaded if need be.

    Several processes may ask for the same file at once: one downloads, the others wait for it.

    Args:
        name: Its name in the manifest.
        patience: How long to wait for servers.
        ask_again: Try hosts again that had no connection earlier in this process.

    Raises:
        KeyError: If the manifest has no such file.
        ChecksumError: If the file that was found or downloaded is wrong; it is not kept.
        AssetError: If `PSET4_REQUIRED` names the file and it is not there as it should be.
        AssetUnavailableError: If the file is in neither cache nor mirror and cannot be downloaded.
    """
    asset = find_asset(name)
    required = required_hashes()
    if required is not None:
        return _fetch_required(asset, required)
    if ask_again:
        _unreachable_hosts.clear()
    if path := _ready(asset):
        return path
    if is_offline() and not any(path.is_file() for path, _ in places_of(asset)):
        raise _offline(asset)
    with _locked(asset.name):
        return _fetch_locked(asset, patience)


def _fetch_required(asset: Asset, required: Mapping[str, str]) -> Path:
    if asset.name not in required:
        raise _unavailable(asset, ["PSET4_REQUIRED does not name it"], "could not be found or fetched (offline)")
    paths = [path for path, _ in places_of(asset)]
    for path in paths:
        if path.is_file() and sha256_of(path) == required[asset.name]:
            return path
    raise AssetError(
        f"{asset.name} with SHA-256 {required[asset.name]} is in none of {', '.join(map(str, paths))}; PSET4_REQUIRED "
        "says that the grader has it, and nothing takes its place while grading. Grade again from the start"
    )


def _ready(asset: Asset) -> Path | None:
    """The file if it is there and right, and nothing is to be cleaned up: the common case, which needs no lock."""
    try:
        found = find_local(asset)
    except ChecksumError:
        return None
    stale = found is not None and found.place != "cache" and (cache_folder() / asset.path).is_file()
    return found.path if found and not stale else None


def _fetch_locked(asset: Asset, patience: Patience | None) -> Path:
    wrong = _remove_wrong_cached(asset)
    try:
        found = find_local(asset)
    except ChecksumError as error:
        wrong, found = wrong or ChecksumError(f"{error}\nThe file is not used; replace it in the mirror."), None
    if found:
        return found.path
    try:
        return _download_first(asset, patience)
    except AssetUnavailableError as error:
        if wrong is None:
            raise
        raise ChecksumError(f"{wrong}\n{error}") from None


def _remove_wrong_cached(asset: Asset) -> ChecksumError | None:
    """Removes the file from the cache if it is wrong; files in a mirror are their owner's."""
    cached = cache_folder() / asset.path
    wrong = _wrong(asset, cached) if cached.is_file() else None
    if wrong:
        cached.unlink()
        return ChecksumError(f"{wrong}\nThe file has been removed.")
    return None


def _download_first(asset: Asset, patience: Patience | None) -> Path:
    """Downloads from the first address that delivers."""
    if is_offline():
        raise _offline(asset)
    problems: list[str] = []
    wrong: ChecksumError | None = None
    for url in asset.urls:
        host = urlsplit(url).netloc
        if host in _unreachable_hosts:
            problems.append(f"no connection to {host}")
            continue
        try:
            return _download_checked(asset, url, patience)
        except UnreachableError as error:
            _unreachable_hosts.add(host)
            problems.append(str(error))
        except DownloadError as error:
            problems.append(str(error))
        except ChecksumError as error:
            wrong = error
    if wrong:
        raise wrong
    problems = problems or ["the manifest has no address for it"]
    raise _unavailable(asset, problems, f"could not be found or fetched ({problems[0]})")


def _download_checked(asset: Asset, url: str, patience: Patience | None) -> Path:
    """Downloads, checks, and moves into place in one step."""
    target = cache_folder() / asset.path
    job = Job(url=url, part=target.with_name(target.name + ".part"), label=asset.file_name, size=asset.size)
    with _writing(asset.file_name):
        target.parent.mkdir(parents=True, exist_ok=True)
        resumed = job.received() > 0
        download(job, patience=patience)
        wrong = _wrong(asset, job.part)
        if wrong and resumed:
            # The part from last time may be to blame: once more from the beginning.
            job.discard()
            download(job, patience=patience)
            wrong = _wrong(asset, job.part)
        if wrong:
            job.discard()
            raise ChecksumError(f"{wrong}\nIt came from {url} and has been removed; type: pset4 fetch") from None
        job.part.replace(target)
    return target


def _offline(asset: Asset) -> AssetUnavailableError:
    return _unavailable(asset, ["PSET4_OFFLINE is set"], "could not be found or fetched (offline)")


def _unavailable(asset: Asset, problems: list[str], short: str) -> AssetUnavailableError:
    places = ", ".join(map(str, [cache_folder(), *mirror_folders()]))
    return AssetUnavailableError(
        f"{asset.name} ({asset.file_name}) is not on this machine (looked in {places}) and was not downloaded: "
        f"{'; '.join(problems)}. Where there is a network, type: pset4 fetch. "
        f"Else put the file into a folder as {asset.path} and set PSET4_MIRROR to that folder.",
        short=short,
    )


@contextmanager
def _writing(what: str) -> Iterator[None]:
    """Turns errors of the file system into one that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise CacheWriteError(
                f"the disk is full: {what} could not be written to {cache_folder()} ({error.strerror}). "
                "Nothing half is left there. Free some space, or set PSET4_CACHE to a folder on another disk.",
                short="could not be stored (the disk is full)",
            ) from None
        raise _unwritable(error) from None


def _unwritable(error: OSError) -> CacheWriteError:
    return CacheWriteError(
        f"the cache folder {cache_folder()} cannot be written ({error.strerror}); "
        "set PSET4_CACHE to a folder of your own",
        short="could not be stored (the cache folder cannot be written)",
    )


@contextmanager
def _locked(name: str) -> Iterator[None]:
    """Lets one process at a time work on `name`."""
    folder = cache_folder() / "locks"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{name}.lock")
        try:
            lock.acquire(timeout=1)
        except Timeout:
            print(f"Another process is fetching {name}; waiting for it.")
            lock.acquire()
    except OSError as error:
        raise _unwritable(error) from None
    try:
        yield
    finally:
        lock.release()
