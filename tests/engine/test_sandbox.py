"""The sandbox holds: what a submission may not see, touch, start or use up, tried from inside, seen from outside.

Without bubblewrap these tests fail, and the error says how to install it.
"""

from __future__ import annotations

import base64
import errno
import io
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgpack
import pytest
from PIL import Image

from autograder.course.folders import REPOSITORY
from autograder.engine.grader import control_groups, memory, sandbox
from autograder.engine.grader.control_groups import ControlGroup
from autograder.engine.grader.launcher import Warm
from autograder.engine.grader.memory import Footprint, Machine, sockets_of
from autograder.engine.grader.process import Monitor
from autograder.engine.grader.sandbox import SandboxUnavailable, check_available
from autograder.engine.grader.session import CannotStart, CellResult, Session, _sandbox_has_worked, open_session
from autograder.engine.inside import warm as warm_process
from autograder.engine.wire.clock import Clock
from autograder.engine.wire.limits import Limits
from pset4.networks.network import LOADERS

# Split, so that the code of these tests does not hold what they look for.
CANARY = "canary" + "-5f1c9e27"
MB = 1_000_000
QUICK = Limits(
    cell_seconds=20,
    submission_seconds=60,
    memory_bytes=400 * MB,
    processes=40,
    file_bytes=40 * MB,
    files=2_000,
    output_bytes=300_000,
    cell_output_bytes=100_000,
)


@pytest.fixture(scope="module")
def warm() -> Iterator[Warm]:
    """A warm process, started by a grader that has a secret in its environment."""
    os.environ["PSET4_EXAM_SEED"] = os.environ["GRADER_PASSWORD"] = CANARY
    try:
        process = Warm()
    finally:
        del os.environ["PSET4_EXAM_SEED"], os.environ["GRADER_PASSWORD"]
    yield process
    process.close()


@pytest.fixture
def session(warm: Warm) -> Iterator[Session]:
    with open_session(limits=QUICK, warm=warm) as session:
        yield session


def text_of(result: CellResult) -> str:
    """Everything that a reader of the notebook would see."""
    parts = []
    for output in result.outputs:
        parts += [output.get("text", ""), output.get("data", {}).get("text/plain", ""), output.get("evalue", "")]
    return "".join(parts)


def run(session: Session, source: str) -> str:
    """Runs a cell that must succeed; what it printed."""
    result = session.run_cell(textwrap.dedent(source))
    assert result.status == "ok", text_of(result)
    return text_of(result)


def stored_size(results: list[CellResult]) -> int:
    return len(json.dumps([result.outputs for result in results], ensure_ascii=False).encode())


