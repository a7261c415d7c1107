"""Starts the warm process, and asks it for children."""

from __future__ import annotations

import atexit
import functools
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import msgpack

from autograder.engine.grader.assets import pinned
from autograder.engine.grader.sandbox import occupy_standard_descriptors
from pset4.files.assets import cache_folder

WARM_UP_SECONDS = 300.0
# Nothing else of the grader's environment reaches the warm process: it may hold passwords, and the exams' seed. The
# home is there for the start of Python, which looks for the user's own packages; the warm process then leaves it.
PASSED_ON = (
    *("PATH", "HOME", "PYTHONUSERBASE", "PYTHONNOUSERSITE", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"),
    *("PSET4_MIRROR", "PSET4_MANIFEST"),
)
# What decides how numbers come out is the grader's own on both sides, since an exam compares them: instruction sets,
# reduced precision, reproducible modes, and which GPU it is. The number of threads is a limit of the submission;
# libraries that are preloaded, Python's debugging switches and the like are the grader's business only.
SAME_AS_GRADER = (
    *("ATEN_CPU_CAPABILITY", "DNNL_MAX_CPU_ISA", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS", "MKL_DEBUG_CPU_TYPE"),
    *("MKL_CBWR", "OPENBLAS_CORETYPE", "NPY_DISABLE_CPU_FEATURES", "NPY_ENABLE_CPU_FEATURES"),
    *("DNNL_DEFAULT_FPMATH_MODE", "ONEDNN_DEFAULT_FPMATH_MODE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"),
    *("NVIDIA_TF32_OVERRIDE", "CUBLAS_WORKSPACE_CONFIG", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"),
)
PROGRAM = (
    "import sys, json; sys.path[:] = json.loads(sys.argv.pop()); "
    "from autograder.engine.inside.warm import serve; serve({})"
)


class Warm:
    """The warm process, seen from the grader. It is safe to use from several threads."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        """Starts it; it is ready a few seconds later, and the first `spawn` waits for that.

        Args:
            environment: Variables to add.
        """
        occupy_standard_descriptors()
        ours, theirs = socket.socketpair(socket.AF_UNIX, _packets())
        self._control, self._lock, self._ready = ours, threading.Lock(), False
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `close`)
        kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        settings = {
            **kept,
            **same_as_grader(),
            "LANG": "C.UTF-8",
            "PYTHONUTF8": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            # Sets keep their order from one grading to the next.
            "PYTHONHASHSEED": "0",
            # Threads that wait in a busy loop make a network ten times slower where others want the same cores.
            "OMP_WAIT_POLICY": "passive",
            # A pool of threads does not survive the fork.
            "OPENBLAS_NUM_THREADS": "1",
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            "NBGRADER_EXECUTION": "autograde",
            "PSET4_CACHE": str(cache_folder().absolute()),
            **pinned(),
            **(environment or {}),
        }
        paths = [os.path.abspath(entry) for entry in sys.path]  # noqa: PTH100  ("" is the working folder)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", PROGRAM.format(theirs.fileno()), json.dumps(paths)],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                pass_fds=[theirs.fileno()],
                env=settings,
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        """Whether the process is running."""
        return self.process.poll() is None

    def wait_until_ready(self) -> None:
        """Waits until everything is imported.

        Raises:
            RuntimeError: If the process failed; the message holds what it said.
        """
        if self._ready:
            return
        readable, _, _ = select.select([self._control], [], [], WARM_UP_SECONDS)
        if not readable or self._control.recv(16) != b"warm":
            self._log.seek(0)
            said = self._log.read()[-2000:].decode(errors="replace")
            raise RuntimeError(f"the warm process did not start:\n{said}")
        self._ready = True

    def spawn(self, request: Mapping[str, Any], descriptors: Sequence[int]) -> None:
        """Asks for a child.

        Args:
            request: See `warm._start_and_watch`.
            descriptors: Connection, lifeline, pipes for output and errors, and the namespaces to join, if any.

        Raises:
            RuntimeError: If the warm process is gone.
        """
        with self._lock:
            self.wait_until_ready()
            try:
                socket.send_fds(self._control, [msgpack.packb(request)], list(descriptors))
            except OSError as error:
                raise RuntimeError(f"the warm process is gone ({error.strerror})") from None

    def close(self) -> None:
        """Ends the process; sessions that run are not touched."""
        self._control.close()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._stop()
        self._log.close()

    def _stop(self) -> None:
        self.process.terminate()  # while it warms up, it removes its temporary folder
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def same_as_grader() -> dict[str, str]:
    """The variables of `SAME_AS_GRADER` that are set here."""
    return {name: os.environ[name] for name in SAME_AS_GRADER if name in os.environ}


def _packets() -> int:
    # macOS has no sequenced packets; requests are short enough for one datagram, too.
    return socket.SOCK_SEQPACKET if sys.platform == "linux" else socket.SOCK_DGRAM


class _Shared:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._warm: Warm | None = None
        self._owner = 0

    def get(self) -> Warm:
        with self._lock:
            # A forked grader must not talk over its parent's connection.
            if self._warm is None or self._owner != os.getpid() or not self._warm.alive:
                self._warm, self._owner = Warm(), os.getpid()
                atexit.register(self._warm.close)
            return self._warm


@functools.cache
def _shared() -> _Shared:
    return _Shared()


def shared_warm() -> Warm:
    """This process's warm process; started when it is first needed, and again when it died."""
    return _shared().get()
