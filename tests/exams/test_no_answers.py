"""Nothing that students receive computes an answer."""

import importlib
import inspect
import json
import pkgutil

import bank_tools
import pytest
import torch

import pset4
from autograder.answers import answers_for
from autograder.exams import EXAMS, LocalStudent, examine
from autograder.exams.right import COMPUTED, results
from pset4.checks.judging.expected import STORED
from pset4.checks.judging.functions import OUTPUT2PROB, UPDATE_KERNEL
from pset4.checks.judging.registry import misconceptions_for

FUNCTIONS = {exercise: names[-1] for exercise, names in bank_tools.TAKES.items() if exercise in EXAMS}
PHOTOS = ("p2c_corgi", "p4b_tiger_cat", "p4e_robust")
ARGUMENTS = {"p2a_last_layer": 1, "p2b_probabilities": 1, "p3b_update": 3, "p3b_backward_kernel": 3}
ARGUMENTS |= {"p3d_maxpool_backward": 3, "p4a_attack": 5, "p4d_layer_norm": 4, "p4g_inversion": 5}


def everything_installed():
    """Every function of the package, by its full name."""
    for module in pkgutil.walk_packages(pset4.__path__, "pset4."):
        if module.name.endswith("__main__"):
            continue
        loaded = importlib.import_module(module.name)
        for name, value in vars(loaded).items():
            if inspect.isfunction(value) and value.__module__ == loaded.__name__:
                yield f"{loaded.__name__}.{name}", value


def takes(function, number):
    try:
        inspect.signature(function).bind(*range(number))
    except TypeError:
        return False
    return True


@pytest.mark.parametrize("exercise", [e for e in FUNCTIONS if e not in PHOTOS])
def test_no_function_of_the_package_is_an_answer(exercise):
    candidates = dict(everything_installed())
    candidates |= {f"imitation of {m.name}": m.imitate for m in misconceptions_for(exercise)}
    tried = 0
    for name, function in candidates.items():
        if not takes(function, ARGUMENTS.get(exercise, 2)) or name.endswith((".main", "serve")):
            continue
        tried += 1
        with LocalStudent({**bank_tools.given(exercise), FUNCTIONS[exercise]: function}) as student:
            verdict = examine(exercise, student, seed=1)
        assert verdict.points < verdict.max_points, name
    assert tried > 5


def test_what_is_stored_for_the_checks_is_what_the_exams_compute():
    stored = json.loads(STORED.read_text(encoding="utf-8"))
    for name, pairs in results().items():
        assert [given for given, _ in pairs] == [given for given, _ in stored[name]]
        for (_, right), (_, kept) in zip(pairs, stored[name], strict=True):
            assert torch.allclose(torch.tensor(right), torch.tensor(kept), rtol=1e-12, atol=1e-12)


def test_checks_and_diagnoses_do_without_the_exams(monkeypatch):
    for function in (OUTPUT2PROB, UPDATE_KERNEL):
        monkeypatch.delitem(COMPUTED, function.name)
    for exercise in ("p2b_probabilities", "p3b_update"):
        for answer in answers_for(exercise):
            failure = bank_tools.check_failure(answer)
            assert (failure is None) == answer.right, answer.name
    with pytest.raises(LookupError):
        UPDATE_KERNEL.right(torch.ones(2), torch.ones(2), 0.123)
