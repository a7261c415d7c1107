"""Problems 2 and 4: the notebooks keep the contract, give nothing away, and their worked examples are right."""

from __future__ import annotations

import ast
import re
from functools import cache
from typing import Any

import nbformat
import pytest
import torch
import torch.nn.functional as F
from nbformat import NotebookNode
from nbgrader.preprocessors import ClearHiddenTests
from torch import Tensor, nn

from autograder.course.contract import EXERCISES, Exercise
from autograder.course.folders import SOURCE
from autograder.course.preprocessors import OpenExercises
from pset4.steps import L2Step
from pset4.traces import is_open

NAMES = ("problem2_classification", "problem4_adversarial")
OURS = [exercise for exercise in EXERCISES if exercise.notebook in NAMES]
CODE = [exercise for exercise in OURS if exercise.form == "code"]
WRITTEN = [exercise for exercise in OURS if exercise.form == "written"]


@cache
def notebook(name: str) -> NotebookNode:
    return nbformat.read(SOURCE / f"{name}.ipynb", as_version=4)


def cell(exercise: Exercise, suffix: str = "") -> NotebookNode:
    [found] = [c for c in notebook(exercise.notebook).cells if c.id == exercise.id + suffix]
    return found


def grading(found: NotebookNode) -> dict[str, Any]:
    data = dict(found.metadata["nbgrader"])
    assert data["schema_version"] == 3
    assert data["grade_id"] == found.id
    assert data["task"] is False
    return data


def released(name: str) -> NotebookNode:
    """What a student gets, as far as answers go."""
    nb = nbformat.from_dict(notebook(name))
    for preprocessor in (OpenExercises(), ClearHiddenTests()):
        nb, _ = preprocessor.preprocess(nb, {})
    return nb


def solution_lines(found: NotebookNode) -> list[str]:
    blocks = re.findall(r"### BEGIN SOLUTION\n(.*?)\s*### END SOLUTION", found.source, re.DOTALL)
    return [line.strip() for block in blocks for line in block.splitlines() if line.strip()]


def functions(name: str) -> dict[str, Any]:
    """The functions that the notebook's own answers define."""
    namespace: dict[str, Any] = {"torch": torch, "nn": nn, "F": F, "Tensor": Tensor}
    for exercise in CODE:
        if exercise.notebook == name:
            tree = ast.parse(cell(exercise).source)
            tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
            exec(compile(tree, exercise.id, "exec"), namespace)  # the notebook's own answers
    return namespace


