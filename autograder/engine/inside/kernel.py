"""The submission's side: an IPython shell that executes cells, and answers calls of the functions that they defined.

It runs in the process that belongs to the submission, beside its code, and nothing that it says is believed: outputs
are cut to size again on the other side, and results are checked there.
"""

from __future__ import annotations

import base64
import builtins
import getpass
import io
import json
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from traitlets.config import Config

from autograder.engine.inside.magics import HeadlessShell, show_figures, stay_inline
from autograder.engine.wire.channel import Channel
from autograder.engine.wire.inventory import IN_USE, inventory, modules, packages_in
from autograder.engine.wire.limits import MAX_ALT
from autograder.engine.wire.protocol import MAX_STRING, ProtocolError, encode
from pset4.checks.calling.local import LocalStudent
from pset4.checks.calling.outcome import CallOptions, Outcome
from pset4.checks.calling.torch_state import neutral_torch
from pset4.settings import n_iter

KEPT_KINDS = ("text/plain", "image/png", "image/jpeg")
MAX_PIECE = 100_000
# So many times what is kept of a cell is sent at most: enough for the other side to see that it must cut, and a flood
# costs its author's time instead of its kernel.
FLOOD = 2
# What is printed just before a crash must arrive; only a flood is worth collecting.
EAGER_MESSAGES = 1_000
MAX_MESSAGES = 5_000
MAX_REQUEST = 1 << 32

Emit = Callable[[dict[str, Any]], None]


class Capture:
    """Sends outputs to the other side as they come. What is kept of them is decided there.

    Threads of the submission may print at any time, and so may processes that it forks; those write to the pipe that
    takes whatever bypasses Python's streams, since only one process may speak on the connection.
    """

    def __init__(self) -> None:
        self._left = 0
        self._send: Emit | None = None
        self._lock = threading.RLock()
        self._owner = 0
        self._text = ""
        self._name = "stdout"
        self._messages = 0

    def start(self, allowance: int, send: Emit | None) -> None:
        """Begins a request of which so many bytes may be kept; without `send`, everything is dropped."""
        with self._lock:
            self._owner = os.getpid()
            self._left, self._text, self._messages, self._send = FLOOD * allowance, "", 0, send

    def stop(self) -> None:
        """Ends a request; what comes later is dropped."""
        with self._lock:
            self.flush()
            self._send = None

    def write(self, name: str, text: str) -> None:
        """Adds text to a stream."""
        if self._owner != os.getpid():
            os.write(2 if name == "stderr" else 1, text.encode("utf-8", "replace"))
            return
        with self._lock:
            if name != self._name:
                self.flush()
                self._name = name
            if self._left <= 0 or self._send is None:
                return
            self._text += text[: self._left]
            self._left -= len(text)
            if self._messages < EAGER_MESSAGES or len(self._text) > MAX_PIECE:
                self.flush()

    def flush(self) -> None:
        """Sends the text that was collected."""
        with self._lock:
            text, self._text = self._text, ""
            for start in range(0, len(text), MAX_PIECE):
                self._emit({"output_type": "stream", "name": self._name, "text": text[start : start + MAX_PIECE]})

    def flush_if_few(self) -> None:
        """Sends the text that was collected, as long as this is not done thousands of times."""
        if self._messages < MAX_MESSAGES:
            self.flush()

    def show(self, output: dict[str, Any], size: int) -> None:
        """Sends an output that is not text, if it fits."""
        with self._lock:
            self.flush()
            if size <= min(self._left, MAX_STRING) and self._messages < MAX_MESSAGES:
                self._left -= size
                self._emit(output)
            elif self._left > 0:
                self.write("stdout", f"[an output of {size} bytes was left out]\n")

    def fail(self, output: dict[str, Any]) -> None:
        """Sends an error; it fits always."""
        with self._lock:
            self.flush()
            self._emit(output)

    def _emit(self, output: dict[str, Any]) -> None:
        self._messages += 1
        if self._send is not None and self._owner == os.getpid():
            self._send(output)