def processes_with(mark: str) -> list[int]:
    """Processes of this machine whose command line holds a text."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                line = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if mark.encode() in line and int(folder.name) != os.getpid():
                found.append(int(folder.name))
    return found


def wait_until_gone(mark: str, seconds: float = 5.0) -> list[int]:
    """What is left of such processes after a while."""
    until = time.monotonic() + seconds
    while (left := processes_with(mark)) and time.monotonic() < until:
        time.sleep(0.02)
    return left


# What a notebook needs


def test_cells_share_a_namespace_and_keep_their_outputs(session: Session) -> None:
    result = session.run_cell("import sys\nx = 41\nprint('out')\nprint('err', file=sys.stderr)\nx + 1")
    kinds = [(output["output_type"], output.get("name")) for output in result.outputs]
    assert kinds == [("stream", "stdout"), ("stream", "stderr"), ("execute_result", None)]
    assert run(session, "x") == "41"


def test_an_error_is_stored_as_notebooks_store_it(session: Session) -> None:
    result = session.run_cell("1 / 0")
    (output,) = result.outputs
    assert (
        result.status == "error"
        and output["ename"] == "ZeroDivisionError"
        and "1 / 0" in "\n".join(output["traceback"])
    )


def test_figures_arrive_as_images(session: Session) -> None:
    result = session.run_cell("%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1, 2]); plt.show()")
    shown = [kind for output in result.outputs for kind in output.get("data", {})]
    assert shown == ["text/plain", "image/png"]


@pytest.mark.parametrize("last", ["display(picture)", "picture"])
def test_a_picture_keeps_its_text_alternative(last: str, session: Session) -> None:
    make = "from IPython.display import Image\nimport base64\ndata = base64.b64decode('iVBORw0KGgo=')"
    result = session.run_cell(f"{make}\npicture = Image(data, format='png', alt='a dog')\n{last}")
    assert [output["metadata"] for output in result.outputs] == [{"image/png": {"alt": "a dog"}}]


def test_a_large_figure_is_kept_as_it_was_drawn(warm: Warm) -> None:
    noise = "plt.figure(figsize=(12, 8)); plt.imshow(np.random.rand(800, 1200, 3)); plt.show()"
    with open_session(warm=warm) as session:
        result = session.run_cell(f"import numpy as np, matplotlib.pyplot as plt\n{noise}")
    (output,) = result.outputs
    size = len(output["data"]["image/png"])
    assert 500_000 < size < Limits().cell_output_bytes and not result.cut
    assert Image.open(io.BytesIO(base64.b64decode(output["data"]["image/png"]))).format == "PNG"


def test_what_has_no_room_is_named_or_marked(session: Session) -> None:
    wide = session.run_cell("display({'text/plain': 'x' * 300_000}, raw=True); print('after')")
    assert text_of(wide) == "[an output of 300000 bytes was left out]\nafter\n"
    long = session.run_cell("print('x' * 100_001, end='')")
    assert long.cut and text_of(long) == "x" * 100_000 + "[output was left out here: the limit is reached]\n"


@pytest.mark.parametrize(
    "source, shown",
    [
        ("import subprocess; print(subprocess.run(['echo', 'child'], capture_output=True, text=True).stdout)", "child"),
        ("!echo shell", "shell"),
        ("import os; os.system('echo descriptor')", "descriptor"),
        ("import multiprocessing as m\nwith m.Pool(2) as pool: print(pool.map(abs, [-1, -2]))", "[1, 2]"),
        ("import multiprocessing as m\np = m.Process(target=print, args=('forked',)); p.start(); p.join()", "forked"),
        ("import tempfile; f = tempfile.TemporaryFile(); f.write(b'x'); print('file')", "file"),
        ("import asyncio\nawait asyncio.sleep(0)\nprint('async')", "async"),
        ("import threading\nt = threading.Thread(target=print, args=('thread',)); t.start(); t.join()", "thread"),
        ("import torch\nx = torch.ones(1, requires_grad=True)\n(x * x).backward()\nprint(x.grad)", "tensor([2.])"),
        ("from pset4.networks.network import load_model\nprint(load_model('random', verbose=False).n_stages)", "4"),
        ("import ipywidgets; display(ipywidgets.IntSlider()); print('widget')", "widget"),
        ("import getpass, pathlib; print(getpass.getuser(), pathlib.Path.home())", "student /home/student"),
        ("import os\nif os.fork() == 0:\n    os._exit(0)\nos.wait(); print('parent')", "parent"),
    ],
)  # fmt: skip
def test_ordinary_code_runs(session: Session, source: str, shown: str) -> None:
    result = session.run_cell(source)
    assert result.status == "ok" and shown in text_of(result), text_of(result)
    assert run(session, "print('still', 'here')") == "still here\n"


def test_input_is_refused_at_once(session: Session) -> None:
    result = session.run_cell("input()")
    assert result.status == "error" and "nobody" in text_of(result)


def test_print_from_a_late_thread_does_no_harm(session: Session) -> None:
    session.run_cell(
        "import threading, time\n"
        "def late():\n    for _ in range(30): print('x'); time.sleep(.01)\n"
        "threading.Thread(target=late).start()"
    )
    time.sleep(0.1)
    assert "1" in run(session, "print(1)") and session.alive
    time.sleep(0.3)
    assert run(session, "print(2)") == "2\n"


def test_a_child_that_walks_on_does_not_answer(session: Session) -> None:
    session.run_cell("import os; child = os.fork()")
    assert run(session, "print(child > 0)") == "True\n"


def test_the_submission_gets_a_copy_of_its_own_files(warm: Warm, tmp_path: Path) -> None:
    folder = tmp_path / "submission"
    (folder / "images" / "deep").mkdir(parents=True)
    (folder / "images" / "deep" / "mine.txt").write_text("mine")
    with open_session(limits=QUICK, scratch_files=folder, warm=warm) as session:
        assert run(session, "print(open('images/deep/mine.txt').read())") == "mine\n"
        run(session, "open('images/deep/mine.txt', 'w').write('changed'); open('images/new', 'w').write('new')")
    assert (folder / "images" / "deep" / "mine.txt").read_text() == "mine" and not (folder / "images" / "new").exists()


# Crashes


CRASHES = {
    "exit": ("import os; os._exit(3)", "exit code 3"),
    "segmentation fault": ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
    "kill": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
    "abort": ("import os; os.abort()", "SIGABRT"),
    "stack": ("import sys; sys.setrecursionlimit(10**9)\ndef f(): return f()\nf(); import os; os._exit(1)", ""),
    "everything": ("import os\ntry: os.kill(-1, 9)\nexcept OSError: pass\nos.killpg(0, 9)", "SIGKILL"),
}


@pytest.mark.parametrize("name", CRASHES)
def test_a_crash_costs_one_cell(session: Session, name: str) -> None:
    source, detail = CRASHES[name]
    result = session.run_cell("print('before', flush=True)\n" + source)
    assert result.status == "died" and detail in result.detail and "before" in text_of(result)
    assert result.outputs[-1]["output_type"] == "error" and not session.alive
    assert session.run_cell("1").status == "died"
    session.restart()
    assert run(session, "print('again')") == "again\n"


def test_system_exit_is_an_error_of_its_cell(session: Session) -> None:
    assert session.run_cell("import sys; sys.exit()").status == "error"
    assert run(session, "exit\nquit\nprint('on')") == "on\n"


# Time


def test_a_slow_cell_is_interrupted_and_its_kernel_lives(warm: Warm) -> None:
    # Long enough for the interruption to arrive where other processes want the same cores.
    with open_session(limits=Limits(cell_seconds=10.0), warm=warm) as session:
        run(session, "x = 5")
        started = time.monotonic()
        result = session.run_cell("print('begun')\nwhile True: pass")
        assert time.monotonic() - started <= 11
        assert result.status == "timeout" and "begun" in text_of(result) and session.alive
        assert run(session, "x") == "5"


@pytest.mark.parametrize(
    "source",
    [
        "def spin():\n    while True: pass\nwhile True:\n    try: spin()\n    except BaseException: pass",
        "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass",
        "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nwhile True: pass",
        "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)",
        "sum(range(10 ** 13))",
    ],
)
def test_a_cell_that_cannot_be_interrupted_is_killed(warm: Warm, source: str) -> None:
    with open_session(limits=Limits(cell_seconds=1.0), warm=warm) as session:
        started = time.monotonic()
        result = session.run_cell(source)
        assert time.monotonic() - started <= 2.2
        assert result.status == "timeout" and not session.alive


def test_the_deadline_counts_over_cells_and_restarts(warm: Warm) -> None:
    with open_session(limits=Limits(cell_seconds=10, submission_seconds=2.0), warm=warm) as session:
        started = time.monotonic()
        session.run_cell("import time; time.sleep(0.8)")
        session.restart()
        result = session.run_cell("time = __import__('time'); time.sleep(30)")
        assert time.monotonic() - started <= 2.2
        assert result.status == "deadline" and session.run_cell("1").status == "deadline"


def test_the_deadline_ends_a_submission_that_nobody_asks(warm: Warm) -> None:
    with open_session(limits=Limits(submission_seconds=0.5), warm=warm) as session:
        session.run_cell("import subprocess; subprocess.Popen(['sleep', '4321.1'])")
        time.sleep(0.5)
        assert wait_until_gone("4321.1", 1.0) == []


# Memory, processes, files, output


@pytest.fixture(params=["control groups, where there are some", "no control groups"])
def grouped(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Most instructors' accounts may not make control groups."""
    if request.param == "no control groups":
        monkeypatch.setattr(ControlGroup, "create", lambda _limits: None)
    return str(request.param)


