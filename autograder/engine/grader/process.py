"""The process that holds a submission, seen from outside: its start, its limits, and why it ended."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass
from typing import Any, Literal

import msgpack

from autograder.engine.grader.control_groups import ControlGroup
from autograder.engine.grader.launcher import Warm
from autograder.engine.grader.memory import Footprint, Machine, descendants, sockets_of
from autograder.engine.grader.sandbox import Namespace
from autograder.engine.wire.channel import Channel
from autograder.engine.wire.clock import Clock, poll
from autograder.engine.wire.limits import Limits

Status = Literal["ok", "error", "timeout", "died", "output_limit", "deadline", "machine"]
START_SECONDS = 30.0
WATCH_SECONDS = 0.02
EXIT_SECONDS = 2.0
CLOSE_SECONDS = 10.0
# How others end a process: the kernel when memory is short, and programs that guard it (systemd-oomd, earlyoom).
KILLED = (-signal.SIGKILL, -signal.SIGTERM)


@dataclass(frozen=True)
class End:
    """Why a submission's process is gone.

    Attributes:
        status: As in `CellResult`.
        detail: What happened, in words.
    """

    status: Status
    detail: str

    @property
    def ours(self) -> bool:
        """Whether the machine or the grader is to blame, and not the submission.

        A submission can bring this about where the machine is short of memory anyway: by killing itself at such a
        moment, or by filling a memory that is smaller than its limit. It earns nothing by it: a human looks.
        """
        return self.status == "machine"


class CannotStart(RuntimeError):
    """No process could be started for a submission; none of its code has run."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"No process could be started for this notebook: {reason}. This is the machine's trouble and not the "
            "student's. See whether memory, processes or open files are used up, then grade the notebook again."
        )


@dataclass(frozen=True)
class Place:
    """Where a process lives: in its namespaces, or nowhere in particular; its home folder and its environment."""

    namespace: Namespace | None
    home: str
    environment: Mapping[str, str]


class Monitor:
    """The process beside the submission's, seen from the grader; it stands outside the sandbox and can be trusted.

    Args:
        lifeline: Connection to it. When this end closes, it kills the submission and ends.
        clock: What waiting is measured by.
    """

    def __init__(self, lifeline: socket.socket, clock: Clock) -> None:
        self._lifeline, self._clock = lifeline, clock
        self._messages = msgpack.Unpacker()
        self.is_gone = False

    def listen(self, seconds: float) -> dict[str, Any]:
        """Its next message; empty if there is none in time, or no more."""
        until = self._clock.now() + seconds
        while (message := next(self._messages, None)) is None:
            if self.is_gone or not self._clock.wait([self._lifeline.fileno()], until):
                return {}
            try:
                data = self._lifeline.recv(4096)
            except OSError:
                data = b""
            self.is_gone = not data
            self._messages.feed(data)
        return dict(message)

    def interrupt(self) -> None:
        """Lets it stop the submission's code, as Ctrl-C does."""
        with contextlib.suppress(OSError):
            self._lifeline.send(b"interrupt")

    def end(self) -> None:
        """Lets it kill the submission, and end."""
        with contextlib.suppress(OSError):
            self._lifeline.shutdown(socket.SHUT_WR)