class TestForm:
    @pytest.mark.parametrize("name", NAMES)
    def test_a_notebook_is_valid_clean_and_says_its_kernel(self, name: str) -> None:
        nb = notebook(name)
        nbformat.validate(nb)
        assert (nb.nbformat, nb.nbformat_minor) == (4, 5)
        assert nb.metadata.kernelspec.name == "python3"
        for found in nb.cells:
            if found.cell_type == "code":
                assert found.outputs == []
                assert found.execution_count is None

    @pytest.mark.parametrize("name", NAMES)
    def test_cell_ids_are_stable_words_and_unique(self, name: str) -> None:
        ids = [found.id for found in notebook(name).cells]
        assert len(ids) == len(set(ids))
        assert all(re.fullmatch(r"p[24][a-z]?_[a-z0-9_]+", cell_id) for cell_id in ids)

    @pytest.mark.parametrize("exercise", CODE, ids=lambda e: e.id)
    def test_answer_check_and_test_cell_have_the_contract_s_kinds_and_points(self, exercise: Exercise) -> None:
        answer, check = grading(cell(exercise)), grading(cell(exercise, "_check"))
        assert (answer["solution"], answer["grade"], answer["locked"]) == (True, False, False)
        assert (check["solution"], check["grade"], check["locked"], check["points"]) == (False, True, True, 0)
        assert cell(exercise, "_check").source.startswith(f"checks.{exercise.id}(")
        if exercise.points:
            test = grading(cell(exercise, "_test"))
            assert (test["solution"], test["grade"], test["locked"]) == (False, True, True)
            assert test["points"] == exercise.points

    @pytest.mark.parametrize("exercise", WRITTEN, ids=lambda e: e.id)
    def test_a_written_answer_is_one_markdown_cell_that_is_graded_by_hand(self, exercise: Exercise) -> None:
        found = cell(exercise)
        data = grading(found)
        assert found.cell_type == "markdown"
        assert (data["solution"], data["grade"], data["locked"]) == (True, True, False)
        assert data["points"] == exercise.points

    @pytest.mark.parametrize("name", NAMES)
    def test_no_other_cell_is_graded_and_the_order_is_the_contract_s(self, name: str) -> None:
        graded = [c.id for c in notebook(name).cells if c.metadata.get("nbgrader", {}).get("grade")]
        expected = []
        for exercise in OURS:
            if exercise.notebook == name:
                tests = [f"{exercise.id}_test"] if exercise.points else []
                expected += [exercise.id] if exercise.form == "written" else [f"{exercise.id}_check", *tests]
        if "p4a_attack_test" in expected:  # it judges the photo, too, whose cell comes after the function's check
            expected.remove("p4a_attack_test")
            expected.insert(expected.index("p4a_tarantula_check") + 1, "p4a_attack_test")
        assert graded == expected

    @pytest.mark.parametrize("exercise", [e for e in CODE if e.points], ids=lambda e: e.id)
    def test_a_hidden_test_is_one_call_of_the_exam_and_a_line_for_the_student(self, exercise: Exercise) -> None:
        first, *hidden = cell(exercise, "_test").source.splitlines()
        assert first.startswith("#")
        assert "inputs that you do not see" in first
        assert hidden[0] == "### BEGIN HIDDEN TESTS"
        assert hidden[-2:] == [f'grade("{exercise.id}", globals())', "### END HIDDEN TESTS"]


class TestText:
    @pytest.mark.parametrize("name", NAMES)
    def test_it_opens_with_the_badge_and_a_table_of_all_exercises(self, name: str) -> None:
        title = notebook(name).cells[0].source
        assert f"blob/{{{{ course_branch }}}}/notebooks/{name}.ipynb)" in title
        for exercise in OURS:
            if exercise.notebook == name:
                assert re.search(rf"\| `{exercise.id}`<br>.+ \| {exercise.points:g}( bonus)? \| \d+ \|", title)

    @pytest.mark.parametrize("exercise", OURS, ids=lambda e: e.id)
    def test_each_exercise_announces_its_points_and_minutes(self, exercise: Exercise) -> None:
        cells = notebook(exercise.notebook).cells
        [text] = [c.source for c in cells if f"### Exercise `{exercise.id}`" in c.source]
        points = {0: "no points"}.get(int(exercise.points), f"{exercise.points:g} {'bonus ' * exercise.bonus}points")
        assert re.search(rf"\*{points}, about \d+ minutes\* · difficulty [●○]{{5}} · importance", text)

    @pytest.mark.parametrize("exercise", [e for e in CODE if e.id != "p4a_tarantula"], ids=lambda e: e.id)
    def test_an_example_stands_before_the_answer(self, exercise: Exercise) -> None:
        cells = notebook(exercise.notebook).cells
        ids = [c.id for c in cells]
        start = next(i for i, c in enumerate(cells) if f"### Exercise `{exercise.id}`" in c.source)
        between = cells[start : ids.index(exercise.id)]
        assert any(re.search(r"\*\*(By hand|For example)", c.source) for c in between)

    @pytest.mark.parametrize("exercise", WRITTEN, ids=lambda e: e.id)
    def test_a_rubric_adds_up_to_the_points(self, exercise: Exercise) -> None:
        rubric = cell(exercise).source.split("**Rubric")[1]
        assert sum(int(points) for points in re.findall(r"^- (\d+) points?:", rubric, re.MULTILINE)) == exercise.points

    @pytest.mark.parametrize("name", NAMES)
    def test_the_end_looks_back_and_ahead(self, name: str) -> None:
        """Behind it there is at most handing in."""
        last = next(cell for cell in reversed(notebook(name).cells) if cell.id.endswith("_end"))
        assert last.cell_type == "markdown"
        assert "What you have built" in last.source
        assert "Where next" in last.source