def test_memory_is_bounded(grouped: str, session: Session) -> None:
    result = session.run_cell("kept = []\nwhile True:\n    kept.append(bytearray(4_000_000))\n    print(len(kept))")
    assert result.status in ("error", "died")
    reached = 4 * max(int(word) for word in result.outputs[0]["text"].split())
    assert 0.5 * 400 <= reached <= 1.1 * 400, grouped


MEMORY_HOGS = {
    "children": """
        import os, time
        for _ in range(12):
            if os.fork() == 0:
                kept = b'x' * 100_000_000
                os.write(1, b'+')
                time.sleep(60)
                os._exit(0)
        time.sleep(2)
        """,
    "files in memory": """
        import os, time
        kept = []
        for n, folder in enumerate(['/tmp', '/dev/shm', '/home/student'] * 10):
            with open(f'{folder}/{n}', 'wb') as file:
                for _ in range(10):
                    file.write(bytes(10_000_000)); file.flush(); os.write(1, b'+')
        """,
    "shared memory": "import mmap\nkept = [mmap.mmap(-1, 100_000_000) for _ in range(12)]",
    "anonymous files": "import os\nos.memfd_create('x')",
    "tensors": "import torch\nkept = [torch.ones(25_000_000) for _ in range(12)]",
    "mapped zeros": """
        import mmap, os
        zeros, kept = os.open('/dev/zero', os.O_RDWR), []
        for _ in range(12):
            kept.append(mmap.mmap(zeros, 100_000_000)); kept[-1].write(bytes(100_000_000))
        """,
    "page tables": """
        import mmap
        reserved = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000
        kept = mmap.mmap(-1, 2**42, flags=reserved, prot=mmap.PROT_READ)
        for place in range(0, 2**42, 2**21): kept[place]
        """,
}


@pytest.mark.parametrize("name", MEMORY_HOGS)
def test_no_way_round_the_memory_limit(grouped: str, session: Session, name: str) -> None:
    result = session.run_cell(textwrap.dedent(MEMORY_HOGS[name]))
    if name == "children":
        # Four children of 100 MB are the limit; those beyond were killed, or their parent with them.
        assert not session.alive or children_alive(session) * 100 <= 1.1 * 400
    elif name == "files in memory":
        assert result.status in ("error", "died") and text_of(result).count("+") * 10 <= 1.1 * 40 + 10
    else:
        assert result.status in ("error", "died")
    session.restart()
    assert run(session, "print(1)") == "1\n"


SHARED_MEMORY = "import mmap, os, time\nkept = []\ndef share(size):\n    kept.append(mmap.mmap(-1, size))\n" + (
    "    for place in range(0, size, 4096): kept[-1][place] = 1\n"
)
# Everything that keeps memory in the kernel: what is on its way in a message has no descriptor any more.
SOCKETS = """
import array, os, socket, time
def fill():
    kept = []
    try:
        while True:
            pair = socket.socketpair()
            kept += pair
            for end in pair:
                end.setblocking(False)
                try:
                    while True: end.send(bytes(65536))
                except BlockingIOError: pass
    except OSError: pass
    return kept
"""
UNCOUNTED = {
    "shared memory": SHARED_MEMORY + "for _ in range(12): share(100_000_000)",
    "shared memory of many": SHARED_MEMORY
    + "for _ in range(12):\n    if os.fork() == 0:\n        share(100_000_000); time.sleep(60)\ntime.sleep(10)",
    "sockets": SOCKETS
    + "for _ in range(10):\n    if os.fork() == 0:\n        kept = fill(); time.sleep(60)\ntime.sleep(10)",
}