class _Stream(io.TextIOBase):
    """Stands for `sys.stdout` or `sys.stderr` in a notebook."""

    encoding, errors, closed = "utf-8", "replace", False  # whoever closes it can go on printing, as in Jupyter

    def __init__(self, stream: str, capture: Capture, number: int) -> None:
        self.name, self._stream, self._capture, self._number = f"<{stream}>", stream, capture, number

    def write(self, text: str) -> int:
        """Sends text to the notebook's output."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._capture.write(self._stream, text)
        return len(text)

    def flush(self) -> None:
        self._capture.flush_if_few()

    def fileno(self) -> int:
        return self._number

    def writable(self) -> bool:
        return True


def _bundle(data: dict[str, Any]) -> tuple[dict[str, str], int]:
    """The kinds of an output that are kept, and their size. HTML and scripts would run in the grader's browser."""
    kept: dict[str, str] = {}
    for kind in KEPT_KINDS:
        content = data.get(kind)
        if isinstance(content, bytes):
            content = base64.b64encode(content).decode()
        if isinstance(content, str):
            kept[kind] = content
    return kept, sum(len(text) for text in kept.values())


def _descriptions(data: dict[str, str], metadata: Any) -> dict[str, dict[str, str]]:
    """What stands in the place of a picture for who cannot see it, as notebooks store it."""
    about = metadata if isinstance(metadata, dict) else {}
    found = {kind: about[kind].get("alt") for kind in data if isinstance(about.get(kind), dict)}
    return {kind: {"alt": alt[:MAX_ALT]} for kind, alt in found.items() if isinstance(alt, str)}


class _Hook(DisplayHook):  # type: ignore[misc]
    capture: Capture

    def quiet(self) -> bool:
        try:
            return bool(super().quiet())
        except Exception:
            return False

    def start_displayhook(self) -> None:
        pass

    def write_output_prompt(self) -> None:
        pass

    def write_format_data(self, format_dict: dict[str, Any], md_dict: dict[str, Any] | None = None) -> None:
        data, size = _bundle(format_dict)
        result = {"output_type": "execute_result", "execution_count": self.prompt_count, "data": data}
        self.capture.show({**result, "metadata": _descriptions(data, md_dict)}, size)

    def finish_displayhook(self) -> None:
        pass


class _Publisher(DisplayPublisher):  # type: ignore[misc]
    capture: Capture

    def publish(self, data: dict[str, Any], metadata: Any = None, **_more: Any) -> None:
        kept, size = _bundle(data)
        if kept:
            metadata = _descriptions(kept, metadata)
            self.capture.show({"output_type": "display_data", "data": kept, "metadata": metadata}, size)

    def clear_output(self, wait: bool = False) -> None:
        pass


class Shell(HeadlessShell):
    """IPython as a notebook knows it, whose outputs go to the other side."""

    capture: Capture

    def init_display_pub(self) -> None:
        """Lets `display` send to the other side."""
        self.display_pub = _Publisher(parent=self, shell=self)
        self.display_pub.capture = self.capture

    def init_displayhook(self) -> None:
        """Lets the value of a last line be sent to the other side."""
        super().init_displayhook()
        self.displayhook.capture = self.capture

    def _showtraceback(self, etype: Any, evalue: Any, stb: list[str]) -> None:
        self.capture.fail(error_output(etype, evalue, stb))


def error_output(etype: Any, evalue: Any, lines: list[str]) -> dict[str, Any]:
    """An error as a notebook stores it, cut to a size that always fits."""
    try:
        message = str(evalue)
    except BaseException as error:
        message = f"(its message could not be shown: {type(error).__name__})"
    text = "\n".join(str(line) for line in lines)
    if len(text) > 20_000:
        text = text[:10_000] + "\n[...]\n" + text[-10_000:]
    name = str(getattr(etype, "__name__", "Error"))[:200]
    return {"output_type": "error", "ename": name, "evalue": message[:2_000], "traceback": text.split("\n")}


def make_shell(capture: Capture) -> Shell:
    """The shell; made in the warm process, where it costs nothing."""
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "NoColor"
    config.InteractiveShell.color_info = False
    config.InteractiveShell.xmode = "Context"
    Shell.capture = capture
    shell: Shell = Shell.instance(config=config, displayhook_class=_Hook)
    builtins.input = shell.raw_input  # type: ignore[assignment]
    getpass.getpass = shell.raw_input
    shell.extension_manager.load_extension("storemagic")  # as Jupyter does
    show_figures(shell)
    stay_inline()
    _rehearse(shell)
    return shell