class TestRelease:
    @pytest.mark.parametrize("name", NAMES)
    def test_no_line_of_an_answer_and_no_hidden_test_is_left(self, name: str) -> None:
        left = "\n".join(found.source for found in released(name).cells)
        assert "autograder" not in left
        assert "BEGIN" not in left
        answers = [line for e in OURS if e.notebook == name for line in solution_lines(cell(e))]
        telling = [line for line in answers if len(line) > 12]
        assert len(telling) > 5
        # The contract has the text mention the second one; the first stands wherever a network is only asked.
        common = {"with torch.no_grad():", "x.requires_grad_()"}
        assert [line for line in telling if line in left and line not in common] == []

    @pytest.mark.parametrize("exercise", CODE, ids=lambda e: e.id)
    def test_an_open_answer_cell_is_valid_code_that_says_that_it_is_open(self, exercise: Exercise) -> None:
        [found] = [c for c in released(exercise.notebook).cells if c.id == exercise.id]
        namespace: dict[str, Any] = {"Tensor": Tensor, "nn": nn}
        exec(found.source, namespace)
        if found.source.startswith("def "):
            function = namespace[found.source.split("(")[0].removeprefix("def ")]
            with pytest.raises(NotImplementedError, match=f"^exercise {exercise.id} is still open$"):
                function(*[None] * function.__code__.co_argcount)
        else:
            assert [name for name, value in namespace.items() if is_open(value)]

    @pytest.mark.parametrize("exercise", WRITTEN, ids=lambda e: e.id)
    def test_model_answer_and_rubric_are_gone(self, exercise: Exercise) -> None:
        [found] = [c for c in released(exercise.notebook).cells if c.id == exercise.id]
        assert found.source.strip() == OpenExercises().text_stub


class TestAttacks:
    @pytest.fixture
    def code_cells(self) -> list[NotebookNode]:
        return [c for c in notebook("problem4_adversarial").cells if c.cell_type == "code"]

    def test_the_budgets_are_the_contract_s(self, code_cells: list[NotebookNode]) -> None:
        given = "\n".join(c.source for c in code_cells if c.metadata.get("nbgrader", {}).get("locked"))
        assert "standard_step = L2Step(corgi, step_size=0.5, eps=3)" in given
        assert re.search(r"robust_step = L2Step\(corgi, step_size=[\d.]+, eps=30\)", given)
        assert "robust_target = robust.nearest_known(282)" in given

    def test_every_run_of_an_attack_scales_with_n_iter(self, code_cells: list[NotebookNode]) -> None:
        attacks = {"generate_adversarial_example", "maximize_layer_norm", "invert_features"}
        calls = [
            node
            for found in code_cells
            if not found.source.startswith("%") and not found.id.endswith("_setup")
            for node in ast.walk(ast.parse(found.source))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in attacks
        ]
        assert len(calls) >= 6
        names = {node.id for call in calls for node in ast.walk(call.args[-1]) if isinstance(node, ast.Name)}
        assert names <= {"N_ITER", "sweep_iter", "phase_iter"}
        everything = "\n".join(found.source for found in code_cells)
        for derived in names - {"N_ITER"}:
            assert re.search(rf"^ *{derived} = .*N_ITER", everything, re.MULTILINE)

    @pytest.mark.parametrize("exercise", ["p4a_tarantula", "p4b_tiger_cat", "p4e_robust", "p4f_images"])
    def test_a_top_five_chart_follows_every_attack_that_aims_at_a_class(
        self, exercise: str, code_cells: list[NotebookNode]
    ) -> None:
        ids = [found.id for found in code_cells]
        after = code_cells[ids.index(exercise) : ids.index(exercise) + 4]
        assert any(re.search(r"show_prediction\(.*target=", found.source) for found in after)
        assert any(re.search(r"show_(attack|row)\(", found.source) for found in after)