@pytest.fixture
def ungrouped(warm: Warm, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """A submission whose memory is only watched, and which may share memory without a file, as on a GPU."""
    monkeypatch.setattr(ControlGroup, "create", lambda _limits: None)
    with open_session(limits=QUICK, device="cuda", warm=warm) as session:
        yield session


@pytest.mark.parametrize("name", UNCOUNTED)
def test_memory_that_is_nobody_s_own_is_counted(ungrouped: Session, name: str) -> None:
    result = ungrouped.run_cell(UNCOUNTED[name])
    assert (result.status, result.detail) == ("died", "it used more than 400 MB of memory")
    assert ungrouped.end is not None and not ungrouped.end.ours


@pytest.mark.parametrize(
    "source",
    [
        SHARED_MEMORY + "share(200_000_000)",
        "import os, time\nkept = [bytearray(b'x') * 200_000_000]",
        "import os, time\nkept = []",
    ],
    ids=["shared", "copied when written", "of the warm process"],
)
def test_memory_that_several_processes_share_is_counted_once(ungrouped: Session, source: str) -> None:
    children = """
for _ in range(10):
    if os.fork() == 0:
        sum(block[place] for block in kept for place in range(0, len(block), 4096))
        time.sleep(1)
        os._exit(0)
for _ in range(10): os.wait()
"""
    run(ungrouped, source + children)


def test_memory_that_grows_is_seen_while_exact_looks_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {1: 0, 2: 0}
    monkeypatch.setattr(memory, "status_bytes", lambda pid: {"RssAnon": 600 * MB + own[pid]})
    monkeypatch.setattr(memory, "rollup_bytes", lambda pid: {"Pss_Anon": 300 * MB + own[pid]})
    monkeypatch.setattr(memory, "_socket_buffers", lambda: 0)
    footprint = Footprint(1)
    assert not footprint.exceeds(400 * MB, [1, 2], files=0, sockets=0)
    footprint._rest_until = time.monotonic() + 3600
    own[2] = 300 * MB
    assert not footprint.exceeds(400 * MB, [1, 2], files=0, sockets=0)
    own[2] = 500 * MB
    assert footprint.exceeds(400 * MB, [1, 2], files=0, sockets=0)


def test_sockets_are_counted_wherever_they_are(ungrouped: Session) -> None:
    send = """
import array, socket
a, b = socket.socketpair()
for _ in range(50):
    one, other = socket.socketpair()
    a.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [one.fileno(), other.fileno()]))])
    one.close(); other.close()
"""
    before = sockets_of(ungrouped.leader)
    run(ungrouped, send)
    assert sockets_of(ungrouped.leader) == before + 102


def test_buffers_of_sockets_keep_their_size(session: Session) -> None:
    enlarge = "a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_000_000)"
    result = session.run_cell(f"import socket\na, b = socket.socketpair()\n{enlarge}")
    assert result.status == "error" and "PermissionError" in str(result.outputs)


def test_zeros_can_be_read(session: Session) -> None:
    assert run(session, "print(open('/dev/zero', 'rb').read(3))") == "b'\\x00\\x00\\x00'\n"


@pytest.mark.parametrize(
    ("folder", "own", "set_here"),
    [
        ("memory/a", {"memory": "/a"}, {"memory.limit_in_bytes": 400 * MB, "memory.memsw.limit_in_bytes": 400 * MB}),
        ("unified/a", {"": "/a/b"}, {"memory.max": 400 * MB, "memory.swap.max": 0, "pids.max": 40}),
    ],
    ids=["version 1", "version 2"],
)
def test_control_groups_of_both_versions_take_the_limits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: str, own: dict[str, str], set_here: dict[str, int]
) -> None:
    (tmp_path / folder / "b").mkdir(parents=True)
    (tmp_path / "unified").mkdir(exist_ok=True)
    (tmp_path / "unified" / "cgroup.controllers").write_text("memory pids")
    (tmp_path / folder / "cgroup.subtree_control").write_text("memory pids")
    monkeypatch.setattr(control_groups, "GROUPS", tmp_path)
    monkeypatch.setattr(control_groups, "_own_group", own.get)
    group = ControlGroup.create(QUICK)
    assert group is not None
    (entrance,) = map(Path, group.entrances())
    assert entrance.parent.parent == tmp_path / folder
    assert set_here.items() <= {file.name: int(file.read_text()) for file in entrance.parent.iterdir()}.items()
    for name in ("memory.oom_control", "memory.events"):
        assert not group.ran_out_of_memory()
        (entrance.parent / name).write_text("low 0\noom_kill 1\n")
        assert group.ran_out_of_memory()
        (entrance.parent / name).write_text("oom_kill 0\nunder_oom 0")