def _rehearse(shell: Shell) -> None:
    """Lets IPython load what it needs for a cell and for an error, which is slow the first time."""
    shell.run_cell("None", silent=True, store_history=False)
    try:
        shell.ex("1 / 0")
    except ZeroDivisionError as error:
        shell.InteractiveTB.structured_traceback(type(error), error, error.__traceback__)


def _show(answer: Callable[..., None], output: dict[str, Any]) -> None:
    answer("output", output=output)


class Kernel:
    """Serves one submission over its channel."""

    def __init__(self, shell: Shell, capture: Capture) -> None:
        self.shell, self.capture = shell, capture
        self._sending = threading.Lock()

    def serve(self, connection: socket.socket, *, max_answer: int, device: str) -> None:
        """Answers until the other side closes the connection.

        Args:
            connection: To the grader.
            max_answer: Largest answer that it accepts, in bytes.
            device: "cuda" lets tensors live there.
        """
        devices = ("cpu", device.split(":")[0])
        channel = Channel(connection, max_payload=MAX_REQUEST, specifications=True, devices=devices)
        sys.stdout, sys.stderr = _Stream("stdout", self.capture, 1), _Stream("stderr", self.capture, 2)
        handlers = {"cell": self._cell, "call": self._call, "value": self._value, "inventory": self._inventory}
        owner = os.getpid()
        while True:
            request = channel.receive()
            answer = partial(self._answer, channel, request["number"], max_answer)
            fields = handlers[request["kind"]](request, partial(_show, answer))
            if os.getpid() != owner:
                # A cell forked and let its child go on: there is nobody who waits for it.
                os._exit(0)
            self._conclude(answer, fields)

    def _answer(self, channel: Channel, number: int, max_answer: int, kind: str, **fields: Any) -> None:
        frame = encode({"number": number, "kind": kind, **fields})
        if len(frame) > max_answer:
            raise ProtocolError(f"it has {len(frame)} bytes, and at most {max_answer} are accepted")
        with self._sending:
            channel.send(frame)

    def _conclude(self, answer: Callable[..., None], fields: dict[str, Any]) -> None:
        """Sends the last message of a request; what is too large to be sent is replaced by an error that says so."""
        try:
            answer("done", **fields)
        except (ProtocolError, MemoryError, RecursionError, TypeError, ValueError, RuntimeError) as error:
            refused = Outcome(error=type(error).__name__, message=f"the result could not be sent: {error}"[:200])
            answer("done", **vars(refused))

    @contextmanager
    def _student_code(self) -> Iterator[None]:
        """Lets interrupts raise inside only: between two requests there is nothing to interrupt."""
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    def _cell(self, request: dict[str, Any], send: Emit) -> dict[str, Any]:
        self.capture.start(request["allowance"], send)
        failed = True
        try:
            with self._student_code():
                result = self.shell.run_cell(request["source"], store_history=True)
            failed = not result.success
        except BaseException as error:
            lines = traceback.format_exception_only(error)
            self.capture.fail(error_output(type(error), error, lines))
        self.capture.stop()
        return {"failed": failed}

    def _call(self, request: dict[str, Any], _send: Emit) -> dict[str, Any]:
        options = CallOptions(request["from_scratch"], request["seconds"], request["device"])
        return self._ask(lambda student: student.call(request["function"], request["arguments"], options))

    def _value(self, request: dict[str, Any], _send: Emit) -> dict[str, Any]:
        return self._ask(lambda student: student.value(request["name"]))

    def _inventory(self, request: dict[str, Any], _send: Emit) -> dict[str, Any]:
        what = request["what"]
        if what == "modules":
            found = modules()
        elif what == "folder":
            found = packages_in(Path(request["folder"]))
        else:
            found = inventory(hashed=what == "hashed") | {IN_USE: str(n_iter())}
        return {"inventory": json.dumps(found)}

    def _ask(self, question: Callable[[LocalStudent], Outcome]) -> dict[str, Any]:
        self.capture.start(0, None)
        try:
            with self._student_code(), LocalStudent(self.shell.user_ns) as student, neutral_torch():
                outcome = question(student)
        except KeyboardInterrupt:
            outcome = Outcome(error="Timeout", message="the call took too long and was interrupted")
        except BaseException as error:
            outcome = Outcome(error=type(error).__name__, message="the call could not be observed")
        return dict(vars(outcome))
