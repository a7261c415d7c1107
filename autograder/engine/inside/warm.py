"""The warm process: it has imported everything slow, has never seen an exam, and forks a child for each submission.

It is started as a fresh interpreter (`serve`), not forked from the grader, so that no exam, no seed and no secret of
the grader is in its memory. It never runs a student's code: its children do, after they have joined a sandbox.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import importlib
import os
import pkgutil
import random
import select
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import msgpack
import psutil

# Whatever a child needs must be loaded here: the course's folder is out of sight once it has joined its sandbox.
from autograder.engine.inside.confinement import adopt_orphans, confine, join, limit_this_process
from autograder.engine.wire.limits import Limits

SLOW = (
    "pyseccomp",
    "resource",
    "numpy.random",
    "scipy.linalg",
    "torch.fx.experimental.symbolic_shapes",
    "torchvision",
    "matplotlib.pyplot",
    "matplotlib_inline.backend_inline",
    "matplotlib.backends.backend_agg",
    "ipywidgets",
    "PIL.PngImagePlugin",
    "PIL.JpegImagePlugin",
)
NOT_FOR_STUDENTS = ("pset4.command_line", "pset4.commands")
FORBIDDEN = ("autograder.exams", "autograder.answers", "autograder.course", "autograder.engine.grader")


def serve(number: int) -> None:
    """Runs the warm process.

    Args:
        number: Descriptor of the socket on which the grader asks for children.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the grader's business
    control = socket.socket(fileno=number)
    kernel = _warm_up()
    loaded = [name for name in sys.modules if name.startswith(FORBIDDEN)]
    if loaded:
        raise RuntimeError(f"the warm process must hold nothing of the grader, but has loaded {loaded}")
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the monitors
    # A namespace ends only when the submission's process was waited for, even if its monitor is gone.
    adopt_orphans()
    control.send(b"warm")
    while True:
        message, descriptors, _flags, _address = socket.recv_fds(control, 65536, 8)
        if not message:
            return
        if os.fork() == 0:
            control.close()
            _monitor(msgpack.unpackb(message), descriptors, kernel)
        for descriptor in descriptors:
            os.close(descriptor)


def _warm_up() -> Any:
    """Loads everything with a home folder for the occasion: matplotlib and IPython write into theirs."""
    # Until now this process had the grader's home, where Python finds the user's own packages.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the folder goes, too
    with tempfile.TemporaryDirectory(prefix=f"pset4-{os.getpid()}-") as home:
        os.environ["HOME"] = home
        prepare()
        from autograder.engine.inside.kernel import Capture, Kernel, make_shell

        capture = Capture()
        kernel = Kernel(make_shell(capture), capture)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    return kernel


def prepare() -> None:
    """Imports everything that submissions are likely to use, and that is slow."""
    import pset4

    names = [module.name for module in pkgutil.walk_packages(pset4.__path__, "pset4.")]
    for name in (*SLOW, *(name for name in names if not name.startswith(NOT_FOR_STUDENTS))):
        # A module that is missing here is missing for the submission, too, and says so there.
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    import torch

    # A thread pool does not survive a fork: children start their own.
    torch.set_num_threads(1)
    preload_networks()


def preload_networks() -> None:
    """Loads every network once; the first `load_model` of a child gets it, later ones load another."""
    from pset4.files.assets import AssetError
    from pset4.networks.checkpoints import CheckpointError, UnsafeCheckpointError
    from pset4.networks.network import LOADERS

    # What cannot be loaded here says so in the submission's own process.
    for name, loader in LOADERS.items():
        with contextlib.suppress(AssetError, CheckpointError, UnsafeCheckpointError, ImportError, OSError):
            LOADERS[name] = _first(loader(), loader)


def _first(loaded: Any, loader: Callable[[], Any]) -> Callable[[], Any]:
    kept = [loaded]
    return lambda: kept.pop() if kept else loader()


def _monitor(request: dict[str, Any], descriptors: list[int], kernel: Any) -> None:
    """Runs in the forked child: enters the sandbox, starts the submission's process in it, and watches that one."""
    code = 1
    try:
        code = _start_and_watch(request, descriptors, kernel)
    except BaseException as error:
        _tell(socket.socket(fileno=descriptors[1]), {"failed": f"{type(error).__name__}: {error}"})
    finally:
        os._exit(code)