def test_a_control_group_that_takes_no_limit_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is then watched, as where there are no control groups."""
    made: list[Path] = []
    make = control_groups._make

    def noted(parent: Path) -> Path | None:
        path = make(parent)
        made.extend([path] if path else [])
        return path

    monkeypatch.setattr(control_groups, "_make", noted)
    monkeypatch.setattr(control_groups, "_write", lambda _path, _value: False)
    assert ControlGroup.create(QUICK) is None
    assert not any(path.exists() for path in made)


def test_a_limit_that_cannot_be_watched_ends_the_submission(
    ungrouped: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(Footprint, "exceeds", fail)
    ungrouped.run_cell("import time\ntime.sleep(10)")
    assert ungrouped.end is not None and ungrouped.end.ours and "Too many open files" in ungrouped.end.detail


# Whose fault it is


KILLS = "import os, signal\nos.kill(os.getpid(), signal.{})"


@pytest.mark.parametrize(
    ("source", "short", "ours"),
    [
        (KILLS.format("SIGKILL"), False, False),
        (KILLS.format("SIGTERM"), False, False),
        (KILLS.format("SIGKILL"), True, True),  # as the kernel does
        (KILLS.format("SIGTERM"), True, True),  # as earlyoom does
        (KILLS.format("SIGSEGV"), True, False),
        ("import os\nos._exit(9)", True, False),
    ],
)
def test_a_process_is_the_machine_s_victim_only_if_memory_was_short(
    warm: Warm, monkeypatch: pytest.MonkeyPatch, source: str, short: bool, ours: bool
) -> None:
    monkeypatch.setattr(Machine, "ran_short", short)
    with open_session(limits=QUICK, warm=warm) as session:
        result = session.run_cell(source)
        assert session.end is not None and session.end.ours == ours
        assert result.status == ("machine" if ours else "died")
        assert session.run_cell("1").status == result.status


def test_a_submission_that_fills_its_own_memory_is_nobody_s_victim(
    grouped: str, warm: Warm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Machine, "ran_short", True)
    hog = "import os\nfor _ in range(12):\n    if os.fork() == 0: break\nkept = b'x' * 300_000_000\nos.wait()"
    with open_session(limits=QUICK, warm=warm) as session:
        result = session.run_cell(hog)
        assert result.status != "machine" and not (session.end and session.end.ours), grouped


@pytest.mark.parametrize(
    ("vmstat", "available", "short"),
    [("oom_kill 3\n", 500, False), ("oom_kill 4\n", 500, True), ("oom_kill 3\n", 40, True), ("", 500, False)],
)
def test_the_kernel_says_whether_memory_was_short(
    monkeypatch: pytest.MonkeyPatch, vmstat: str, available: int, short: bool
) -> None:
    said, left = {"/proc/vmstat": "oom_kill 3\n" if vmstat else ""}, {"available": available}
    monkeypatch.setattr(memory, "_lines", lambda path: said[str(path)].splitlines())
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: SimpleNamespace(total=1000, **left))
    machine = Machine()
    said["/proc/vmstat"] = vmstat
    machine.look()
    left["available"] = 900  # it was freed when somebody was killed
    assert machine.ran_short == short


def test_a_watcher_outside_that_is_killed_is_not_the_student_s_fault(session: Session) -> None:
    status = Path(f"/proc/{session.leader}/status").read_text()
    monitor = int(status.partition("PPid:")[2].split()[0])
    os.kill(monitor, signal.SIGKILL)
    result = session.run_cell("import time\ntime.sleep(1)\nimport os\nos._exit(0)")
    assert result.status == "machine" and session.end is not None and session.end.ours


# What cannot be started


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_warm_process_that_is_gone_is_our_fault() -> None:
    gone = Warm()
    gone.wait_until_ready()
    gone.process.kill()
    gone.process.wait()
    with pytest.raises(CannotStart, match="warm process is gone"):
        open_session(limits=QUICK, warm=gone)
    gone.close()


def test_messages_of_the_monitor_that_arrive_together_are_all_read() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        monitor = Monitor(ours, Clock())
        theirs.sendall(msgpack.packb({"pid": 7}) + msgpack.packb({"exit": 0}))
        theirs.shutdown(socket.SHUT_WR)
        assert [monitor.listen(1.0) for _ in range(3)] == [{"pid": 7}, {"exit": 0}, {}] and monitor.is_gone


@pytest.mark.skipif(sys.version_info < (3, 11, 4), reason="Python's own Popen leaves pipes open (gh-87474)")
@pytest.mark.parametrize("sandbox", [True, False])
def test_without_descriptors_nothing_starts_and_nothing_is_left_open(
    warm: Warm, monkeypatch: pytest.MonkeyPatch, sandbox: bool
) -> None:
    monkeypatch.setattr("autograder.engine.grader.sandbox._check_descriptors", lambda: None)  # it raises the limit
    _sandbox_has_worked().set()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before, failures = open_descriptors(), 0
    for room in range(30):
        resource.setrlimit(resource.RLIMIT_NOFILE, (before + room, hard))
        try:
            open_session(limits=QUICK, warm=warm, sandbox=sandbox).close()
        except (CannotStart, OSError):
            failures += 1
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert open_descriptors() <= before
    assert 0 < failures < 30


@pytest.mark.parametrize(
    ("part", "step"), [(ControlGroup, "create"), (Warm, "spawn"), (Footprint, "__init__"), (threading.Thread, "start")]
)
def test_a_start_that_fails_half_way_leaves_nothing_open(
    warm: Warm, monkeypatch: pytest.MonkeyPatch, part: type, step: str
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    before = open_descriptors()
    monkeypatch.setattr(part, step, fail)
    with pytest.raises(CannotStart, match="Cannot allocate memory"):
        open_session(limits=QUICK, warm=warm)
    assert open_descriptors() <= before


def test_a_machine_without_processes_starts_nothing(warm: Warm, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(sandbox.subprocess, "Popen", fail)
    with pytest.raises(CannotStart, match=r"Resource temporarily unavailable.*not the student's"):
        open_session(limits=QUICK, warm=warm)


def test_a_process_that_cannot_enter_its_control_group_has_not_started(
    warm: Warm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ControlGroup, "entrances", lambda _group: ["/dev/full"])
    monkeypatch.setattr(ControlGroup, "create", lambda _limits: ControlGroup({}))
    monkeypatch.setattr(ControlGroup, "ran_out_of_memory", lambda _group: False)
    with pytest.raises(CannotStart):
        open_session(limits=QUICK, warm=warm)


def test_a_sandbox_that_is_refused_later_is_not_a_missing_one(session: Session, refusing: str) -> None:
    with pytest.raises(CannotStart, match=refusing):
        session.restart()
    assert session.end is not None and session.end.ours and refusing in session.end.detail
    assert session.run_cell("1").status == "machine"


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A bubblewrap that refuses; what it says."""
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\necho 'No permissions to create new namespace' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(sandbox, "_bubblewrap", lambda: str(program))
    return "No permissions"


def children_alive(session: Session) -> int:
    return len(run(session, "!ps -eo stat,comm | grep -v ^Z | grep python").splitlines()) - 1


def test_a_fork_bomb_is_bounded_and_leaves_nothing(grouped: str, warm: Warm) -> None:
    mark = "9876.54321"
    bomb = f"import subprocess\nwhile True:\n    subprocess.Popen(['sleep', '{mark}'], start_new_session=True)"
    with open_session(limits=replace(QUICK, cell_seconds=2), warm=warm) as session:
        session.run_cell(bomb)
        assert len(processes_with(mark)) <= QUICK.processes, grouped
        session.run_cell("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass")
        assert len(processes_with(mark)) <= QUICK.processes, grouped
    assert wait_until_gone(mark) == []


def test_detached_processes_end_with_the_session(session: Session) -> None:
    mark = "1357.2468"
    run(session, f"import os\nfor _ in range(5): os.system('(setsid nohup sleep {mark} &) &')")
    run(session, "import time; time.sleep(0.3)")
    assert processes_with(mark)
    session.close()
    assert wait_until_gone(mark) == []


