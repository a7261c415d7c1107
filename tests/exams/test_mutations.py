"""Mutation testing of the reference answers: a small change that is not equivalent loses points."""

import dataclasses

import bank_tools
import pytest
import torch
from mutants import mutants

from autograder.answers import reference
from autograder.exams import EXAMS, LocalStudent, available_devices, examine

DOCSTRING = "the docstring is gone, nothing else"
ONE_DIMENSION = "the last dimension of a 1-D tensor is its first"
ONE_DEVICE = "without CUDA there is one device; with it, the exam runs there too, and this mutant loses points"

# The mutants that keep full marks, each with the reason why it computes the same.
EQUIVALENT = {
    "p1a_conv1d": {
        "2: `'x_out[n] = sum_m W[m] x_in[n - m]:  (N,), (k,) -> (N,)'` -> `pass`": DOCSTRING,
        "9: `0` -> `-1`": ONE_DIMENSION,
        "10: `0` -> `-1`": ONE_DIMENSION,
    },
    "p1b_maxpool1d": {
        "2: `'The window size that turns n_in values into n_out.'` -> `pass`": DOCSTRING,
        "9: `'x_out[n] = max(x_in[n], ..., x_in[n + size - 1]):  (N,) -> (N - size + 1,)'` -> `pass`": DOCSTRING,
        "12: `0` -> `-1`": ONE_DIMENSION,
    },
    "p3a_conv_matrix": {
        "2: `'M[i, j] = W[i - j], so that x_out = M @ x_in:  (k,) -> (n, n)'` -> `pass`": DOCSTRING,
        "6: `torch.arange(n, device=kernel.device)` -> `torch.arange(n)`": ONE_DEVICE,
        "9: `0` -> `-1`": "the lower end of the clamp: what is clamped there is masked in the same line",
    },
    "p3a_backward_input": {
        "2: `'dC/dx_in[i] = sum_n W[n - i] grad_out[n]:  (N,), (k,) -> (N,)'` -> `pass`": DOCSTRING,
        "5: `0` -> `-1`": ONE_DIMENSION,
    },
    "p3b_backward_kernel": {
        "2: `'dC/dW[m] = sum_n grad_out[n] x_in[n - m]:  (N,), (N,) -> (k,)'` -> `pass`": DOCSTRING,
        "5: `0` -> `-1`": ONE_DIMENSION,
    },
    "p3b_update": {
        "2: `'W <- W - learning_rate dC/dW:  (k,), (k,) -> (k,)'` -> `pass`": DOCSTRING,
    },
    "p3d_maxpool_backward": {
        "2: `'dC/dx_in[i] = sum of grad_out[n] over the windows n whose maximum is x_in[i]:  (N - size + 1,), (N,) -> "
        "(N,)'` -> `pass`": DOCSTRING,
        "3: `0` -> `-1`": ONE_DIMENSION,
        "4: `torch.arange(len(windows), device=x_in.device)` -> `torch.arange(len(windows))`": ONE_DEVICE,
        "5: `0` -> `-1`": ONE_DIMENSION,
    },
}
SECONDS = 1.0


def survivors(exercise):
    """All mutants of the reference, and those that keep full marks."""
    answer = reference(exercise)
    made, surviving = 0, []
    for mutant in mutants(answer.source):
        made += 1
        if points_of(answer, mutant.source) == EXAMS[exercise].points:
            surviving.append(mutant.what)
    return made, surviving


def points_of(answer, source):
    try:
        namespace = bank_tools.namespace_of(dataclasses.replace(answer, source=source))
    except Exception:
        return 0.0
    with LocalStudent(namespace) as student:
        return examine(answer.exercise, student, seed=5, devices=available_devices()).points


@pytest.fixture
def impatient(monkeypatch):
    """Exams with a short time limit: some mutants never end."""
    for name, exam in EXAMS.items():
        monkeypatch.setitem(EXAMS, name, dataclasses.replace(exam, seconds=SECONDS))


@pytest.mark.parametrize("exercise", bank_tools.of_problem(1, 3))
def test_mutants_that_are_not_equivalent_lose_points(exercise, impatient):
    made, surviving = survivors(exercise)
    unexplained = [what for what in surviving if what not in EQUIVALENT[exercise]]
    print(f"\n{exercise}: {made} mutants, {len(surviving)} keep full marks, {len(unexplained)} of them unexplained")
    for what in surviving:
        print(f"  survives: line {what} ({EQUIVALENT[exercise].get(what, 'unexplained')})")
    assert made >= 10
    assert unexplained == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("exercise", [e for e, reasons in EQUIVALENT.items() if ONE_DEVICE in reasons.values()])
def test_with_cuda_tensors_made_on_the_cpu_lose_points(exercise):
    answer = reference(exercise)
    for mutant in mutants(answer.source):
        if EQUIVALENT[exercise].get(mutant.what) == ONE_DEVICE:
            assert points_of(answer, mutant.source) < EXAMS[exercise].points
