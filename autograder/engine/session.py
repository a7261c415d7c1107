"""One submission under way: cells are run and functions are called in its sandbox, within its limits."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import msgpack

from autograder.engine.channel import Channel, ChannelClosed, OutOfTime
from autograder.engine.launcher import Warm, shared_warm
from autograder.engine.limits import Limits
from autograder.engine.outputs import MESSAGE_BYTES, Collector, failure
from autograder.engine.protocol import MAX_HEADER, ProtocolError, encode
from autograder.engine.remote import RemoteStudent
from autograder.engine.resources import ControlGroup, descendants, memory_of
from autograder.engine.sandbox import HOME, Namespace, SandboxUnavailable, check_available, regular_files

Status = Literal["ok", "error", "timeout", "died", "output_limit", "deadline"]
START_SECONDS = 30.0
WATCH_SECONDS = 0.02
# How long interrupted code may take to end: a share of its limit, and this at most.
GRACE, GRACE_SECONDS = 0.08, 3.0


@dataclass(frozen=True)
class CellResult:
    """What came of a cell.

    Attributes:
        outputs: As a notebook stores them, cut to size. The last one says so if the cell was stopped.
        status: "ok"; "error": it raised; "timeout": it was stopped after its time; "died": its process ended (a crash,
            `os._exit`, too much memory); "output_limit": it was stopped because it flooded us; "deadline": the
            submission's time was up.
        detail: For "timeout" and below: what happened, in words.
        cut: Whether output was left out.
    """

    outputs: list[dict[str, Any]] = field(default_factory=list)
    status: Status = "ok"
    detail: str = ""
    cut: bool = False


@dataclass(frozen=True)
class End:
    """Why a submission's process is gone."""

    status: Status
    detail: str

    @property
    def ours(self) -> bool:
        """Whether the machine ended it, for no reason of the submission's."""
        return False


def open_session(
    *,
    limits: Limits | None = None,
    scratch_files: Path | None = None,
    device: str = "cpu",
    sandbox: bool = True,
    warm: Warm | None = None,
) -> Session:
    """Starts a process for one submission; use the result as a context manager.

    Args:
        limits: What it may use.
        scratch_files: Folder of files that the submission gets a copy of, in its working folder.
        device: "cuda" passes the GPU through.
        sandbox: False runs the submission with all rights of this account.
        warm: The process to fork it from; by default this process has one.

    Raises:
        SandboxUnavailable: If there is no sandbox on this machine.
    """
    if sandbox:
        check_available()
    return Session(limits or Limits(), scratch_files, device=device, sandbox=sandbox, warm=warm)