def test_many_small_files_are_bounded(warm: Warm) -> None:
    with open_session(limits=Limits(files=1_000), warm=warm) as session:
        result = session.run_cell("for n in range(10**9): open(f'/tmp/{n}', 'w').close()")
        assert result.status == "died" and "1000 files" in result.detail


@pytest.mark.parametrize(
    "flood",
    [
        "print('x' * 10**9)",
        "while True: print('y' * 1000)",
        "import os\nfor _ in range(10**6): os.write(1, b'z' * 10_000)",
        "import sys\nfor _ in range(10**6): sys.__stdout__.write('z' * 1000)",
        "for n in range(10**7): display(n)",
        "import os\nos.system('yes')",
        "raise ValueError('x' * 10**8)",
        "class E(Exception):\n    def __str__(self): return '\\x1b' * 10**7\nraise E",
        "from IPython.display import display\nfor _ in range(10**5): display({'text/plain': 'x' * 90_000}, raw=True)",
        "import warnings\nfor n in range(10**6): warnings.warn(str(n))",
    ],
)
def test_a_flood_of_output_is_cut(warm: Warm, flood: str) -> None:
    limits = Limits(cell_seconds=0.7, submission_seconds=30, cell_output_bytes=100_000, output_bytes=150_000)
    before = own_memory()
    with open_session(limits=limits, warm=warm) as session:
        results = []
        for _ in range(2):
            if not session.alive:
                session.restart()
            results.append(session.run_cell(flood))
        assert stored_size(results) <= limits.output_bytes
        assert own_memory() - before < 60 * MB


def own_memory() -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


# Privileges


def test_the_process_has_no_privileges(intruder: Session) -> None:
    status = run(intruder, "print(open('/proc/self/status').read())")
    fields = dict(line.split(":\t") for line in status.splitlines() if ":\t" in line)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(fields[name], 16) == 0
    assert fields["NoNewPrivs"] == "1" and fields["Seccomp"] == "2" and fields["Uid"].split()[0] != "0"


CALLS = {
    "become root": "os.setuid(0)",
    "trace": "call('ptrace', 0, 0, 0, 0)",
    "trace the parent": "call('ptrace', 16, os.getppid(), 0, 0)",
    "read another process": "call('process_vm_readv', 1, 0, 0, 0, 0, 0)",
    "new namespaces": "call('unshare', 0x10000000)",
    "enter namespaces": "call('setns', 0, 0)",
    "mount": "call('mount', b'none', b'/tmp', b'tmpfs', 0, None)",
    "new root": "call('chroot', b'/tmp')",
    "host name": "call('sethostname', b'x', 1)",
    "system calls through rings": "number(425, 1, 0)",
    "programs in the kernel": "number(321, 0, 0, 0)",
    "performance counters": "number(298, 0, 0, 0, 0, 0)",
    "page faults": "number(323, 0)",
    "keys": "number(250, 0, 0)",
    "clone with a user namespace": "number(56, 0x10000000 | 17, 0, 0, 0, 0)",
    "clone with everything": "number(56, 0x7E020000 | 17, 0, 0, 0, 0)",
    "clone3": "number(435, 0, 88)",
    "internet": "socket.socket(socket.AF_INET)",
    "internet, version 6": "socket.socket(socket.AF_INET6)",
    "kernel messages": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "raw packets": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "virtual machines": "socket.socket(socket.AF_VSOCK)",
    "shared memory segments": "call('shmget', 0, 4096, 0o1600)",
    "message queues": "call('msgget', 0, 0o1600)",
    "push input to a terminal": "__import__('fcntl').ioctl(0, 0x5412, b'x')",
    "write to Python": "open(os.__file__, 'a')",
    "write to packages": "open(__import__('torch').__file__, 'a')",
    "write to pset4": "open(__import__('pset4').__file__, 'a')",
    "new file beside packages": "open(os.path.dirname(__import__('msgpack').__path__[0]) + '/sitecustomize.py', 'w')",
    "write to the system": "open('/usr/bin/x', 'w')",
    "write to the root": "open('/x', 'w')",
    "write to devices": "open('/dev/x', 'w')",
    "change the kernel's settings": "open('/proc/sys/kernel/core_pattern', 'w')",
    "trigger": "open('/proc/sysrq-trigger', 'w')",
    "raise the limits": "__import__('resource').setrlimit(7, (10**6, 10**6))",
    "passwords": "open('/etc/shadow')",
    "devices": "os.mknod('/tmp/x', 0o60666, os.makedev(254, 0))",
    "kernel memory": "open('/proc/kcore', 'rb').read(1)",
}  # fmt: skip
PREAMBLE = """
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def raising(result):
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
def call(name, *arguments):
    return raising(getattr(libc, name)(*arguments))
def number(n, *arguments):
    result = raising(libc.syscall(n, *(ctypes.c_ulong(a) for a in arguments)))
    if result == 0 and n == 56:
        os._exit(0)
    return result
def attempt(source):
    try:
        eval(source)
    except (OSError, ValueError) as error:
        return type(error).__name__
    return 'it worked'
"""


