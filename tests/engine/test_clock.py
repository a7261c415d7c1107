"""The grader's clock counts the time in which the grader was running: a stopped grader makes nobody late."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autograder.engine.wire.channel import Channel, NotInTime
from autograder.engine.wire.clock import LONGEST, SLICE, Clock, poll
from autograder.engine.wire.protocol import encode

gaps = st.lists(st.floats(0.0, 1e5), max_size=30)


class Hands:
    """A source of time that is set by hand."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_time_in_which_somebody_looks_counts_in_full(hands: Hands) -> None:
    clock = Clock(hands)
    for _ in range(1000):
        hands.time += SLICE
        clock.now()
    assert clock.now() == pytest.approx(hands.time)


def test_of_a_pause_only_a_little_counts(hands: Hands) -> None:
    clock = Clock(hands)
    hands.time += 3600.0
    assert clock.now() == 100.0 + LONGEST


@given(gaps=gaps)
def test_the_clock_never_stands_still_never_goes_back_and_never_runs_ahead(gaps: list[float]) -> None:
    hands = Hands()
    clock, before = Clock(hands), 100.0
    for gap in gaps:
        hands.time += gap
        now = clock.now()
        assert before + min(gap, LONGEST) == pytest.approx(now) and now <= hands.time + 1e-9
        before = now


def test_a_pause_is_taken_off_once_whichever_thread_sees_it(hands: Hands) -> None:
    clock = Clock(hands)
    hands.time += 3600.0
    seen: list[float] = []
    threads = [threading.Thread(target=lambda: seen.append(clock.now())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(seen) == {100.0 + LONGEST}


def test_a_wait_looks_though_it_is_late(hands: Hands, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    clock = Clock(hands)
    assert clock.wait([ours.fileno()], 50.0) == []
    theirs.send(b"x")
    assert clock.wait([ours.fileno()], 50.0) == [ours.fileno()]


def test_a_closed_connection_ends_a_wait(hands: Hands, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.close()
    assert Clock(hands).wait([ours.fileno()], None) == [ours.fileno()]


def test_descriptors_of_any_number_can_be_waited_for(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    try:
        high = fcntl.fcntl(ours.fileno(), fcntl.F_DUPFD, 2000)
        theirs.send(b"x")
        assert poll([high], 5.0) == [high]
        os.close(high)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# Answers and deadlines


FRAME = encode({"number": 1, "kind": "done"})


def receiver(ours: socket.socket, hands: Hands) -> Channel:
    return Channel(ours, max_payload=1000, clock=Clock(hands))


def test_an_answer_that_has_arrived_is_not_late(hands: Hands, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    channel = receiver(ours, hands)
    theirs.send(FRAME)
    assert channel.receive(deadline=50.0)["kind"] == "done"


def test_nobody_goes_on_sending_after_the_deadline(hands: Hands, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    channel = receiver(ours, hands)
    theirs.send(FRAME[:5])
    with pytest.raises(NotInTime):
        channel.receive(deadline=50.0)
    theirs.send(FRAME[5:])
    with pytest.raises(NotInTime):
        channel.receive(deadline=50.0)
    # Another deadline, such as that of an interrupted call, has its own last look.
    assert channel.receive(deadline=60.0)["kind"] == "done"


def test_a_flood_of_messages_ends_at_the_deadline(hands: Hands, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    channel = receiver(ours, hands)
    received = 0
    with pytest.raises(NotInTime):
        while received < 10_000:
            theirs.send(FRAME)
            channel.receive(deadline=50.0)
            received += 1
    assert received == 1


# A grader that is stopped


GRADER = """
import os, sys
import torch
from autograder.engine.wire.limits import Limits
from autograder.engine.grader.launcher import shared_warm
from autograder.engine.grader.session import open_session
from pset4.checks.calling.outcome import CallOptions

shared_warm().wait_until_ready()
with open_session(limits=Limits(cell_seconds=2, submission_seconds=7), sandbox=False) as session:
    stop = f"import os, signal, time\\nos.kill({os.getpid()}, signal.SIGSTOP)\\ntime.sleep(0.5)"
    print(session.run_cell(stop).status, flush=True)
    session.run_cell("def answer(x):\\n" + "\\n".join("    " + line for line in [*stop.splitlines(), "return x"]))
    print(session.student().call("answer", [torch.ones(1)], CallOptions(seconds=2.0)).error or "in time", flush=True)
"""


def test_a_grader_that_is_stopped_makes_no_honest_code_late() -> None:
    """The student's own cell and function stop it, for longer than the cell, the call and the notebook may take."""
    command = [sys.executable, "-c", textwrap.dedent(GRADER)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as grader:
        assert grader.stdout is not None
        for expected in ("ok", "in time"):
            seen = os.waitid(os.P_PID, grader.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            assert seen is not None and seen.si_code == os.CLD_STOPPED
            subprocess.run(["sleep", "4"], check=True)
            os.kill(grader.pid, signal.SIGCONT)
            assert grader.stdout.readline().strip() == expected
    assert grader.returncode == 0
