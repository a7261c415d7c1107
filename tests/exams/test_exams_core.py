"""The machinery of the exams: points add up, nothing a student does can crash, fool or dirty an exam."""

import logging
import math
import os
import sys
import time
import warnings

import bank_tools
import pytest
import torch
import torch.nn.functional as F

from autograder.answers import answers_for, reference
from autograder.exams import (
    EXAMS,
    CallOptions,
    Exam,
    Examination,
    LocalStudent,
    Opaque,
    Outcome,
    Property,
    examine,
    grade,
    seed_from_environment,
    settle,
)
from pset4 import checks
from pset4.checks import CheckFailed
from pset4.checks.calling.local import as_data, clone_with_layout
from pset4.checks.calling.torch_state import TorchState, neutral_torch
from pset4.checks.judging.inquiry import MAX_BYTES

CONTRACT = {
    "p1a_conv1d": 6,
    "p1b_maxpool1d": 6,
    "p3a_conv_matrix": 4,
    "p3a_backward_input": 8,
    "p3b_backward_kernel": 8,
    "p3b_update": 2,
    "p3d_maxpool_backward": 10,
}


def right_conv1d(x_in, kernel):
    if len(kernel) % 2 == 0:
        raise ValueError(f"kernel must be odd, not {len(kernel)}")
    if x_in.dim() != 1 or len(x_in) == 0:
        raise ValueError(f"x_in must be a signal, not {tuple(x_in.shape)}")
    half = len(kernel) // 2
    return F.pad(x_in, (half, half)).unfold(0, len(kernel), 1) @ kernel.flip(0)


def verdict(function, *, seed=3):
    with LocalStudent({"conv1d": function}) as student:
        return examine("p1a_conv1d", student, seed=seed)


# Points and properties


@pytest.mark.parametrize("exercise", CONTRACT)
def test_properties_add_up_to_the_contract_and_say_what_is_missed(exercise):
    exam = EXAMS[exercise]
    assert exam.points == CONTRACT[exercise]
    assert math.isclose(sum(p.points for p in exam.properties), exam.points)
    assert sum(p.points for p in exam.properties if p.kind == "error") <= 0.5
    assert all(p.missed.endswith(".") for p in exam.properties)
    assert len({p.name for p in exam.properties}) == len(exam.properties)
    assert exam.from_scratch == (exercise != "p3b_update")


def test_an_exam_whose_points_do_not_add_up_is_refused():
    with pytest.raises(ValueError, match="worth 1 points, not 2"):
        Exam("x", 2, (Property("a", 1.0, "a."),), lambda exam: None)
    with pytest.raises(ValueError, match=r"allows 0\.5"):
        Exam("x", 1, (Property("a", 1.0, "a.", "error"),), lambda exam: None)


def test_form_and_errors_count_only_with_a_value():
    properties = (Property("v", 1, "v."), Property("f", 0.5, "f.", "form"), Property("e", 0.5, "e.", "error"))
    assert settle("x", properties, {"v": "no"}).points == 0
    assert settle("x", properties, {"f": "no"}).points == 1.5
    assert settle("x", properties, {}).points == 2
    assert settle("x", properties, {}, zeroed="banned").points == 0
    with pytest.raises(KeyError):
        settle("x", properties, {"unknown": "no"})


def test_an_unknown_exercise_is_named():
    with LocalStudent({}) as student, pytest.raises(KeyError, match="p9_nothing"):
        examine("p9_nothing", student, seed=1)


# What students' functions may do


