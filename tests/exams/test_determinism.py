"""The same submission gets the same points and reasons: twice, in two processes, on one and two threads."""

import json
import os
import subprocess
import sys

import bank_tools
import pytest

from autograder.answers import answers_for
from autograder.course.folders import REPOSITORY
from autograder.exams import LocalStudent, examine

HELPERS = REPOSITORY / "tests/helpers"

GRADE_SOME = """
import json, sys
sys.path.insert(0, {tests!r})
import torch
torch.set_num_threads({threads})
import bank_tools
from autograder.answers import answers_for
from autograder.exams import LocalStudent, examine
reports = {{}}
for exercise in bank_tools.of_problem(1, 3):
    for answer in answers_for(exercise)[::7]:
        if answer.misconception != "too_slow":
            reports[exercise + ": " + answer.name] = bank_tools.verdict_on(answer, seed=77).report()
print(json.dumps(reports))
"""


def graded_in_a_process(threads):
    code = GRADE_SOME.format(tests=str(HELPERS), threads=threads)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONHASHSEED": str(threads)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_two_processes_on_one_and_two_threads_agree():
    one, two = graded_in_a_process(1), graded_in_a_process(2)
    assert len(one) > 30
    assert one == two


@pytest.mark.parametrize("exercise", bank_tools.of_problem(1, 3))
def test_grading_twice_in_one_process_gives_the_same_report(exercise):
    for answer in answers_for(exercise)[:12:3]:
        first, second = (bank_tools.verdict_on(answer, seed=5).report() for _ in range(2))
        assert first == second


def test_another_seed_asks_other_questions_and_comes_to_the_same_points():
    seen = []

    def conv1d(x_in, kernel):
        seen.append(x_in.tolist())
        return x_in * 0

    for seed in (1, 2):
        with LocalStudent({"conv1d": conv1d}) as student:
            assert examine("p1a_conv1d", student, seed=seed).points == 0
    half = len(seen) // 2
    assert seen[0] != seen[half]