@pytest.fixture(scope="module", params=["user namespace", "this account's own way"])
def intruder(warm: Warm, request: pytest.FixtureRequest) -> Iterator[Session]:
    """Root steps down to another user, an ordinary account gets a user namespace."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "user namespace":
            patch.setattr(sandbox, "is_ordinary", lambda: True)
        session = open_session(limits=QUICK, warm=warm)
    with session:
        run(session, PREAMBLE)
        yield session


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers of system calls are those of x86-64")
@pytest.mark.parametrize("name", CALLS)
def test_forbidden_call_fails(intruder: Session, name: str) -> None:
    errors = {"PermissionError", "OSError", "FileNotFoundError", "ValueError"}
    assert run(intruder, f"print(attempt({CALLS[name]!r}))").strip() in errors


# Sight


def test_nothing_of_the_course_is_in_sight(session: Session) -> None:
    seen = run(
        session,
        f"""
        import os
        found = []
        for root, folders, files in os.walk('/'):
            folders[:] = [f for f in folders if os.path.join(root, f) not in ('/proc', '/usr', '/sys')]
            if 'site-packages' not in root:
                wanted = ('autograder', 'tests', '.git', 'source', 'gradebook.db')
                found += [os.path.join(root, f) for f in folders + files if f in wanted]
        print([f for f in found if {str(REPOSITORY)!r} in f], os.path.exists({str(REPOSITORY / "autograder")!r}))
        """,
    )  # fmt: skip
    assert seen == "[] False\n"


def test_neighbours_and_home_folders_are_out_of_sight(session: Session, tmp_path: Path) -> None:
    (tmp_path / "gradebook.db").write_text("secret")
    home = Path.home()
    listed = run(
        session, f"import os; print(os.path.exists({str(tmp_path)!r}), os.path.exists({str(home / '.ssh')!r}))"
    )
    assert listed == "False False\n"


def test_no_other_process_is_in_sight(intruder: Session) -> None:
    seen = run(intruder, "import os; print(sorted(int(p) for p in os.listdir('/proc') if p.isdigit()), os.getppid())")
    assert seen == "[1, 2] 0\n"


def test_the_grader_s_secrets_are_neither_in_the_environment_nor_in_memory(session: Session) -> None:
    source = """
        import re, os
        wanted = 'canary' + '-'
        needle = (wanted + '5f1c9e27').encode()
        hits = [v for v in os.environ.values() if wanted in v]
        for process in ('self', '1'):
            try:
                hits += [wanted] * (needle in open(f'/proc/{process}/environ', 'rb').read())
            except PermissionError:
                pass
        del needle
        with open('/proc/self/mem', 'rb', 0) as memory:
            for line in open('/proc/self/maps').read().splitlines():
                span, rights, *_ = line.split()
                first, last = (int(end, 16) for end in span.split('-'))
                if rights.startswith('rw') and last - first < 500_000_000:
                    try:
                        memory.seek(first)
                        block = memory.read(last - first)
                    except OSError:
                        continue
                    hits += [m for m in re.findall(b'canary' + b'-[0-9a-f]{7}2' + b'7', block)]
                    del block
        print(len(hits))
        """
    # The cell's own text is in memory, too; it holds the secret only in pieces.
    assert run(session, source) == "0\n"


def test_no_exam_is_in_memory(session: Session) -> None:
    source = """
        import gc, sys
        hidden = ('autograder.exams', 'autograder.answers', 'autograder.course', 'autograder.engine.grader')
        modules = [name for name in sys.modules if name.startswith(hidden)]
        kinds = [o for o in gc.get_objects() if type(o).__name__ in ('Exam', 'Property', 'Answer', 'Examination')]
        print(modules, kinds)
        try:
            import autograder.exams
        except ImportError:
            print('no import')
        """  # fmt: skip
    assert run(session, source) == "[] []\nno import\n"


def test_what_is_slow_to_load_is_there_before_any_cell(session: Session) -> None:
    loaded = f"[name for name, load in network.LOADERS.items() if load.__module__ == {warm_process.__name__!r}]"
    assert run(session, f"from pset4.networks import network\nprint({loaded})") == f"{list(LOADERS)}\n"
    assert run(session, f"import sys\nprint({set(warm_process.SLOW)} - sys.modules.keys())") == "set()\n"


def test_sockets_of_the_grader_cannot_be_reached(session: Session, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as named, socket.socket(socket.AF_UNIX) as abstract:
        path = f"/tmp/pset4-{os.getpid()}.socket"
        named.bind(path)
        named.listen()
        abstract.bind(f"\0pset4-{os.getpid()}")
        abstract.listen()
        try:
            source = f"""
                import socket
                for address in ({path!r}, '\\0pset4-{os.getpid()}'):
                    try:
                        socket.socket(socket.AF_UNIX).connect(address); print('connected')
                    except OSError as error:
                        print(type(error).__name__)
                """
            assert set(run(session, source).split()) <= {"FileNotFoundError", "ConnectionRefusedError"}
        finally:
            Path(path).unlink()


def test_links_in_a_submission_lead_nowhere(warm: Warm, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text(CANARY)
    folder = tmp_path / "submission"
    folder.mkdir()
    (folder / "file").symlink_to(secret)
    (folder / "folder").symlink_to(tmp_path, target_is_directory=True)
    (folder / "shadow").symlink_to("/etc/shadow")
    os.mkfifo(folder / "pipe")
    (folder / "honest.txt").write_text("honest")
    with open_session(limits=QUICK, scratch_files=folder, warm=warm) as session:
        assert run(session, "import os; print(sorted(os.listdir()))") == "['honest.txt']\n"
        assert run(session, f"print(os.path.exists({str(secret)!r}))") == "False\n"


# Attacks on the grader


def test_signals_reach_nobody_outside(session: Session) -> None:
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: received.append(number))
    try:
        source = f"""
            import os, signal
            for pid in (-1, 0, os.getppid(), {os.getpid()}, -{os.getpgid(0)}):
                try:
                    signal.signal(signal.SIGTERM, signal.SIG_IGN)
                    os.kill(pid, signal.SIGTERM)
                except OSError: pass
            """
        run(session, source)
        time.sleep(0.1)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert received == [] and session.alive


HOSTILE_ANSWERS = {
    "noise": "os.urandom(4096)",
    "a huge message": "struct.pack('<4sIQ', b'PS4\\x01', 10, 2**62)",
    "a huge header": "struct.pack('<4sIQ', b'PS4\\x01', 2**32 - 1, 0)",
    "an answer to another question": "frame({'number': ['i', '999'], 'kind': 'done'})",
    "not a mapping": "struct.pack('<4sIQ', b'PS4\\x01', 1, 0) + b'\\x01'",
    "a verdict": "frame({'number': ['i', '1'], 'kind': 'verdict', 'points': 100.0})",
    "a specification": "frame({'number': ['i', '1'], 'kind': 'done', 'value': ['S', 'network', ['x', 0, None]]})",
}


@pytest.mark.parametrize("name", HOSTILE_ANSWERS)
def test_hostile_bytes_cost_only_their_author(session: Session, warm: Warm, name: str) -> None:
    source = f"""
