"""A submission in another process behaves, for an exam, like one in this process; and it can do nothing more."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import pset4.checks.calling.small_networks  # noqa: F401  (registers the networks that specifications name)
from autograder.answers import answers_for, reference
from autograder.engine.grader.launcher import Warm, shared_warm
from autograder.engine.grader.session import Session, open_session
from autograder.engine.wire.limits import Limits
from autograder.exams import EXAMS, examine
from pset4.checks.calling.local import LocalStudent
from pset4.checks.calling.outcome import CallOptions, Opaque, Outcome
from pset4.checks.calling.specs import FeaturesSpec, NetworkSpec, StepSpec

LIMITS = Limits(cell_seconds=20, submission_seconds=120, answer_bytes=4_000_000)
FUNCTIONS = """
import os, sys, time, warnings
import numpy as np
import torch
from torch import Tensor
import torch.nn.functional as F

def double(x): return 2 * x
def change(x): x += 1; return x
def alias(x): return x[1:]
def with_grad(x): return x.clone().requires_grad_()
def parameter(x): return torch.nn.Parameter(x)
def chat(x): print('x' * 1000); warnings.warn('loud'); os.write(1, b'raw'); return x
def fail(x): raise ValueError(f'size must be 1, not {len(x)}\\nsecond line')
def leave(x): sys.exit(3)
def number(x): return float(x.sum()), int(x.numel()), True, None, 'text'
def pairs(x): return [[(0, 0.5), (1, 0.25)]]
def scalar(x): return np.float64(1.5)
def array(x): return np.ones(3)
def table(x): return {'a': 1}
def library(x): return F.conv1d(x[None, None], torch.ones(1, 1, 1))[0, 0]
def strides(x): return [list(x.stride()), x.storage_offset(), str(x.dtype), x.is_contiguous()]
def slow(x): time.sleep(60)
def random(x): return torch.rand(3)
def deep(x):
    inner = []
    for _ in range(50): inner = [inner]
    return inner
def circular(x):
    loop = []; loop.append(loop); return loop
def infinite(x): return torch.tensor([float('nan'), float('inf'), -0.0])
def sparse(x): return torch.eye(3).to_sparse()
def large(x): return 10 ** 300
def odd(x): return x.to(torch.bfloat16)
constant = torch.arange(3)
"""
X = torch.tensor([3.0, -1.0, 2.0])


@pytest.fixture(scope="module")
def warm() -> Warm:
    return shared_warm()


@pytest.fixture(scope="module")
def calm(warm: Warm) -> Iterator[Session]:
    """A session for well-behaved functions, shared by many tests."""
    with open_session(limits=LIMITS, warm=warm) as session:
        assert session.run_cell(FUNCTIONS).status == "ok"
        yield session


@pytest.fixture
def session(warm: Warm) -> Iterator[Session]:
    with open_session(limits=LIMITS, warm=warm) as session:
        assert session.run_cell("import torch, os\nfrom torch import Tensor").status == "ok"
        yield session


def here(source: str) -> LocalStudent:
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    return LocalStudent(namespace)


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same for every exam, NaNs included."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.dtype == other.dtype and one.shape == other.shape and torch.equal(one.isnan(), other.isnan()) and (
            torch.equal(one.nan_to_num(), other.nan_to_num())
        )  # fmt: skip
    if type(one) in (list, tuple) and type(one) is type(other) and len(one) == len(other):
        return all(same(a, b) for a, b in zip(one, other, strict=True))
    return type(one) is type(other) and bool(one == other)


@pytest.mark.parametrize(
    "function",
    [
        *("double", "change", "alias", "with_grad", "parameter", "chat", "leave", "number", "pairs", "scalar", "array"),
        *("table", "library", "random", "infinite", "large", "odd", "missing", "constant", "deep"),
    ],
)
@pytest.mark.parametrize("x", [X, X.double(), torch.tensor(1.0).expand(4), torch.arange(10.0)[1::2]], ids=str)
def test_a_call_has_the_same_outcome_in_both_processes(calm: Session, function: str, x: Tensor) -> None:
    options = CallOptions(from_scratch=True)
    remote, local = calm.student().call(function, [x], options), here(FUNCTIONS).call(function, [x], options)
    for name, value in vars(local).items():
        assert same(getattr(remote, name), value), name


def test_an_error_is_named_and_its_message_is_one_line(calm: Session) -> None:
    outcome = calm.student().call("fail", [X])
    assert (outcome.error, outcome.message) == ("ValueError", "size must be 1, not 3 second line")


@pytest.mark.parametrize("x", [torch.tensor(1.0).expand(4), torch.arange(10.0)[1::2], X.double()], ids=str)
def test_the_student_sees_the_layout_of_the_input(calm: Session, x: Tensor) -> None:
    expected = [list(x.stride()), min(x.storage_offset(), 1), str(x.dtype), x.is_contiguous()]
    assert calm.student().call("strides", [x]).value == expected


def test_inputs_of_the_trusted_side_are_never_changed(calm: Session) -> None:
    x = X.clone()
    outcome = calm.student().call("change", [x])
    assert torch.equal(x, X) and torch.equal(outcome.arguments_after[0], X + 1)


def test_a_variable_is_read_as_data(calm: Session) -> None:
    student = calm.student()
    assert torch.equal(student.value("constant").value, torch.arange(3))
    assert student.value("nothing").error == "MissingName"
    assert isinstance(student.value("double").value, Opaque)


def test_a_slow_call_is_stopped_and_the_state_stays(calm: Session) -> None:
    started = time.monotonic()
    outcome = calm.student().call("slow", [X], CallOptions(seconds=1.0))
    assert outcome.error == "Timeout" and time.monotonic() - started <= 1.1
    assert torch.equal(calm.student().call("double", [X]).value, 2 * X)


# Specifications


ATTACK = """
def climb(model_fn, x, class_id, step, n_iter=3):
    for _ in range(n_iter):
        x = x.requires_grad_()
        (gradient,) = torch.autograd.grad(model_fn(x)[:, class_id].sum(), x)
        x = step.step(x, gradient)
    return x