class Session:
    """One submission's process, and the deadline that it shares with the processes that replace it."""

    def __init__(
        self, limits: Limits, scratch_files: Path | None, *, device: str, sandbox: bool, warm: Warm | None
    ) -> None:
        """Use `open_session`."""
        self.limits, self.device, self.sandbox = limits, device, sandbox
        self._scratch_files = scratch_files
        self._warm = warm
        self._opened = time.monotonic()
        self._deadline = self._opened + limits.submission_seconds
        self._collector = Collector(limits)
        self._number = 0
        self._process: _Process | None = None
        self._start()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Whether cells and calls can be run."""
        return self._process is not None and self._process.end is None

    @property
    def end(self) -> End | None:
        """Why the process is gone; None while it lives."""
        return self._process.end if self._process else End("died", "the session was closed")

    @property
    def seconds_left(self) -> float:
        """Until the submission's deadline."""
        return max(0.0, self._deadline - time.monotonic())

    @property
    def leader(self) -> int:
        """The process's id, as this process sees it; 0 where there is none."""
        return self._process.pid if self._process else 0

    def restart(self) -> None:
        """Ends the process and starts a new one, which has run nothing. The submission's deadline stays."""
        self.close()
        self._start()

    def _start(self) -> None:
        self._process = _Process(
            self.limits,
            self._scratch_files,
            device=self.device,
            sandbox=self.sandbox,
            warm=self._warm or shared_warm(),
            deadline=self._deadline,
        )

    def close(self) -> None:
        """Ends the process and all that it started."""
        if self._process is not None:
            self._process.close()
            self._process = None

    def run_cell(self, source: str) -> CellResult:
        """Runs one cell."""
        process, collector = self._process, self._collector
        if process is None or process.end is not None:
            return self._stopped(self._not_run())
        allowance = collector.start_cell()
        request = {"kind": "cell", "source": source, "allowance": allowance}
        answer = self._exchange(request, self.limits.cell_seconds, collector.add, collector.most_bytes)
        if isinstance(answer, End):
            process.wait_for_end(answer)
        collector.add_raw(process.take_raw())
        if isinstance(answer, End):
            return self._stopped(process.end or answer)
        status: Status = "error" if answer.get("failed") is not False else "ok"
        return CellResult(collector.take(), status, cut=collector.cut)

    def _not_run(self) -> End:
        end = self.end or End("died", "the submission's process was gone")
        status: Status = "deadline" if end.status == "deadline" else "died"
        return End(status, f"this cell was not run: {end.detail}")

    def _stopped(self, end: End) -> CellResult:
        outputs = [*self._collector.take(), failure(end.status, end.detail)]
        return CellResult(outputs, end.status, end.detail, cut=self._collector.cut)

    def student(self) -> RemoteStudent:
        """The submission as exams see it."""
        return RemoteStudent(self)

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any] | End:
        """Sends a request to the submission's process and waits for its answer; its output is dropped.

        Returns:
            The answer, whose content is the submission's word, or why there is none.
        """
        if self._process is None or self._process.end is not None:
            return self.end or End("died", "the submission's process was gone")
        most = 2 * (self.limits.answer_bytes + MAX_HEADER)
        answer = self._exchange(request, seconds, lambda _output: None, most)
        if isinstance(answer, End):
            self._process.wait_for_end(answer)
            return self._process.end or answer
        self._process.take_raw()
        return answer

    def _exchange(
        self, request: dict[str, Any], seconds: float, on_output: Callable[[Any], None], most_bytes: int
    ) -> dict[str, Any] | End:
        process = self._process
        assert process is not None
        self._number += 1
        counted = 0

        def count(size: int) -> None:
            nonlocal counted
            counted += size + MESSAGE_BYTES
            if counted > most_bytes:
                raise _Flood

        interrupted = False
        until = min(time.monotonic() + seconds, self._deadline)
        try:
            process.channel.send(encode({**request, "number": self._number}, layouts=True), deadline=until)
            while True:
                try:
                    message = process.channel.receive(deadline=until, on_bytes=count)
                except OutOfTime:
                    if interrupted or time.monotonic() >= self._deadline:
                        raise
                    interrupted = True
                    process.interrupt()
                    until = min(time.monotonic() + min(GRACE_SECONDS, GRACE * seconds), self._deadline)
                    continue
                if message.get("number") != self._number:
                    raise ProtocolError("an answer to another question")
                if message.get("kind") == "output":
                    on_output(message.get("output"))
                elif message.get("kind") == "done":
                    return End("timeout", _too_slow(seconds)) if interrupted else message
                else:
                    raise ProtocolError("neither output nor answer")
        except OutOfTime:
            if time.monotonic() >= self._deadline:
                return process.kill(End("deadline", _no_time_left(self.limits)))
            return process.kill(End("timeout", _too_slow(seconds) + " and could not be interrupted"))
        except _Flood:
            return process.kill(End("output_limit", "it was stopped because it sent far more output than is stored"))
        except ProtocolError as error:
            return process.kill(End("died", f"its process sent something that is not an answer ({error})"))
        except ChannelClosed:
            return process.gone()


class _Flood(Exception):
    pass


def _too_slow(seconds: float) -> str:
    return f"it took longer than {seconds:g} s"


def _no_time_left(limits: Limits) -> str:
    return f"the submission's time of {limits.submission_seconds:g} s was up"


