"""One file over HTTP: with a progress bar, resumed after a cut, tried again with growing pauses."""

from __future__ import annotations

import errno
import shutil
import socket
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential, wait_random
from tqdm.auto import tqdm
from urllib3.exceptions import NameResolutionError, NewConnectionError

from pset4.settings import is_grading

# Small, because a cut loses the chunk that it falls into.
CHUNK = 1 << 15
# Answers of a server that is busy or broken for the moment; all others from 400 on are final.
PASSING_STATUSES = {408, 425, 429, 500, 502, 503, 504}
DISK_FULL = {errno.ENOSPC, errno.EDQUOT}


class DownloadError(RuntimeError):
    """A download that failed for good; the message says how."""


class UnreachableError(DownloadError):
    """No connection to the server at all."""


class _InterruptedError(DownloadError):
    """A failure that may pass: worth another attempt."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server.

    Attributes:
        connect: Seconds until a connection must stand.
        read: Seconds that may pass without a byte.
        attempts: Attempts in a row that may fail without one new byte.
        first_pause: Seconds before the second attempt; the pause doubles from then on.
        longest_pause: Seconds that a pause is never longer than.
    """

    connect: float = 4.0
    read: float = 10.0
    attempts: int = 3
    first_pause: float = 0.5
    longest_pause: float = 8.0


@dataclass(frozen=True)
class Job:
    """What to download, and into which file.

    Attributes:
        url: Where from.
        part: The file that grows; what it holds already is kept if the server can go on from there.
        label: Name in the progress bar.
        size: Bytes of the whole file, if known; a server that sends more is cut off.
    """

    url: str
    part: Path
    label: str
    size: int | None = None

    def received(self) -> int:
        """Bytes that are there already."""
        return self.part.stat().st_size if self.part.exists() else 0

    def discard(self) -> None:
        """Removes the part."""
        self.part.unlink(missing_ok=True)


def download(job: Job, *, patience: Patience | None = None) -> None:
    """Completes `job.part`. Whoever asks for it checks it: a part from earlier may be one of another file.

    Raises:
        UnreachableError: If no connection could be made; this is not tried again.
        DownloadError: If the server refuses, or keeps failing.
        OSError: If the file cannot be written. A full disk leaves no part behind.
    """
    patience = patience or Patience()
    received, fruitless = job.received(), 0  # attempts in a row that brought nothing new

    def give_up(state: RetryCallState) -> bool:
        nonlocal received, fruitless
        fruitless = 0 if job.received() > received else fruitless + 1
        received = max(job.received(), received)
        return fruitless >= patience.attempts

    attempts = Retrying(
        retry=retry_if_exception_type(_InterruptedError),
        stop=give_up,
        wait=wait_exponential(multiplier=patience.first_pause, max=patience.longest_pause)
        + wait_random(0, patience.first_pause),
        reraise=True,
    )
    try:
        attempts(_attempt, job, patience)
    except OSError as error:
        if error.errno in DISK_FULL:
            job.discard()
        raise


def _attempt(job: Job, patience: Patience) -> None:
    """One connection: asks for what is missing and appends it."""
    offset = job.received()
    if job.size is not None and offset > job.size:
        job.discard()
        offset = 0
    if job.size is not None and offset == job.size:
        return
    try:
        with _request(job, offset, patience) as response:
            _write(job, response, offset if response.status_code == 206 else 0)
    except requests.RequestException as error:
        raise _explain(error, job.url) from None


def _request(job: Job, offset: int, patience: Patience) -> requests.Response:
    headers = {"Accept-Encoding": "identity", "User-Agent": "pset4"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    _check_name(job.url, patience)
    response = requests.get(job.url, headers=headers, stream=True, timeout=(patience.connect, patience.read))
    host = urlsplit(job.url).netloc
    if response.status_code == 416 or (response.status_code == 206 and not _continues(response, offset)):
        response.close()
        job.discard()
        raise _InterruptedError(f"{host} could not go on from byte {offset}")
    if response.status_code not in {200, 206}:
        response.close()
        kind = _InterruptedError if response.status_code in PASSING_STATUSES else DownloadError
        raise kind(f"{host} answered {response.status_code} {response.reason}")
    return response


def _check_name(url: str, patience: Patience) -> None:
    """Gives up on a name that is not resolved in time: the system's resolver has no time limit of its own."""
    host = urlsplit(url).hostname
    if not host or requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url)):
        return  # a proxy resolves the name itself

    def resolve() -> None:
        try:
            socket.getaddrinfo(host, None)
        except OSError as error:
            failures.append(error)

    failures: list[OSError] = []
    resolver = threading.Thread(target=resolve, daemon=True)
    resolver.start()
    resolver.join(patience.connect)
    if resolver.is_alive() or failures:
        raise UnreachableError(f"no connection to {host}: its name is not resolved")


def _continues(response: requests.Response, offset: int) -> bool:
    return response.headers.get("Content-Range", "").startswith(f"bytes {offset}-")


def _write(job: Job, response: requests.Response, offset: int) -> None:
    length = None if response.headers.get("Content-Encoding") else response.headers.get("Content-Length")
    total = offset + int(length) if length and length.isdigit() else job.size
    _check_space(job.part, (total or 0) - offset)
    bar = tqdm(
        total=total, initial=offset, desc=job.label, unit="B", unit_scale=True, unit_divisor=1024,
        file=sys.stdout, leave=False, disable=is_grading(),
    )  # fmt: skip
    received = offset
    with bar, job.part.open("ab" if offset else "wb") as file:
        for chunk in response.iter_content(CHUNK):
            file.write(chunk)
            received += len(chunk)
            bar.update(len(chunk))
            if job.size is not None and received > job.size:
                return
    if length and received != total:
        raise _InterruptedError(f"{urlsplit(job.url).netloc} sent {received} of {total} bytes")


def _check_space(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise OSError(errno.ENOSPC, f"{needed} bytes are needed and {free} are free")


def _explain(error: requests.RequestException, url: str) -> DownloadError:
    host = urlsplit(url).netloc
    never_connected = (requests.ConnectTimeout, requests.exceptions.SSLError, requests.exceptions.ProxyError)
    reason = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(error, never_connected) or isinstance(reason, NewConnectionError | NameResolutionError):
        return UnreachableError(f"no connection to {host}")
    if not isinstance(error, requests.ConnectionError | requests.Timeout | requests.exceptions.ChunkedEncodingError):
        return DownloadError(f"{host} cannot be asked for {url}: {error}")
    return _InterruptedError(f"the connection to {host} was cut ({type(error).__name__})")
