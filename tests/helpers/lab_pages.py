"""JupyterLab in a real browser: a server in a folder of its own, and its pages in a reader's terms."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Locator, Page, sync_playwright

SECONDS = 1000  # Playwright counts milliseconds
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
    # A cell that is out of sight would be taken out of the page.
    "notebook-extension/tracker": {"windowingMode": "none", "autoStartDefaultKernel": True},
    "fileeditor-extension/plugin": {"editorConfig": {"autoClosingBrackets": False}},
    # Nothing is saved behind a test's back.
    "docmanager-extension/plugin": {"autosave": False},
}
# How a page's script speaks of the notebook that is open (`--LabApp.expose_app_in_browser`).
PANEL = "jupyterapp.shell.currentWidget"
CELLS = f"{PANEL}.content.widgets"


@contextlib.contextmanager
def open_chromium() -> Iterator[Browser]:
    """Debian's Chromium, or another of its kind; a missing one is a failure: these promises are tested or not made."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert program, "Chromium is missing: sudo apt-get install chromium (`make browser` does it where it may)"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@dataclass(frozen=True)
class Lab:
    """A JupyterLab server.

    Attributes:
        folder: What its file browser shows.
        address: Where it answers.
        token: What it asks for.
    """

    folder: Path
    address: str
    token: str

    def ask(self, path: str, method: str = "GET") -> Any:
        """Jupyter Server's answer to a request."""
        request = urllib.request.Request(
            f"{self.address}/api{path}", method=method, headers={"Authorization": f"token {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            content = answer.read()
        return json.loads(content) if content else None

    def end_kernels(self) -> None:
        """Shuts every kernel down."""
        for session in self.ask("/sessions"):
            self.ask(f"/sessions/{session['id']}", "DELETE")

    def read(self, name: str) -> Any:
        """A notebook as it is saved."""
        return json.loads((self.folder / name).read_text(encoding="utf-8"))


@contextlib.contextmanager
def serve(root: Path) -> Iterator[Lab]:
    """JupyterLab of this environment, with settings and a home of its own, on a free port."""
    home, folder = root / "home", root / "work"
    folder.mkdir(parents=True)
    for name, settings in SETTINGS.items():
        path = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings))
    port = free_port()
    lab = Lab(folder, f"http://127.0.0.1:{port}", secrets.token_hex(16))
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", "--ip=127.0.0.1"]
    command += [f"--port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={lab.token}"]
    command += ["--LabApp.expose_app_in_browser=True", f"--ServerApp.root_dir={folder}"]
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, env=_environment(home), stdout=log, stderr=log)
        try:
            wait_for(f"{lab.address}/api", server, home / "log")
            yield lab
        finally:
            with contextlib.suppress(OSError):
                lab.end_kernels()
            server.terminate()
            server.wait(30)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _environment(home: Path) -> dict[str, str]:
    """A student's environment: nothing of this account's settings, nothing that grading sets."""
    hidden = {"NBGRADER_EXECUTION", "PSET4_EXAM_SEED", "PYTHONPATH"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    folders = {
        "HOME": "",
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
    own = {name: str(home / folder) for name, folder in folders.items()}
    return environment | own | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def wait_for(address: str, server: subprocess.Popen[bytes], log: Path, *, tries: int = 300) -> None:
    """Waits until a server answers; one that ends, or does not answer so many times, fails with its log."""
    for _ in range(tries):
        try:
            urllib.request.urlopen(address, timeout=60).read()
            return
        except urllib.error.URLError:
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(0.2)
                break
    raise AssertionError(log.read_text())


class NotebookPage:
    """One notebook in one browser tab.

    Attributes:
        page: The tab.
        errors: What the page's scripts have complained of.
    """

    def __init__(self, context: BrowserContext, lab: Lab, name: str) -> None:
        self.lab, self.name = lab, name
        self.errors: list[str] = []
        self.page: Page = context.new_page()
        self.page.set_default_timeout(60 * SECONDS)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(f"{lab.address}/lab/tree/{name}?token={lab.token}&reset")
        self.wait(
            f"window.jupyterapp && {PANEL}?.context?.isReady && {CELLS}?.length"
            f" && {PANEL}.sessionContext.session?.kernel?.status === 'idle'"
        )

    def wait(self, condition: str, seconds: float = 60) -> None:
        """Waits until a JavaScript expression holds."""
        self.page.wait_for_function(f"() => {condition}", timeout=seconds * SECONDS)

    def run_all(self, seconds: float = 120) -> bool:
        """Run > Run All Cells, until the last cell has run; False where a cell's error has ended it."""
        self.page.evaluate(
            """() => { const app = window.jupyterapp;
            const note = (_, executed) => { if (executed.id !== "notebook:run-all-cells") return;
              app.commands.commandExecuted.disconnect(note); window.ended = null;
              executed.result.then((whole) => { window.ended = {whole}; }); };
            window.ended = null; app.commands.commandExecuted.connect(note); }"""
        )
        self.menu("Run", "Run All Cells")
        self.wait("window.ended", seconds)
        return bool(self.page.evaluate("window.ended.whole"))

    def menu(self, name: str, entry: str) -> None:
        """Chooses an entry of a menu by mouse."""
        self.page.locator(".lm-MenuBar-itemLabel", has_text=name).first.click()
        label = self.page.locator(".lm-Menu-itemLabel").get_by_text(entry, exact=True)
        label.first.click()

    def save(self) -> Any:
        """Saves the notebook; returns it as it is on the disk."""
        self.page.evaluate(f"() => {PANEL}.context.save()")
        return self.lab.read(self.name)

    def cells(self) -> list[dict[str, Any]]:
        """All cells with their outputs, as they would be saved."""
        return list(self.page.evaluate(f"() => {PANEL}.content.model.toJSON().cells"))

    def index(self, *, grade_id: str = "", text: str = "") -> int:
        """Number of the first cell with this nbgrader id, or with this text in its source."""
        for n, cell in enumerate(self.cells()):
            about = cell["metadata"].get("nbgrader", {}).get("grade_id", "")
            if about == grade_id if grade_id else text in "".join(cell["source"]):
                return n
        raise LookupError(f"{self.name} has no cell {grade_id or text!r}")

    def set_source(self, cell: int, source: str) -> None:
        """Puts a text into a cell, without typing it."""
        self.page.evaluate(f"([n, text]) => {CELLS}[n].model.sharedModel.setSource(text)", [cell, source])

    def add_cell(self, source: str) -> int:
        """Adds a code cell at the end; returns its number."""
        self.page.evaluate(
            f"(source) => {{ const model = {PANEL}.content.model.sharedModel;"
            " model.insertCell(model.cells.length, {cell_type: 'code', source}); }",
            source,
        )
        return int(self.page.evaluate(f"() => {CELLS}.length - 1"))

    def type_source(self, cell: int, source: str) -> None:
        """Types a text into a cell, in the place of what stands there."""
        editor = self.view(cell).locator(".cm-content")
        editor.scroll_into_view_if_needed()
        editor.click()
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.insert_text(source)

    def start(self, cell: int) -> None:
        """Runs a cell, as Ctrl-Enter does, and waits for nothing."""
        self.page.evaluate(
            f"(n) => {{ const all = {PANEL}.content; all.deselectAll(); all.activeCellIndex = n; all.mode = 'command';"
            " all.activeCell.node.focus(); }",
            cell,
        )
        self.page.keyboard.press("Control+Enter")
        self.wait(f"{CELLS}[{cell}].model.executionState === 'running' || {CELLS}[{cell}].model.executionCount")

    def run(self, cell: int, seconds: float = 60) -> str:
        """Runs a cell to its end; returns the text that it shows."""
        self.page.evaluate(
            f"([n]) => {{ {CELLS}[n].model.executionCount = null; }}",
            [cell],
        )
        self.start(cell)
        self.wait_for_cell(cell, seconds)
        return self.text(cell)

    def wait_for_cell(self, cell: int, seconds: float = 60) -> None:
        """Waits until a cell that was started has ended."""
        self.wait(
            f"{CELLS}[{cell}].model.executionCount && {CELLS}[{cell}].model.executionState !== 'running'"
            f" && {PANEL}.sessionContext.session.kernel.status === 'idle'",
            seconds,
        )

    def view(self, cell: int) -> Locator:
        """A cell in the page."""
        return self.page.locator(f".jp-Notebook .jp-Cell[data-windowed-list-index='{cell}']")

    def text(self, cell: int) -> str:
        """The words below a cell."""
        return self.view(cell).locator(".jp-Cell-outputArea").inner_text().strip()

    def explorers(self) -> list[Locator]:
        """All explorers in the page that have come to life, or, without a kernel, to their frames."""
        return self.page.locator(".pset4-explorer:has(.pset4-live)").all()

    def close(self) -> None:
        """Closes the tab, whatever is not saved."""
        self.page.close(run_before_unload=False)