def _start_and_watch(request: dict[str, Any], descriptors: list[int], kernel: Any) -> int:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    session, lifeline, output, errors, *namespace = descriptors
    os.setsid()
    # Opened before they are out of sight; only the submission's own process enters.
    entrances = [os.open(path, os.O_WRONLY) for path in request["entrances"]]
    if namespace:
        join(*namespace, users=request["user"] is None)
    else:
        adopt_orphans()
    pid = os.fork()
    if pid == 0:
        os.close(lifeline)
        for entrance in entrances:
            os.write(entrance, b"0")
        _run_submission(request, session, output, errors, kernel)
    for descriptor in (session, output, errors, *namespace, *entrances):
        os.close(descriptor)
    with socket.socket(fileno=lifeline) as monitor:
        _tell(monitor, {"pid": pid})
        status = _watch(pid, monitor)
        if not namespace:
            _kill_descendants()
        _tell(monitor, {"exit": os.waitstatus_to_exitcode(status)})
    return 0


def _tell(monitor: socket.socket, message: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        monitor.send(msgpack.packb(message))


def _watch(pid: int, monitor: socket.socket) -> int:
    """Waits for the process; passes interrupts on, and kills it when the grader closes its end or is gone."""
    poller = select.poll()
    poller.register(monitor, select.POLLIN)
    pause: int | None = 50
    if hasattr(os, "pidfd_open"):
        poller.register(os.pidfd_open(pid), select.POLLIN)
        pause = None
    while True:
        events = poller.poll(pause)
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status
        if any(number == monitor.fileno() for number, _ in events):
            order = monitor.recv(16)
            os.kill(pid, signal.SIGINT if order == b"interrupt" else signal.SIGKILL)


def _kill_descendants() -> None:
    """Kills what the submission started and left running; without namespaces, this is all that can be done."""
    for _ in range(100):
        left = psutil.Process().children(recursive=True)
        if not left:
            return
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _run_submission(request: dict[str, Any], session: int, output: int, errors: int, kernel: Any) -> None:
    """Runs in the submission's own process: gives everything up, then serves until the connection ends."""
    code = 1
    try:
        _give_up(request, session, output, errors)
        _settle_in(request)
        kernel.serve(socket.socket(fileno=3), max_answer=request["max_answer"], device=request["device"])
    except BaseException as error:
        code = 0 if type(error).__name__ == "ChannelClosed" else 1
        if code:
            os.write(2, f"{type(error).__name__}: {error}\n".encode(errors="replace")[:500])
    finally:
        os._exit(code)


def _give_up(request: dict[str, Any], session: int, output: int, errors: int) -> None:
    # Signals to process group 0 would otherwise reach the grader, whatever the namespaces.
    os.setsid()
    _keep_descriptors(session, output, errors)
    limit_this_process(Limits(**request["limits"]), sandboxed=request["sandboxed"])
    if request["sandboxed"]:
        confine(request["user"], device=request["device"])


def _keep_descriptors(session: int, output: int, errors: int) -> None:
    """Leaves 0 (nothing), 1 and 2 (output that bypasses Python) and 3 (the connection)."""
    # Copies above the four first, so that none is overwritten before it is copied.
    copies = [fcntl.fcntl(number, fcntl.F_DUPFD, 8) for number in (output, errors, session)]
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    for number, copy in zip((1, 2, 3), copies, strict=True):
        os.dup2(copy, number, inheritable=number < 3)
    os.closerange(4, 65536)


def _settle_in(request: dict[str, Any]) -> None:
    import numpy
    import torch

    from autograder.engine.inside.magics import settle_libraries

    # The same for every submission, so that a regrade repeats what happened.
    random.seed(0)
    numpy.random.seed(0)
    torch.manual_seed(0)
    torch.set_num_threads(request["limits"]["threads"])
    os.environ.clear()
    os.environ.update(request["environment"])
    tempfile.tempdir = None
    settle_libraries()
    os.umask(0o022)
    os.chdir(request["folder"])
    sys.path.insert(0, "")
    sys.argv[:] = ["notebook"]
