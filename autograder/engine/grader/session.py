"""One submission under way: cells are run and functions are called in its sandbox, within its limits."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from autograder.engine.grader.assets import submission_variables
from autograder.engine.grader.home import copy_files
from autograder.engine.grader.launcher import Warm, same_as_grader, shared_warm
from autograder.engine.grader.outputs import MESSAGE_BYTES, Collector, failure
from autograder.engine.grader.places import HOME
from autograder.engine.grader.process import START_SECONDS, CannotStart, End, Place, Process, Status, no_time_left
from autograder.engine.grader.remote import RemoteStudent
from autograder.engine.grader.sandbox import Namespace, SandboxUnavailable, check_available
from autograder.engine.wire.channel import ChannelClosed, NotInTime
from autograder.engine.wire.clock import Clock
from autograder.engine.wire.limits import Limits
from autograder.engine.wire.protocol import MAX_HEADER, ProtocolError, encode

# How long interrupted code may take to end: a share of its limit, and this at most.
GRACE, GRACE_SECONDS = 0.08, 3.0


@dataclass(frozen=True)
class CellResult:
    """What came of a cell.

    Attributes:
        outputs: As a notebook stores them, cut to size. The last one says so if the cell was stopped.
        status: "ok"; "error": it raised; "timeout": it was stopped after its time; "died": its process ended (a crash,
            `os._exit`, too much memory); "output_limit": it was stopped because it flooded us; "deadline": the
            submission's time was up; "machine": it was stopped by the machine's trouble or ours, see `End.ours`.
        detail: For "timeout" and below: what happened, in words.
        cut: Whether output was left out.
    """

    outputs: list[dict[str, Any]] = field(default_factory=list)
    status: Status = "ok"
    detail: str = ""
    cut: bool = False


def open_session(
    *,
    limits: Limits | None = None,
    scratch_files: Path | None = None,
    device: str = "cpu",
    sandbox: bool = True,
    hidden: Sequence[Path] = (),
    warm: Warm | None = None,
) -> Session:
    """Starts a process for one submission; use the result as a context manager.

    Args:
        limits: What it may use.
        scratch_files: Folder of files that the submission gets a copy of, in its working folder.
        device: "cuda" passes the GPU through.
        sandbox: False runs the submission with all rights of this account.
        hidden: Folders that it must not see, wherever they are.
        warm: The process to fork it from; by default this process has one.

    Raises:
        SandboxUnavailable: If there is no sandbox on this machine.
        CannotStart: If no process could be started now; the sandbox may have worked for others before.
    """
    if sandbox:
        check_available()
    return Session(limits or Limits(), scratch_files, device=device, sandbox=sandbox, hidden=hidden, warm=warm)


class Session:
    """One submission's process, and the deadline that it shares with the processes that replace it."""

    def __init__(
        self,
        limits: Limits,
        scratch_files: Path | None,
        *,
        device: str,
        sandbox: bool,
        hidden: Sequence[Path],
        warm: Warm | None,
    ) -> None:
        """Use `open_session`."""
        self.limits, self.device, self.sandbox, self._hidden = limits, device, sandbox, hidden
        self._scratch_files = scratch_files
        self._warm = warm
        self._clock = Clock()
        self._deadline = self._clock.now() + limits.submission_seconds
        self._collector = Collector(limits)
        self._number = -1  # of the last question; the greeting is number 0
        self._process: Process | None = None
        self._absent = End("died", "the session was closed")  # why there is no process
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
        return self._process.end if self._process else self._absent

    @property
    def seconds_left(self) -> float:
        """Until the submission's deadline."""
        return max(0.0, self._deadline - self._clock.now())

    @property
    def leader(self) -> int:
        """The process's id, as this process sees it; 0 where there is none."""
        return self._process.pid if self._process else 0

    def restart(self) -> None:
        """Ends the process and starts a new one, which has run nothing. The submission's deadline stays.

        Raises:
            CannotStart: If no process could be started now; `end` says so, too.
        """
        self.close()
        self._start()

    def _start(self) -> None:
        try:
            self._process = self._new_process()
            self._greet()
        except BaseException as error:
            self.close()
            missing = isinstance(error, SandboxUnavailable) and not _sandbox_has_worked().is_set()
            if missing or not isinstance(error, Exception):
                raise
            reason = error if isinstance(error, CannotStart) else CannotStart(f"{type(error).__name__}: {error}")
            self._absent = End("machine", str(reason))
            raise reason from error
        if self.sandbox:
            _sandbox_has_worked().set()

    def _new_process(self) -> Process:
        return Process(
            _place(self.limits, self._scratch_files, device=self.device, sandbox=self.sandbox, hidden=self._hidden),
            limits=self.limits,
            device=self.device,
            warm=self._warm or shared_warm(),
            clock=self._clock,
            deadline=self._deadline,
        )

    def _greet(self) -> None:
        """Waits until the process answers: what goes wrong before that is not the submission's doing."""
        answer = self.ask({"kind": "value", "name": ""}, START_SECONDS)
        if isinstance(answer, End) and answer.status != "deadline":
            assert self._process is not None
            said = self._process.take_raw().decode(errors="replace").strip()
            raise CannotStart(said or answer.detail)

    def close(self) -> None:
        """Ends the process and all that it started."""
        if self._process is not None:
            self._process.close()
            self._process = None
            self._absent = End("died", "the session was closed")

    def run_cell(self, source: str) -> CellResult:
        """Runs one cell."""
        process, collector = self._process, self._collector
        if process is None or process.end is not None:
            return self._stopped(self._not_run())
        allowance = collector.start_cell()
        request = {"kind": "cell", "source": source, "allowance": allowance}
        answer = self._exchange(request, self.limits.cell_seconds, collector.add, collector.most_bytes)
        if isinstance(answer, End):
            process.wait_for_end()
        collector.add_raw(process.take_raw())
        if isinstance(answer, End):
            return self._stopped(process.end or answer)
        status: Status = "error" if answer.get("failed") is not False else "ok"
        return CellResult(collector.take(), status, cut=collector.cut)

    def _not_run(self) -> End:
        end = self.end or End("died", "the submission's process was gone")
        status: Status = end.status if end.status in ("deadline", "machine") else "died"
        return End(status, f"this cell was not run: {end.detail}")

    def _stopped(self, end: End) -> CellResult:
        outputs = [*self._collector.take(), failure(end.status, end.detail)]
        return CellResult(outputs, end.status, end.detail, cut=self._collector.cut)

    def student(self) -> RemoteStudent:
        """The submission as exams see it."""
        return RemoteStudent(self.ask)

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
            self._process.wait_for_end()
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

        frame = encode({**request, "number": self._number}, layouts=True)
        interrupted = False
        until = min(self._clock.now() + seconds, self._deadline)
        try:
            process.channel.send(frame, deadline=until)
            while True:
                try:
                    message = process.channel.receive(deadline=until, on_bytes=count)
                except NotInTime:
                    if interrupted or not self.seconds_left:
                        raise
                    interrupted = True
                    process.interrupt()
                    until = min(self._clock.now() + min(GRACE_SECONDS, GRACE * seconds), self._deadline)
                    continue
                if message.get("number") != self._number:
                    raise ProtocolError("an answer to another question")
                if message.get("kind") == "output":
                    on_output(message.get("output"))
                elif message.get("kind") == "done":
                    return End("timeout", _too_slow(seconds)) if interrupted else message
                else:
                    raise ProtocolError("neither output nor answer")
        except NotInTime:
            if not self.seconds_left:
                return process.kill(End("deadline", no_time_left(self.limits)))
            return process.kill(End("timeout", _too_slow(seconds) + " and could not be interrupted"))
        except _Flood:
            return process.kill(End("output_limit", "it was stopped because it sent far more output than is stored"))
        except ProtocolError as error:
            return process.kill(End("died", f"its process sent something that is not an answer ({error})"))
        except MemoryError:
            return process.kill(End("machine", "the grader had no memory left for an answer"))
        except ChannelClosed:
            return process.gone()