class _Process:
    """The process that holds the submission, in its namespaces."""

    def __init__(
        self,
        limits: Limits,
        scratch_files: Path | None,
        *,
        device: str,
        sandbox: bool,
        warm: Warm,
        deadline: float,
    ) -> None:
        self.limits, self._deadline = limits, deadline
        self.end: End | None = None
        self._wanted_end: End | None = None
        self._lock = threading.Lock()
        self._raw = bytearray()
        self._closed = threading.Event()
        self._namespace: Namespace | None = None
        self._folder: Path | None = None
        if sandbox:
            readable = asset_folders()
            self._namespace = Namespace(limits=limits, scratch_files=scratch_files, readable=readable, device=device)
        else:
            self._folder = _copy_files(scratch_files)
        self._group = ControlGroup.create(limits) if sys.platform == "linux" else None
        ours, session = socket.socketpair()
        self._lifeline, monitor = socket.socketpair()
        output_read, output_write = os.pipe()
        errors_read, errors_write = os.pipe()
        self._pipes = [output_read, errors_read]
        theirs = [session.fileno(), monitor.fileno(), output_write, errors_write]
        if self._namespace:
            theirs += [self._namespace.handle, self._namespace.root]
        self.channel = Channel(ours, max_payload=limits.answer_bytes, devices=("cpu", device.split(":")[0]))
        request = {
            "limits": asdict(limits),
            "sandboxed": sandbox,
            "user": self._namespace.user if self._namespace and not self._namespace.has_users else None,
            "device": device,
            "max_answer": limits.answer_bytes,
            "entrances": self._group.entrances() if self._group else [],
            "folder": HOME if sandbox else str(self._folder),
            "environment": _environment(HOME if sandbox else str(self._folder), limits, sandbox=sandbox),
        }
        try:
            try:
                warm.spawn(request, theirs)
            finally:
                session.close()
                monitor.close()
                os.close(output_write)
                os.close(errors_write)
            self.pid = self._wait_for_start()
        except BaseException:
            self._release()
            raise
        self._shared = memory_of([self.pid], shared=0) if sys.platform == "linux" else 0
        self._watcher = threading.Thread(target=self._watch, name="submission watcher", daemon=True)
        self._watcher.start()

    def _wait_for_start(self) -> int:
        message = self._listen(START_SECONDS)
        pid = message.get("pid")
        if not isinstance(pid, int):
            reason = str(message.get("failed", "no answer"))
            if self._namespace:
                raise SandboxUnavailable(f"A process could not be moved into the sandbox: {reason}")
            raise RuntimeError(f"the submission's process could not be started: {reason}")
        return pid

    def _listen(self, seconds: float) -> dict[str, Any]:
        """The next message of the monitor, which stands outside and can be trusted."""
        readable, _, _ = select.select([self._lifeline], [], [], seconds)
        data = self._lifeline.recv(4096) if readable else b""
        message: dict[str, Any] = {}
        if data:
            unpacker = msgpack.Unpacker()
            unpacker.feed(data)
            message = next(iter(unpacker))
        return message

    def interrupt(self) -> None:
        """Asks the submission's code to stop, as Ctrl-C does."""
        with contextlib.suppress(OSError):
            self._lifeline.send(b"interrupt")

    def kill(self, end: End) -> End:
        """Kills everything that belongs to the submission; the first reason is the one that counts."""
        with self._lock:
            if self.end is None:
                self.end = end
        if self._namespace:
            self._namespace.kill()
        with contextlib.suppress(OSError):
            self._lifeline.shutdown(socket.SHUT_WR)
        return self.end

    def gone(self) -> End:
        """Notes that the process ended by itself, and finds out why."""
        code = self._listen(1.0).get("exit")
        detail = "its process ended"
        if self._group and self._group.ran_out_of_memory():
            detail = f"it used more than {self.limits.memory_bytes / 1e6:.0f} MB of memory"
        elif isinstance(code, int) and code < 0:
            with contextlib.suppress(ValueError):
                detail = f"its process was ended by {signal.Signals(-code).name}"
        elif isinstance(code, int):
            detail = f"its process ended itself (exit code {code})"
        return self.kill(End("died", detail))

    def wait_for_end(self, end: End) -> None:
        """Lets the watcher finish what it was about to say, if the process is gone."""
        if self.end is not None:
            self._closed.set()
            self._watcher.join(2.0)

    def take_raw(self) -> bytes:
        """What was written past Python's streams since the last time."""
        if self.end is None:
            self._drain()
        with self._lock:
            data = bytes(self._raw)
            self._raw.clear()
        return data

    def _watch(self) -> None:
        """Runs in a thread: reads what bypasses Python's streams, and looks at time, memory and files."""
        while not self._closed.is_set():
            with contextlib.suppress(OSError, ValueError):
                if not select.select(self._pipes, [], [], WATCH_SECONDS)[0]:
                    self._check()
                    continue
            self._drain()
            self._check()
            # A flood waits in the pipe, and costs its author time instead of us.
            self._closed.wait(WATCH_SECONDS)
        self._drain()

    def _drain(self) -> None:
        with self._lock:
            for pipe in list(self._pipes):
                with contextlib.suppress(OSError):
                    if not select.select([pipe], [], [], 0)[0]:
                        continue
                    data = os.read(pipe, 1 << 16)
                    if not data:
                        self._pipes.remove(pipe)
                        os.close(pipe)
                    room = 2 * self.limits.cell_output_bytes - len(self._raw)
                    self._raw += data[: max(0, room)]

    def _check(self) -> None:
        if self.end is not None:
            return
        if time.monotonic() > self._deadline:
            self.kill(End("deadline", _no_time_left(self.limits)))
        size = number = 0
        if self._namespace:
            size, number = self._namespace.usage()
            if number > self.limits.files:
                self.kill(End("died", f"it wrote more than {self.limits.files} files"))
        if sys.platform != "linux" or self._group is not None:
            return
        # In a namespace, orphans are adopted by the process that holds it open.
        pids = sorted({*descendants(self.pid), *(descendants(self._namespace.pid) if self._namespace else ())})
        if memory_of(pids, shared=self._shared) + size > self.limits.memory_bytes:
            self.kill(End("died", f"it used more than {self.limits.memory_bytes / 1e6:.0f} MB of memory"))
        if len(pids) > 2 * self.limits.processes:
            self.kill(End("died", f"it started more than {self.limits.processes} processes"))

    def close(self) -> None:
        """Ends everything; when it returns, no process is left."""
        self.kill(End("died", "the session was closed"))
        # Without namespaces, the monitor kills everything that the submission started. Then it ends.
        until = time.monotonic() + 10.0
        while self._listen(max(0.0, until - time.monotonic())):
            pass
        self._closed.set()
        self._watcher.join()
        self._release()

    def _release(self) -> None:
        self.channel.close()
        self._lifeline.close()
        if self._namespace:
            self._namespace.close()
        if self._group:
            self._group.remove()
        for pipe in self._pipes:
            os.close(pipe)
        self._pipes.clear()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)