class TestWorkedExamples:
    """The numbers that the notebooks work out by hand, computed by the notebooks' own answers."""

    def test_last_layer(self) -> None:
        model = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 4))
        assert functions(NAMES[0])["last_layer_inputs"](model) == 5

    @pytest.mark.parametrize("shift", [0.0, 1000.0, -1000.0])
    def test_probabilities(self, shift: float) -> None:
        logits = torch.tensor([[1.0, 2.0, 5.0]]).log() + shift
        expected = torch.tensor([[0.125, 0.25, 0.625]])
        assert torch.allclose(functions(NAMES[0])["output2prob"](logits), expected, atol=1e-4)

    def test_top_predictions(self) -> None:
        probabilities = torch.tensor([[0.125, 0.25, 0.625], [0.7, 0.1, 0.2]])
        found = functions(NAMES[0])["top_predictions"](lambda x: probabilities.log(), torch.zeros(2, 3, 1, 1), k=2)
        assert [[class_id for class_id, _ in row] for row in found] == [[2, 1], [0, 2]]
        assert [p for row in found for _, p in row] == pytest.approx([0.625, 0.25, 0.7, 0.2], abs=1e-5)

    def test_one_step(self) -> None:
        x = pixels(0.5, 0.5, 0.9)
        moved = L2Step(x, step_size=0.5, eps=0.25).step(x, pixels(3, 0, 4))
        assert moved.flatten().tolist() == pytest.approx([0.65, 0.5, 1.0], abs=1e-5)

    @pytest.mark.parametrize(
        ("target", "arrives", "probability"), [(1, [0, 0.7, 0.5], 0.89), (0, [0.7, 0.1, 0.5], 1 - 0.076)]
    )
    def test_the_attack_on_a_linear_network(self, target: int, arrives: list[float], probability: float) -> None:
        def linear(x: Tensor) -> Tensor:
            return torch.stack([4 * x[:, 0, 0, 0], 3 * x[:, 1, 0, 0]], dim=1)

        x = pixels(0.3, 0.4, 0.5)
        attack = functions(NAMES[1])["generate_adversarial_example"]
        attacked = attack(linear, x, target, L2Step(x, step_size=0.5, eps=3), 1)
        assert attacked.flatten().tolist() == pytest.approx(arrives, abs=1e-6)
        assert float(linear(attacked).softmax(dim=1)[0, target]) == pytest.approx(probability, abs=0.005)

    def test_the_norm_of_a_layer(self) -> None:
        x = pixels(0.8, 0.3, 0.0)
        step = L2Step(x, step_size=0.1, eps=3)
        moved = functions(NAMES[1])["maximize_layer_norm"](two_pixels, x, step, 1)
        assert moved.flatten().tolist() == pytest.approx([0.855, 0.383, 0], abs=1e-3)
        assert float(two_pixels(moved).norm()) == pytest.approx(1.148, abs=1e-3)

    @pytest.mark.parametrize(("n_iter", "distance"), [(1, 0.4), (3, 0.0)])
    def test_the_inversion_of_a_layer(self, n_iter: int, distance: float) -> None:
        x, wanted = pixels(0.5, 0.2, 0.0), torch.tensor([[0.5, 1.0]])
        step = L2Step(x, step_size=0.1, eps=3)
        moved = functions(NAMES[1])["invert_features"](two_pixels, wanted, x, step, n_iter)
        assert float((two_pixels(moved) - wanted).norm()) == pytest.approx(distance, abs=1e-5)


def pixels(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1)


def two_pixels(x: Tensor) -> Tensor:
    """The layer of the notebook's examples: (x1, 2 x2)."""
    return torch.stack([x[:, 0, 0, 0], 2 * x[:, 1, 0, 0]], dim=1)