class Liar(torch.Tensor):
    """A tensor that calls itself equal to everything."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func in (torch.allclose, torch.equal, torch.Tensor.sub, torch.Tensor.eq):
            return torch.tensor(True)
        return super().__torch_function__(func, types, args, kwargs)


class Agreeable:
    """An object that agrees with everything."""

    def __eq__(self, other):
        return True

    def __hash__(self):
        return 0

    def __getattr__(self, name):
        return self

    def __call__(self, *arguments, **keywords):
        return self

    def __float__(self):
        return 6.0

    def __bool__(self):
        return True


class Untellable(Exception):
    def __str__(self):
        raise RuntimeError("no message")


def endless_list():
    value = []
    value.append(value)
    return value


def raises(error):
    def function(*arguments):
        raise error

    return function


ODD_RESULTS = {
    "nothing": lambda x: None,
    "an object that equals everything": lambda x: Agreeable(),
    "a tensor that lies": lambda x: x.as_subclass(Liar),
    "a type": lambda x: torch.Tensor,
    "a generator": lambda x: (v for v in x),
    "a list that holds itself": lambda x: endless_list(),
    "a ragged list": lambda x: [[1.0], [1.0, 2.0]],
    "a list of strings": lambda x: ["a"] * len(x),
    "an enormous expanded tensor": lambda x: torch.zeros(1).expand(10**11),
    "a tensor without memory": lambda x: torch.empty(len(x), device="meta"),
    "a sparse tensor": lambda x: x.to_sparse() if x.dim() == 1 else x,
    "a complex tensor": lambda x: x.to(torch.complex64) * 1j,
    "NaN": lambda x: x * float("nan"),
    "infinity": lambda x: x / 0,
    "booleans": lambda x: x > 0,
    "half precision": lambda x: x.half(),
    "no dimension": lambda x: x.sum(),
    "an empty tensor": lambda x: x[:0],
    "a number": lambda x: 3,
    "an enormous number": lambda x: 10**5000,
    "bytes": lambda x: b"abc",
    "a dictionary": lambda x: {"x": x},
    "a module": lambda x: torch,
    "a lambda": lambda x: lambda: x,
}


@pytest.mark.parametrize("name", ODD_RESULTS)
def test_odd_results_earn_nothing_and_do_no_harm(name):
    result = verdict(lambda x_in, kernel: ODD_RESULTS[name](x_in))
    assert result.points == 0
    assert "p1a_conv1d: 0 of 6 points" in result.report()


@pytest.mark.parametrize(
    "error",
    [
        SystemExit(0),
        KeyboardInterrupt(),
        GeneratorExit(),
        Untellable(),
        MemoryError(),
        RecursionError(),
        StopIteration(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_is_raised_is_caught(error):
    result = verdict(raises(error))
    assert result.points == 0
    assert result.misconception == "crashes"


def test_a_complex_result_with_right_values_loses_only_its_dtype():
    result = verdict(lambda x, w: right_conv1d(x, w).to(torch.complex128))
    assert result.missed == ("shape, dtype and precision kept",)


def test_a_parameter_a_gradient_and_a_subclass_are_tensors_too():
    assert verdict(lambda x, w: torch.nn.Parameter(right_conv1d(x, w))).points == 6
    assert verdict(lambda x, w: right_conv1d(x, w).requires_grad_()).points == 6
    assert verdict(lambda x, w: right_conv1d(x, w).as_subclass(Liar)).points == 6


def test_an_object_with_call_is_a_function():
    class Convolution:
        def __call__(self, x_in, kernel):
            return right_conv1d(x_in, kernel)

    assert verdict(Convolution()).points == 6


class Relay:
    """A student behind a pane of glass: exams need nothing but `call` and `value`.

    Args:
        student: Who answers.
        fails_at: Number of the call that fails; -1 for none.
    """

    def __init__(self, student, fails_at=-1):
        self.student, self.fails_at, self.asked = student, fails_at, []

    def call(self, function, arguments, options):
        self.asked.append(str((function, arguments)))
        if len(self.asked) - 1 == self.fails_at:
            return Outcome(error="RuntimeError")
        return self.student.call(function, arguments, options)

    def value(self, name):
        return self.student.value(name)


@pytest.mark.parametrize("exercise", CONTRACT)
def test_a_further_device_is_tried_and_costs_one_property_where_it_fails(exercise):
    devices = ("cpu", "cpu")  # The second stands for CUDA.
    with LocalStudent(bank_tools.namespace_of(reference(exercise))) as student:
        one, two = Relay(student), Relay(student)
        assert examine(exercise, one, seed=1).points == EXAMS[exercise].points
        assert examine(exercise, two, seed=1, devices=devices).points == EXAMS[exercise].points
        assert len(two.asked) == len(one.asked) + 1
        extra = next(n for n in range(len(two.asked)) if two.asked[:n] + two.asked[n + 1 :] == one.asked)
        result = examine(exercise, Relay(student, fails_at=extra), seed=1, devices=devices)
    assert result.missed == ("shape, dtype and precision kept",)
    assert result.misconception == "wrong_device"


@pytest.mark.parametrize("exercise", ["p1a_conv1d", "p2b_probabilities", "p3d_maxpool_backward"])
def test_points_of_wrong_answers_do_not_hang_on_the_graders_devices(exercise):
    for answer in answers_for(exercise):
        with LocalStudent(bank_tools.namespace_of(answer)) as student:
            alone, together = (examine(exercise, student, seed=1, devices=d) for d in (("cpu",), ("cpu", "cpu")))
        assert together.missed == alone.missed, answer.name


def test_a_missing_function_is_named():
    with LocalStudent({}) as student:
        result = examine("p1a_conv1d", student, seed=1)
    assert result.points == 0
    assert "does not define `conv1d`" in result.diagnosis


def test_an_endless_loop_ends_and_is_not_tried_for_ever():
    calls = []

    def conv1d(x_in, kernel):
        calls.append(1)
        while True:
            try:
                time.sleep(0.001)
            except Exception:
                continue

    with LocalStudent({"conv1d": conv1d}) as student:
        outcome = student.call("conv1d", (torch.ones(3), torch.ones(3)), CallOptions(seconds=0.1))
    assert outcome.error == "Timeout"
    assert len(calls) == 1


def test_a_bare_except_does_not_outlive_the_time_limit():
    def stubborn():
        for _ in range(3):
            try:
                while True:
                    time.sleep(0.001)
            except BaseException:
                pass

    with LocalStudent({"stubborn": stubborn}) as student:
        before = time.monotonic()
        student.call("stubborn", (), CallOptions(seconds=0.1))
    assert time.monotonic() - before < 3


class Scripted:
    """A student whose calls have outcomes that a test has written."""

    def __init__(self, outcomes):
        self.outcomes, self.calls = iter(outcomes), 0

    def call(self, function, arguments, options=None):
        self.calls += 1
        return next(self.outcomes)

    def value(self, name):
        raise AssertionError("not asked for")


def under_way(outcomes):
    return Examination(EXAMS["p1a_conv1d"], Scripted(outcomes), seed=1)


LATE = Outcome(error="Timeout", message="a text of the student's process")


@pytest.mark.parametrize(
    ("outcomes", "remarks"),
    [
        ([Outcome(value=1.0)] * 2, []),
        ([LATE, Outcome(value=1.0)], ["`conv1d` was stopped after {} s in one of its calls"]),
        (
            [LATE, LATE],
            [
                "`conv1d` was stopped after {} s in 2 of its calls",
                "after 2 calls that took too long, nothing more of this exercise was called",
            ],
        ),
    ],
)
def test_a_call_that_runs_out_of_time_leaves_a_remark(outcomes, remarks):
    examination = under_way(outcomes)
    for _ in outcomes:
        examination.ask("conv1d", torch.ones(3), torch.ones(1))
    seconds = f"{examination.exam.seconds:g}"
    assert list(examination.verdict().remarks) == [remark.format(seconds) for remark in remarks]


def test_answers_that_no_exercise_could_have_are_not_kept():
    huge, plain = torch.zeros(10_000_000), torch.ones(3)
    examination = under_way([Outcome(value=huge), Outcome(value=[huge, 1.0]), Outcome(value=plain)])
    assert examination.ask("conv1d", torch.ones(3), torch.ones(1)).value is huge
    for _ in range(2):
        examination.ask("conv1d", torch.ones(3), torch.ones(1))
    assert [type(kept.value) for kept in examination.observations] == [Opaque, Opaque, torch.Tensor]


@pytest.mark.parametrize(
    "large",
    [
        Outcome(value=torch.zeros(16_000_000)),
        Outcome(value=1.0, arguments_after=(torch.zeros(16_000_000), None)),
        Outcome(value=1.0, first_direction=torch.zeros(16_000_000)),
        Outcome(value=torch.zeros(16_000_000)[:1]),
    ],
    ids=["value", "arguments", "direction", "a small part of much"],
)
def test_an_exam_takes_so_many_bytes_and_no_more(large):
    examination = under_way([large] * 100)
    outcomes = [examination.ask("conv1d", torch.ones(3), torch.ones(1)) for _ in range(100)]
    assert examination.student.calls * 64_000_000 <= MAX_BYTES + 64_000_000
    assert outcomes[-1].error == "TooLarge" and "MB" in outcomes[-1].message
    assert any("nothing more was called" in remark for remark in examination.verdict().remarks)


def test_hidden_inputs_cannot_be_smuggled_out_by_errors():
    secret = []

    def conv1d(x_in, kernel):
        secret.append(f"{float(x_in[0]):.6f}" if x_in.numel() else "")
        message = str(x_in.tolist())
        raise type(f"E{message}", (Exception,), {})(message)

    report = verdict(conv1d).report()
    assert "an error" in report
    assert not any(value and value in report for value in secret)


def test_a_report_shows_no_hidden_value():
    seen = []

    def conv1d(x_in, kernel):
        seen.extend(f"{abs(v):.5g}" for v in [*x_in.flatten().tolist(), *kernel.tolist()])
        return right_conv1d(x_in, kernel) + 0.125

    report = verdict(conv1d).report()
    assert len(seen) > 100
    assert not any(value in report for value in seen if len(value) >= 6)


# What reaches the notebook


def noisy_conv1d(x_in, kernel):
    print("printed")
    print("to stderr", file=sys.stderr)
    os.write(2, b"to the descriptor\n")
    os.system("echo from a child >&2")
    warnings.warn("warned", stacklevel=1)
    logging.getLogger("noisy").error("logged")
    return right_conv1d(x_in, kernel)


def test_nothing_that_a_student_writes_reaches_the_test_cell(capfd):
    handler = logging.StreamHandler()
    logging.getLogger("noisy").addHandler(handler)
    points = grade("p1a_conv1d", {"conv1d": noisy_conv1d})
    logging.getLogger("noisy").removeHandler(handler)
    out, err = capfd.readouterr()
    assert points == 6
    assert err == ""
    assert out.startswith("p1a_conv1d: 6 of 6 points")
    assert "printed" not in out


def test_nothing_that_a_student_displays_reaches_the_test_cell(monkeypatch):
    import IPython
    from IPython.core.interactiveshell import InteractiveShell

    shown = []
    shell = InteractiveShell.instance()
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
    monkeypatch.setattr(type(shell.display_pub), "publish", lambda self, *a, **k: shown.append(a))

    def conv1d(x_in, kernel):
        shell.display_pub.publish({"text/plain": str(x_in)})
        return right_conv1d(x_in, kernel)

    try:
        assert verdict(conv1d).points == 6
        assert shown == []
        shell.display_pub.publish({"text/plain": "outside"})
        assert len(shown) == 1
    finally:
        InteractiveShell.clear_instance()


def test_streams_work_again_afterwards(capfd):
    verdict(noisy_conv1d)
    print("out again")
    print("err again", file=sys.stderr)
    out, err = capfd.readouterr()
    assert (out, err) == ("out again\n", "err again\n")


@pytest.mark.parametrize("namespace", [{}, {"conv1d": 3}, {"conv1d": Agreeable()}, {"conv1d": None}])
def test_grade_never_raises_and_stays_in_range(namespace, capfd):
    points = grade("p1a_conv1d", namespace)
    assert isinstance(points, float)
    assert points == 0
    assert capfd.readouterr().err == ""


def test_a_broken_exam_is_said_and_not_raised(capfd, monkeypatch):
    monkeypatch.setitem(EXAMS, "broken", Exam("broken", 1, (Property("a", 1, "a."),), raises(RuntimeError("oops"))))
    assert grade("broken", {}) == 0
    assert "the exam itself failed (RuntimeError: oops)" in capfd.readouterr().out


def test_the_seed_comes_from_the_course(monkeypatch):
    monkeypatch.setenv("PSET4_EXAM_SEED", "42")
    assert seed_from_environment() == 42
    monkeypatch.setenv("PSET4_EXAM_SEED", "not a number")
    default = seed_from_environment()
    monkeypatch.delenv("PSET4_EXAM_SEED")
    assert seed_from_environment() == default


# Global state


def test_switches_turned_by_a_student_are_turned_back():
    before = TorchState.now()

    def conv1d(x_in, kernel):
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True)
        return x_in

    verdict(conv1d)
    assert TorchState.now() == before


def test_switches_that_hold_in_the_notebook_hold_in_the_call_but_not_in_the_exam():
    torch.set_default_dtype(torch.float64)
    seen = []

    def conv1d(x_in, kernel):
        seen.append((torch.get_default_dtype(), torch.is_grad_enabled()))
        return right_conv1d(x_in, kernel)

    try:
        with torch.no_grad():
            assert verdict(conv1d).points == 6
    finally:
        torch.set_default_dtype(torch.float32)
    assert set(seen) == {(torch.float64, False)}


def test_inside_an_exam_torch_is_neutral():
    with torch.no_grad(), neutral_torch():
        assert torch.is_grad_enabled()
        assert torch.get_default_dtype() == torch.float32


def test_random_numbers_are_the_same_in_every_call_and_untouched_outside():
    torch.manual_seed(9)
    with LocalStudent({"draw": lambda: torch.rand(3)}) as student:
        first, second = (student.call("draw", ()).value for _ in range(2))
    assert torch.equal(first, second)
    after = torch.rand(1)
    torch.manual_seed(9)
    assert torch.equal(after, torch.rand(1))


# Data in, data out


@pytest.mark.parametrize(
    "tensor",
    [torch.arange(9.0)[1::2], torch.ones(1).expand(5), torch.arange(6.0).view(2, 3).T, torch.zeros(0)],
    ids=["strided", "expanded", "transposed", "empty"],
)
def test_a_student_gets_a_clone_with_the_same_layout(tensor):
    clone = clone_with_layout(tensor)
    assert torch.equal(clone, tensor)
    assert clone.stride() == tensor.stride()
    if tensor.numel():
        assert clone.data_ptr() != tensor.data_ptr()


def test_arguments_are_safe_and_seen_afterwards():
    original = torch.ones(3)
    with LocalStudent({"spoil": lambda x: x.zero_()}) as student:
        outcome = student.call("spoil", (original,))
    assert torch.equal(original, torch.ones(3))
    assert torch.equal(outcome.arguments_after[0], torch.zeros(3))
    assert outcome.same_object


def test_plain_data_and_nothing_else_comes_back():
    import numpy as np

    assert as_data([1, (2.5, "a"), None, True]) == [1, (2.5, "a"), None, True]
    assert as_data(np.float64(2.5)) == 2.5 and type(as_data(np.int64(3))) is int
    assert as_data(np.zeros(3)) == Opaque("ndarray")
    assert as_data({"a": 1}) == Opaque("dict")
    assert type(as_data(torch.zeros(2).as_subclass(Liar))) is torch.Tensor


def test_a_class_that_claims_to_equal_every_class_is_no_plain_data():
    class EqualsAll(type):
        def __eq__(cls, other):
            return True

        __hash__ = type.__hash__

    class Chameleon(metaclass=EqualsAll):
        pass

    assert as_data(Chameleon()) == Opaque("Chameleon")


def test_lists_within_lists_have_a_bound_in_all():
    assert as_data([[0] * 99] * 100) == [[0] * 99] * 100
    assert as_data([[0] * 100] * 101) == Opaque("list")
    assert as_data([[[[[0]]]]]) == [[[[Opaque("list")]]]]


def test_a_variable_is_read_as_data():
    with LocalStudent({"a": torch.ones(2, requires_grad=True)}) as student:
        assert student.value("a").requires_grad
        assert not student.value("a").value.requires_grad
        assert student.value("b").error == "MissingName"


def test_a_banned_call_anywhere_in_the_exercise_zeroes_it_and_is_named():
    def only_for_long_signals(x_in, kernel):
        if len(x_in) > 30:
            return F.conv1d(x_in[None, None], kernel.flip(0)[None, None], padding=len(kernel) // 2)[0, 0]
        return right_conv1d(x_in, kernel)

    result = verdict(only_for_long_signals)
    assert result.points == 0
    assert result.misconception == "banned_call"
    assert "torch.nn.functional.conv1d" in result.report()


# Visible checks


def test_a_failed_check_shows_its_message_and_no_stack_trace():
    with pytest.raises(CheckFailed) as caught:
        checks.p1a_conv1d(lambda x_in, kernel: right_conv1d(x_in, kernel.flip(0)))
    lines = caught.value._render_traceback_()
    assert lines[0].startswith("CheckFailed: With x_in = [")
    assert "cross-correlation" in " ".join(lines)
    assert not any("File" in line for line in lines)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_check_says_all_good_in_one_line(capsys):
    checks.p1a_conv1d(right_conv1d)
    assert capsys.readouterr().out.count("\n") == 1


def test_a_check_of_an_unknown_error_shows_the_first_failing_input():
    with pytest.raises(CheckFailed) as caught:
        checks.p1a_conv1d(lambda x_in, kernel: right_conv1d(x_in, kernel) + 1)
    assert caught.value.misconception == ""
    assert "With x_in = [1] and kernel = [1] your `conv1d` returns [2] instead of [1]" in str(caught.value)
    assert "position" in str(caught.value)


def test_a_check_of_a_stub_says_that_it_is_not_written(monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "validate")
    with pytest.raises(CheckFailed, match="not written yet"):
        checks.p1a_conv1d(raises(NotImplementedError()))


def test_a_check_of_something_else_than_a_function():
    with pytest.raises(CheckFailed, match="must be a function, not int"):
        checks.p1a_conv1d(5)


def test_a_check_ends_when_the_answer_does_not():
    def conv1d(x_in, kernel):
        while True:
            pass

    with pytest.raises(CheckFailed, match="takes too long"):
        checks.p1a_conv1d(conv1d)