def look(network, image): return network(image)
def kind(step): return [step.step_size, step.eps, list(step.original.shape), type(step).__name__]
"""


def network() -> NetworkSpec:
    return NetworkSpec("exam_classifier", seed=7)


def test_an_attack_runs_on_specifications_as_in_this_process(session: Session) -> None:
    session.run_cell(ATTACK)
    image = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    arguments = [network(), image, 1, StepSpec(image, 0.25, 2.0)]
    remote = session.student().call("climb", arguments)
    local = here("import torch\n" + ATTACK).call("climb", arguments)
    assert remote.steps == local.steps == 3 and torch.allclose(remote.value, local.value, atol=1e-5)
    assert torch.allclose(remote.first_direction, local.first_direction, atol=1e-5)


def test_features_and_steps_are_built_on_the_student_s_side(session: Session) -> None:
    session.run_cell(ATTACK)
    image = torch.rand(1, 3, 8, 8)
    assert session.student().call("look", [FeaturesSpec(network(), 0), image]).value.dim() == 4
    described = session.student().call("kind", [StepSpec(image, 0.25, 2.0)]).value
    assert described == [0.25, 2.0, [1, 3, 8, 8], "RecordingStep"]


def test_an_unknown_network_is_an_error_of_the_call(session: Session) -> None:
    session.run_cell(ATTACK)
    outcome = session.student().call("look", [NetworkSpec("no such network"), X])
    assert outcome.error and outcome.value is None


# Results that misbehave


MISBEHAVING = {
    "a tensor that answers for itself": """