def asset_folders() -> list[Path]:
    """Folders of photos and weights, which a submission may read: the cache and the mirrors of `pset4.assets`."""
    try:
        from pset4.assets import cache_folder, mirror_folders
    except ImportError:
        return []
    return [path.resolve() for path in (cache_folder(), *mirror_folders()) if path.is_dir()]


def _environment(home: str, limits: Limits, *, sandbox: bool) -> dict[str, str]:
    """The environment of a submission: nothing of the grader's."""
    programs = [str(Path(sys.prefix) / "bin"), "/usr/local/bin", "/usr/bin", "/bin"]
    return {
        "PATH": os.pathsep.join(programs),
        "HOME": home,
        "USER": "student",
        "LOGNAME": "student",
        "LANG": "C.UTF-8",
        "TMPDIR": "/tmp" if sandbox else home,
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "NBGRADER_EXECUTION": "autograde",
        "OMP_NUM_THREADS": str(limits.threads),
        "PSET4_MIRROR": os.pathsep.join(map(str, asset_folders())),
        "PSET4_OFFLINE": "1",
    }


def _copy_files(folder: Path | None) -> Path:
    target = Path(tempfile.mkdtemp(prefix="pset4-"))
    for path, relative in regular_files(folder, most=400):
        (target / relative).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / relative, follow_symlinks=False)
    return target


__all__ = ["CellResult", "End", "Limits", "RemoteStudent", "SandboxUnavailable", "Session", "open_session"]