class _Flood(Exception):
    pass


def _too_slow(seconds: float) -> str:
    return f"it took longer than {seconds:g} s"


@functools.cache
def _sandbox_has_worked() -> threading.Event:
    """Set once this process has put a submission into a sandbox: one that is refused later is no missing sandbox."""
    return threading.Event()


@contextlib.contextmanager
def _place(
    limits: Limits, scratch_files: Path | None, *, device: str, sandbox: bool, hidden: Sequence[Path]
) -> Iterator[Place]:
    """Sets up where a process lives, and takes it down again."""
    if sandbox:
        namespace = Namespace(limits=limits, scratch_files=scratch_files, device=device, hidden=hidden)
        with contextlib.closing(namespace):
            yield Place(namespace, HOME, _environment(HOME, limits, sandbox=True))
        return
    with tempfile.TemporaryDirectory(prefix="pset4-", ignore_cleanup_errors=True) as folder:
        copy_files(scratch_files, Path(folder), limits)
        yield Place(None, folder, _environment(folder, limits, sandbox=False))


def _environment(home: str, limits: Limits, *, sandbox: bool) -> dict[str, str]:
    """The environment of a submission: nothing of the grader's but what decides how numbers come out."""
    programs = [str(Path(sys.prefix) / "bin"), "/usr/local/bin", "/usr/bin", "/bin"]
    return {
        **same_as_grader(),
        "PATH": os.pathsep.join(programs),
        "HOME": home,
        "USER": "student",
        "LOGNAME": "student",
        "LANG": "C.UTF-8",
        "TMPDIR": "/tmp" if sandbox else home,
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "NBGRADER_EXECUTION": "autograde",
        "PYTHONHASHSEED": "0",
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(limits.threads)),
        # There is no network: pip is to say so at once instead of trying again and again.
        "PIP_RETRIES": "0",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        **submission_variables(home, sandbox=sandbox),
    }