class Process:
    """A process forked from the warm one, and the thread that watches it."""

    def __init__(
        self,
        place: AbstractContextManager[Place],
        *,
        limits: Limits,
        device: str,
        warm: Warm,
        clock: Clock,
        deadline: float,
    ) -> None:
        """Starts it; whatever fails, nothing is left open.

        Args:
            place: Set up and taken down with the process.
            limits: What it may use.
            device: "cuda" passes the GPU through.
            warm: What it is forked from.
            clock: The submission's.
            deadline: When the submission ends, on that clock.

        Raises:
            SandboxUnavailable: If the namespaces cannot be made.
            Exception: Whatever else goes wrong: none of it is a student's doing.
        """
        self.limits, self._clock, self._deadline = limits, clock, deadline
        self.end: End | None = None
        self._lock = threading.Lock()
        self._raw = bytearray()
        self._closed = threading.Event()
        self._machine = Machine()
        self._pipes: list[int] = []
        with ExitStack() as opened:
            # Removed last: what is in it must be gone.
            self._group = ControlGroup.create(limits) if sys.platform == "linux" else None
            if self._group:
                opened.callback(self._group.remove)
            self._place = opened.enter_context(place)
            self._namespace = self._place.namespace
            opened.callback(self._close_pipes)
            self._spawn(warm, device, opened)
            self.pid = self._wait_for_start()
            self._footprint = Footprint(self.pid) if sys.platform == "linux" else None
            self._watcher = threading.Thread(target=self._watch, name="submission watcher", daemon=True)
            self._watcher.start()
            self._opened = opened.pop_all()

    def _spawn(self, warm: Warm, device: str, opened: ExitStack) -> None:
        """Asks the warm process for a child, and keeps our ends of its connections."""
        with ExitStack() as theirs:
            channel, session = _pair(opened, theirs)
            lifeline, monitor = _pair(opened, theirs)
            self._monitor = Monitor(lifeline, self._clock)
            output, errors = self._pipe(theirs), self._pipe(theirs)
            devices = ("cpu", device.split(":")[0])
            self.channel = Channel(channel, max_payload=self.limits.answer_bytes, devices=devices, clock=self._clock)
            namespace = [self._namespace.handle, self._namespace.root] if self._namespace else []
            warm.spawn(self._request(device), [session.fileno(), monitor.fileno(), output, errors, *namespace])

    def _pipe(self, theirs: ExitStack) -> int:
        """The writing end of a new pipe, whose reading end is ours."""
        reading, writing = os.pipe()
        self._pipes.append(reading)
        theirs.callback(os.close, writing)
        return writing

    def _request(self, device: str) -> dict[str, Any]:
        namespace = self._namespace
        return {
            "limits": asdict(self.limits),
            "sandboxed": namespace is not None,
            "user": namespace.user if namespace and not namespace.has_users else None,
            "device": device,
            "max_answer": self.limits.answer_bytes,
            "entrances": self._group.entrances() if self._group else [],
            "folder": self._place.home,
            "environment": dict(self._place.environment),
        }

    def _wait_for_start(self) -> int:
        message = self._monitor.listen(START_SECONDS)
        pid = message.get("pid")
        if not isinstance(pid, int):
            raise RuntimeError(str(message.get("failed", "the warm process did not answer")))
        return pid

    def interrupt(self) -> None:
        """Asks the submission's code to stop, as Ctrl-C does."""
        self._monitor.interrupt()

    def kill(self, end: End) -> End:
        """Kills everything that belongs to the submission; the first reason is the one that counts."""
        with self._lock:
            if self.end is None:
                self.end = end
        if self._namespace:
            self._namespace.kill()
        self._monitor.end()
        return self.end

    def gone(self) -> End:
        """Notes that the process ended by itself, and finds out why."""
        return self.kill(self._reason(self._monitor.listen(EXIT_SECONDS)))

    def _reason(self, message: dict[str, Any]) -> End:
        """What the monitor's last message says about the end; the message is empty where there was none."""
        code = message.get("exit")
        if self._group and self._group.ran_out_of_memory():
            return self._too_much_memory()
        if code in KILLED and self._machine.ran_short:
            return End("machine", "its process was killed while the machine was short of memory")
        # In a sandbox, no submission reaches the monitor.
        if code is None and self._namespace and (message or self._monitor.is_gone):
            return End("machine", f"the process beside it failed ({message.get('failed', 'it was killed')})")
        if code is None:
            return End("died", "its process ended")
        if code >= 0:
            return End("died", f"its process ended itself (exit code {code})")
        with contextlib.suppress(ValueError):
            return End("died", f"its process was ended by {signal.Signals(-code).name}")
        return End("died", f"its process was ended by signal {-code}")

    def _too_much_memory(self) -> End:
        return End("died", f"it used more than {self.limits.memory_bytes / 1e6:.0f} MB of memory")

    def wait_for_end(self) -> None:
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
        try:
            while not self._closed.is_set():
                if poll(tuple(self._pipes), WATCH_SECONDS):
                    self._drain()
                    # A flood waits in the pipe, and costs its author time instead of us.
                    self._closed.wait(WATCH_SECONDS)
                self._check()
            self._drain()
        except Exception as error:
            # Nobody else looks at the limits: without this thread, there would be none.
            self.kill(End("machine", f"its limits could not be watched ({type(error).__name__}: {error})"))

    def _drain(self) -> None:
        with self._lock:
            for pipe in poll(tuple(self._pipes), 0):
                data = os.read(pipe, 1 << 16)
                if not data:
                    self._pipes.remove(pipe)
                    os.close(pipe)
                room = 2 * self.limits.cell_output_bytes - len(self._raw)
                self._raw += data[: max(0, room)]

    def _check(self) -> None:
        if self.end is not None:
            return
        if self._clock.now() > self._deadline:
            self.kill(End("deadline", no_time_left(self.limits)))
        self._machine.look()
        size = number = 0
        if self._namespace:
            size, number = self._namespace.usage()
            if number > self.limits.files:
                self.kill(End("died", f"it wrote more than {self.limits.files} files"))
        if self._footprint is not None and self._group is None:
            self._check_memory(self._footprint, size)

    def _check_memory(self, footprint: Footprint, files: int) -> None:
        # In a namespace, orphans are adopted by the process that holds it open.
        pids = sorted({*descendants(self.pid), *(descendants(self._namespace.pid) if self._namespace else ())})
        sockets = sockets_of(self._namespace.pid) if self._namespace else 0
        if footprint.exceeds(self.limits.memory_bytes, pids, files=files, sockets=sockets):
            self.kill(self._too_much_memory())
        if len(pids) > 2 * self.limits.processes:
            self.kill(End("died", f"it started more than {self.limits.processes} processes"))

    def close(self) -> None:
        """Ends everything; when it returns, no process is left."""
        self.kill(End("died", "the session was closed"))
        # Without namespaces, the monitor kills everything that the submission started. Then it ends.
        until = self._clock.now() + CLOSE_SECONDS
        while self._monitor.listen(max(0.0, until - self._clock.now())):
            pass
        self._closed.set()
        self._watcher.join()
        self._opened.close()

    def _close_pipes(self) -> None:
        for pipe in self._pipes:
            os.close(pipe)
        self._pipes.clear()


def _pair(ours: ExitStack, theirs: ExitStack) -> tuple[socket.socket, socket.socket]:
    one, other = socket.socketpair()
    return ours.enter_context(one), theirs.enter_context(other)


def no_time_left(limits: Limits) -> str:
    """Why a submission is stopped at its deadline."""
    return f"the submission's time of {limits.submission_seconds:g} s was up"