import os, struct, msgpack
def frame(message):
    body = msgpack.packb(message)
    return struct.pack('<4sIQ', b'PS4\\x01', len(body), 0) + body
for _ in range(3):
    os.write(3, {HOSTILE_ANSWERS[name]})
import time; time.sleep(5)
"""
    started = time.monotonic()
    result = session.run_cell(source)
    assert result.status == "died" and time.monotonic() - started < 4
    with open_session(limits=QUICK, warm=warm) as other:
        assert run(other, "print('unharmed')") == "unharmed\n"


def test_an_endless_stream_of_small_outputs_is_stopped(session: Session) -> None:
    source = """
import os, struct, msgpack
body = msgpack.packb({'number': ['i', '1'], 'kind': 'output', 'output': None})
block = (struct.pack('<4sIQ', b'PS4\\x01', len(body), 0) + body) * 1000
while True: os.write(3, block)
"""
    assert session.run_cell(source).status == "output_limit"


def test_closing_the_connection_is_a_crash(session: Session) -> None:
    assert session.run_cell("import os; os.close(3); import time; time.sleep(20)").status == "died"


def test_what_one_submission_breaks_is_whole_for_the_next(warm: Warm) -> None:
    with open_session(limits=QUICK, warm=warm) as session:
        run(
            session,
            """
            import builtins, sys, torch, pset4.steps, os
            torch.ones = lambda *a: 'poisoned'
            pset4.steps.L2Step.step = lambda *a: 'poisoned'
            builtins.print = lambda *a: None
            open('/tmp/left', 'w').write('x'); open('/home/student/sitecustomize.py', 'w').write('x')
            os.environ['LEFT'] = '1'; torch.set_default_dtype(torch.float64); torch.manual_seed(5)
            """,
        )
    with open_session(limits=QUICK, warm=warm) as session:
        source = """
            import os, torch
            print(torch.ones(1), os.path.exists('/tmp/left'), os.listdir(), os.environ.get('LEFT'))
            """
        assert run(session, source) == "tensor([1.]) False [] None\n"


def test_every_submission_starts_alike(warm: Warm) -> None:
    drawn = set()
    for _ in range(2):
        with open_session(limits=QUICK, warm=warm) as session:
            drawn.add(run(session, "import random, torch; print(random.random(), torch.rand(1))"))
    assert len(drawn) == 1


def test_nothing_is_left_when_the_grader_is_killed(tmp_path: Path) -> None:
    mark = "2468.1357"
    program = f"""
        import time
        from autograder.engine.grader.session import open_session
        session = open_session()
        session.run_cell("import os; os.system('(setsid sleep {mark} &) &'); import time; time.sleep(0.2)")
        print('ready', flush=True)
        session.run_cell("import time; time.sleep(600)")
        """
    grader = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, cwd=REPOSITORY)
    assert grader.stdout is not None
    with grader.stdout as output:
        assert output.readline() == b"ready\n" and processes_with(mark)
        grader.kill()
        grader.wait()
    assert wait_until_gone(mark) == []


def test_the_session_leaves_no_descriptors(warm: Warm) -> None:
    def once() -> int:
        with open_session(limits=QUICK, warm=warm) as session:
            session.run_cell("1")
        return len(list(Path("/proc/self/fd").iterdir()))

    once()
    before = once()
    # Fewer is no leak: the collector may close what an earlier test left.
    assert once() <= before


# Where there is no sandbox


def test_a_machine_without_bubblewrap_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox.shutil, "which", lambda _name: None)
    sandbox._bubblewrap.cache_clear()
    try:
        with pytest.raises(SandboxUnavailable, match=r"not installed(.|\n)*apt install bubblewrap"):
            open_session()
    finally:
        sandbox._bubblewrap.cache_clear()


def test_a_machine_that_forbids_namespaces_says_so(refusing: str) -> None:
    _sandbox_has_worked.cache_clear()
    with pytest.raises(SandboxUnavailable, match=rf"{refusing}(.|\n)*Docker"):
        open_session()


def test_another_operating_system_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox.sys, "platform", "darwin")
    with pytest.raises(SandboxUnavailable, match="Linux virtual machine"):
        check_available()


def test_without_a_sandbox_the_design_is_the_same(warm: Warm, tmp_path: Path) -> None:
    mark = "8642.97531"
    (tmp_path / "file.txt").write_text("mine")
    with open_session(limits=QUICK, scratch_files=tmp_path, sandbox=False, warm=warm) as session:
        assert (
            run(session, "import os; print(os.environ.get('GRADER_PASSWORD'), open('file.txt').read())")
            == "None mine\n"
        )
        run(session, f"for _ in range(3): os.system('(setsid nohup sleep {mark} &) &')")
        result = session.run_cell("os._exit(1)")
        assert result.status == "died"
        session.restart()
        assert run(session, "print(1)") == "1\n"
    assert wait_until_gone(mark) == []


def test_limits_must_be_positive() -> None:
    fields: dict[str, Any] = {"memory_bytes": 0}
    with pytest.raises(ValueError, match="memory_bytes"):
        Limits(**fields)
