"""A web server on this machine that misbehaves on demand, and a shelf of assets that points to it."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pset4.files import assets
from pset4.files.download import Patience

# Generous where a busy machine may be slow, short where only the number of attempts matters.
QUICK = Patience(connect=2, read=1.5, attempts=3, first_pause=0.01, longest_pause=0.02)
PIECE = 4096


@dataclass
class Page:
    """How the server answers requests for one path.

    Attributes:
        content: The file.
        cuts: The connection is closed after the file's first n bytes; one entry for each request, then no more cuts.
        statuses: Statuses of the first requests; 200 or 206 from then on.
        ranges: Whether parts of the file can be asked for.
        gate: If set, the server stops half way through the file until the gate opens.
        pause: Seconds before each piece of the file.
    """

    content: bytes
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    ranges: bool = True
    gate: threading.Event | None = None
    pause: float = 0.0


@dataclass
class Server:
    """A running server: its address, its pages and the requests that it has seen."""

    address: str
    pages: dict[str, Page] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    asked: threading.Event = field(default_factory=threading.Event)

    def ranges(self) -> list[str | None]:
        """The `Range` header of each request."""
        return [wanted for _, wanted in self.requests]


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.requests.append((self.path, self.headers.get("Range")))
            server.asked.set()
            page = server.pages.get(self.path)
            status = 404 if page is None else page.statuses.pop(0) if page.statuses else 200
            if page is None or status != 200:
                self.send_error(status)
                return
            self._send(page, self._first_byte(page))

        def _first_byte(self, page: Page) -> int:
            wanted = self.headers.get("Range")
            return int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and page.ranges else 0

        def _send(self, page: Page, start: int) -> None:
            size = len(page.content)
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(size - start))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
            self.end_headers()
            stop = page.cuts.pop(0) if page.cuts else size
            self._send_body(page, start, min(stop, size))

        def _send_body(self, page: Page, start: int, stop: int) -> None:
            never = threading.Event()
            for position in range(start, stop, PIECE):
                if page.gate and position >= len(page.content) // 2:
                    page.gate.wait(timeout=60)
                if page.pause:
                    never.wait(page.pause)
                try:
                    self.wfile.write(page.content[position : min(position + PIECE, stop)])
                    self.wfile.flush()
                except OSError:
                    return
            self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            """Keeps the tests' output clean."""

    return Handler


@contextmanager
def loopback_server() -> Iterator[Server]:
    """A server on a free port of this machine."""
    server = Server(address="")
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(server))
    http.daemon_threads = True
    server.address = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        for page in server.pages.values():
            if page.gate:
                page.gate.set()
        http.shutdown()
        http.server_close()


@dataclass
class Shelf:
    """A cache, a mirror and a manifest of the test's own, all empty at first."""

    folder: Path

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def mirror(self) -> Path:
        return self.folder / "mirror"

    @property
    def manifest(self) -> Path:
        return self.folder / "manifest.json"

    def add(self, name: str, path: str, *urls: str, content: bytes = b"", **fields: Any) -> None:
        """Adds an entry to the manifest; checksum and size are those of `content` unless `fields` say otherwise."""
        entries = json.loads(self.manifest.read_text())["files"] if self.manifest.exists() else []
        entry = {
            "name": name,
            "path": path,
            "urls": list(urls),
            "sha256": hashlib.sha256(content).hexdigest(),
            "size": len(content),
            "licence": "none",
            "attribution": "a test",
            **fields,
        }
        self.manifest.write_text(json.dumps({"format": 1, "files": [*entries, entry]}))

    def put(self, folder: Path, path: str, content: bytes) -> Path:
        """Puts a file below `folder`."""
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return target

    def environment(self) -> dict[str, str]:
        """Variables that make the course use this shelf and nothing else."""
        return {
            "PSET4_CACHE": str(self.cache),
            "PSET4_MIRROR": str(self.mirror),
            "PSET4_MANIFEST": str(self.manifest),
            "PSET4_OFFLINE": "",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }


def use_shelf(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """Sets the variables for the test and forgets which hosts had no connection."""
    if not shelf.manifest.exists():
        shelf.manifest.write_text('{"format": 1, "files": []}')
    for name, value in shelf.environment().items():
        monkeypatch.setenv(name, value)
    assets._unreachable_hosts.clear()
    return shelf