class T(Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        os.write(1, b'called'); return True
    def __eq__(self, other): return True
    def __array__(self, *a): return 1
def answer(x): return torch.ones(3).as_subclass(T)
""",
    "a number that equals everything": """
class F(float):
    def __eq__(self, other): return True
    def __lt__(self, other): return True
    def __float__(self): return 5.0
def answer(x): return F(1.0)
""",
    "an object that pickles as code": """
class P:
    def __reduce__(self): return os.system, ('echo pickled',)
    def __getstate__(self): raise SystemExit
def answer(x): return P()
""",
    "an object without a text": """
class R:
    def __repr__(self): raise SystemExit
    def __str__(self): raise KeyboardInterrupt
    def __len__(self): return -1
    def __iter__(self): raise MemoryError
    def __bool__(self): raise RuntimeError
    def __getattr__(self, name): raise RuntimeError(name)
def answer(x): return R()
""",
    "a list that lies about its length": """
class L(list):
    def __len__(self): return 3
    def __iter__(self): return iter(range(10 ** 9))
def answer(x): return L()
""",
    "a class with a strange name": "answer = lambda x: type('a\\nb' * 1000, (), {})()",
    "a class of classes": """
class M(type):
    def __getattribute__(cls, name): raise RuntimeError(name)
    def __eq__(cls, other): return True
    def __hash__(cls): return hash(float)
class C(metaclass=M): pass
def answer(x): return C()
""",
    "a text that cannot be written": "answer = lambda x: '\\ud800' * 10",
    "a name for the call itself": "class Answer:\n    def __call__(self, x): return 1\nanswer = Answer()",
    "an error without a message": """
class E(Exception):
    def __str__(self): raise SystemExit
def answer(x): raise E
""",
    "an error that pretends to be a time limit": "class Timeout(Exception): pass\ndef answer(x): raise Timeout",
    "a generator": "def answer(x): yield 1",
    "a coroutine": "async def answer(x): return 1",
    "a tensor of another device": "def answer(x): return torch.empty(3, device='meta')",
    "something larger than is accepted": "def answer(x): return torch.zeros(40_000_000)",
    "a text larger than is accepted": "def answer(x): return ['y' * 900_000] * 10",
    "a list of everything": "def answer(x): return [[0] * 9_000] * 9_000",
    "a circle": "def answer(x):\n    loop = []\n    loop.append(loop)\n    return loop",
}


@pytest.mark.parametrize("name", MISBEHAVING)
def test_a_result_that_misbehaves_is_reduced_to_data(session: Session, name: str) -> None:
    session.run_cell(MISBEHAVING[name])
    student = session.student()
    check_plain(student.call("answer", [X], CallOptions(seconds=3.0)))
    check_plain(student.value("answer"))
    session.run_cell("def good(x): return x")
    assert torch.equal(student.call("good", [X]).value, X)


def check_plain(outcome: Outcome) -> None:
    def plain(value: Any) -> bool:
        if type(value) in (list, tuple):
            return all(map(plain, value))
        return value is None or type(value) in (bool, int, float, str, Tensor, Opaque)

    assert plain(outcome.value) and type(outcome.error) is str and type(outcome.message) is str
    assert "\n" not in outcome.message


@pytest.mark.parametrize(
    "body",
    [
        "os._exit(0)",
        "os.kill(os.getpid(), 9)",
        "__import__('ctypes').string_at(0)",
        "os.close(3)",
        "os.write(3, b'noise' * 100)",
    ],
)
def test_a_crash_is_an_outcome_and_a_restart_heals(session: Session, body: str) -> None:
    session.run_cell(f"def answer(x): {body}")
    student = session.student()
    assert student.call("answer", [X]).error == "Died"
    assert student.call("answer", [X]).error == "Died" and student.value("answer").error == "Died"
    session.restart()
    session.run_cell("def answer(x): return x")
    assert torch.equal(student.call("answer", [X]).value, X)


def test_a_call_that_cannot_be_stopped_is_killed(session: Session) -> None:
    deaf = "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))"
    session.run_cell(f"import signal\ndef answer(x):\n    {deaf}\n    while True: pass")
    started = time.monotonic()
    outcome = session.student().call("answer", [X], CallOptions(seconds=2.0))
    assert outcome.error == "Timeout" and time.monotonic() - started < 4 and not session.alive


def test_an_answer_cannot_be_sent_ahead(session: Session) -> None:
    session.run_cell(
        """
import struct, msgpack
def answer(x):
    for number in range(1, 9):
        body = msgpack.packb({'number': ['i', str(number)], 'kind': 'done', 'value': 1.0, 'error': ''})
        os.write(3, struct.pack('<4sIQ', b'PS4\\x01', len(body), 0) + body)
    return x
"""
    )
    student = session.student()
    first = student.call("answer", [X])
    # It may lie about its own result, as it may return what it likes; the next question finds the lie out.
    assert first.value is None or first.value == 1.0
    assert student.call("answer", [X]).error == "Died" and not session.alive


# Exams


IMPORTS = "import torch\nimport torch.nn.functional as F"


def verdicts(exercise: str, cells: tuple[str, ...], warm: Warm) -> tuple[Any, Any]:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for cell in (IMPORTS, *cells):
        exec(cell, namespace)
    with LocalStudent(namespace) as local:
        inside = examine(exercise, local, seed=11)
    with open_session(limits=LIMITS, warm=warm) as session:
        for cell in (IMPORTS, *cells):
            assert session.run_cell(cell).status == "ok"
        return inside, examine(exercise, session.student(), seed=11)


@pytest.mark.parametrize("exercise", ["p1a_conv1d", "p1b_maxpool1d", "p3b_update", "p3d_maxpool_backward"])
def test_the_reference_gets_full_marks_from_outside(exercise: str, warm: Warm) -> None:
    _, outside = verdicts(exercise, reference(exercise).cells, warm)
    assert outside.points == outside.max_points == EXAMS[exercise].points


@pytest.mark.parametrize("exercise", ["p1a_conv1d", "p3a_backward_input"])
def test_wrong_answers_get_the_same_verdict_from_outside(exercise: str, warm: Warm) -> None:
    for answer in [answer for answer in answers_for(exercise) if not answer.right][:4]:
        inside, outside = verdicts(exercise, answer.cells, warm)
        assert (outside.points, outside.missed, outside.misconception) == (
            inside.points,
            inside.missed,
            inside.misconception,
        )


@pytest.mark.parametrize(
    "trick",
    [
        "torch.allclose = torch.equal = lambda *a, **k: True\ntorch.testing.assert_close = lambda *a, **k: None",
        "Tensor.__eq__ = Tensor.__ne__ = lambda *a: True",
        "import builtins; builtins.all = builtins.abs = lambda *a: True",
        "get_ipython().displayhook = lambda *a: 6.0\nprint('6.0 of 6 points')",
        "import sys; sys.modules['autograder.exams'] = None",
    ],
)
def test_tricks_on_the_judge_earn_nothing(session: Session, trick: str) -> None:
    session.run_cell("def conv1d(x_in, kernel): return x_in * 0")
    honest = examine("p1a_conv1d", session.student(), seed=3).points
    session.run_cell(trick)
    assert examine("p1a_conv1d", session.student(), seed=3).points <= honest
