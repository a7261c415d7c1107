"""Bars: what a notebook shows of long work, what is left of an interrupted attack, and that graders see nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from torch import Tensor, nn

from pset4.figures import progress
from pset4.figures.paths import follow
from pset4.figures.progress import Bar, StepWithBar, with_bar
from pset4.steps import L2Step

CORGI = torch.full((1, 3, 8, 8), 0.5)
UPWARDS = torch.ones_like(CORGI)


class Colours(nn.Module):
    """A network of three classes, the colours; the first one's logit is always the largest."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3)) + x.new_tensor([9.0, 0.0, 0.0])


class Line:
    """One line of a notebook's output, and all that it ever said."""

    def __init__(self, lines: list[Line]) -> None:
        self.said: list[str] = []
        self._lines = lines

    def __call__(self, data: dict[str, str], **_options: Any) -> Line:
        line = Line(self._lines)
        self._lines.append(line)
        line.update(data)
        return line

    def update(self, data: dict[str, str], **_options: Any) -> None:
        assert set(data) == {"text/plain"}, "a notebook that is opened again shows nothing else"
        self.said.append(data["text/plain"])


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[Line]:
    """The lines that are displayed; bars are drawn at once, and after each step."""
    shown: list[Line] = []
    monkeypatch.setattr("IPython.display.display", Line(shown))
    monkeypatch.setattr(progress, "DELAY", 0.0)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN", 0.0)
    return shown


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    """A notebook's shell."""
    running = InteractiveShell.instance()
    monkeypatch.setattr(running, "kernel", object(), raising=False)
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    running.reset()
    yield running
    InteractiveShell.clear_instance()


def attack(model_fn: nn.Module, x: Tensor, class_id: int, step: Any, n_iter: int) -> Tensor:
    for _ in range(n_iter):
        model_fn(x)
        x = step.step(x, UPWARDS)
    return x


@pytest.mark.parametrize("state", ["autograde", "validate", "no notebook"])
def test_while_grading_and_in_scripts_a_step_stays_as_it_is(
    state: str, shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    if state == "no notebook":
        monkeypatch.delattr(shell, "kernel")
    else:
        monkeypatch.setenv("NBGRADER_EXECUTION", state)
    step = L2Step(CORGI, step_size=0.5, eps=3)
    assert with_bar(step, 10, watch=Colours()) is step


def test_while_grading_a_bar_is_silent(
    shell: InteractiveShell, lines: list[Line], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    with Bar(total=2) as bar:
        bar.set_postfix_str("half", refresh=False)
        bar.update()
    assert list(Bar([1, 2])) == [1, 2]
    assert not lines and capfd.readouterr() == ("", "")


def test_a_bar_says_step_norm_and_what_the_network_sees(shell: InteractiveShell, lines: list[Line]) -> None:
    network = Colours()
    step = with_bar(L2Step(CORGI, step_size=0.5, eps=3), 4, watch=network)
    assert isinstance(step, StepWithBar)
    end = attack(network, CORGI, 0, step, 4)
    [line] = lines  # drawn empty, then after each step
    assert "step 2/4" in line.said[2] and "L2 1.00, tench 1.00" in line.said[2]
    assert "step 4/4" in line.said[-1] and "L2 2.00" in line.said[-1]
    assert torch.equal(end, attack(network, CORGI, 0, step.bare, 4)) and torch.equal(step.latest, end)
    assert not network._forward_hooks and not shell.custom_exceptions, "nothing is left behind"


def test_each_loop_has_a_bar_of_its_own(shell: InteractiveShell, lines: list[Line]) -> None:
    network = Colours()
    step = with_bar(L2Step(CORGI, step_size=0.5, eps=3), 4, watch=network)
    for stops_after in (2, 4, 3):
        attack(network, CORGI, 0, step, stops_after)
    assert [line.said[-1].split(" |")[0] for line in lines] == [f"attack, step {n}/4" for n in (2, 4, 3)]


def test_a_bar_ends_with_its_cell(shell: InteractiveShell, lines: list[Line]) -> None:
    network = Colours()
    shell.user_ns.update(
        attack=attack, network=network, corgi=CORGI, step=with_bar(L2Step(CORGI, 0.5, 3), 4, watch=network)
    )
    shell.run_cell("attack(network, corgi, 0, step, 2);")
    assert not network._forward_hooks and not shell.custom_exceptions
    shell.run_cell("x = step.step(step.latest, corgi)")
    assert ["step 2/4" in lines[0].said[-1], "step 1/4" in lines[1].said[-1]] == [True, True]


def test_an_interrupted_attack_says_in_one_line_what_was_kept(
    shell: InteractiveShell, lines: list[Line], capsys: pytest.CaptureFixture[str]
) -> None:
    class Stopped(Colours):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            if self.calls == 4:
                raise KeyboardInterrupt
            return super().forward(x)

    network = Stopped()
    standard_step = with_bar(L2Step(CORGI, 0.5, 3), 9, watch=network)
    shell.user_ns.update(attack=attack, network=network, corgi=CORGI, standard_step=standard_step, image=CORGI)
    result = shell.run_cell("image = attack(network, corgi, 0, standard_step, 9)")
    assert isinstance(result.error_in_exec, KeyboardInterrupt), "the cells below do not run"
    assert lines[0].said[-1] == (
        "Stopped after step 3 of 9. Nothing was returned, and your variables are as they were before the call. "
        "`standard_step.latest` holds the image so far."
    )
    assert "Traceback" not in "".join(capsys.readouterr())
    assert torch.equal(shell.user_ns["image"], CORGI)
    shell.run_cell(
        "far = float((standard_step.latest - corgi).norm())\nimage = attack(network, corgi, 0, standard_step, 9)"
    )
    assert shell.user_ns["far"] == pytest.approx(1.5, abs=1e-4)
    assert "step 9/9" in lines[1].said[-1]
    shell.run_cell("1 / 0")
    assert "ZeroDivisionError" in capsys.readouterr().out


def test_the_way_of_an_attack_has_one_bar_that_names_the_target(shell: InteractiveShell, lines: list[Line]) -> None:
    network = Colours()
    step = with_bar(L2Step(CORGI, 0.5, 3), 200, watch=network)
    path = follow(attack, network, CORGI, 1, step, n_iter=3)
    assert len(path.images) == 4
    assert [line.said[-1].split(" |")[0] for line in lines] == ["attack on goldfish, step 3/3"]


def test_a_layer_is_put_in_words_of_its_own(shell: InteractiveShell, lines: list[Line]) -> None:
    network = Colours()
    step = with_bar(L2Step(CORGI, 0.5, 3), 2, watch=network, words=lambda z: f"{z.shape[1]} features", title="layer 0")
    attack(network, CORGI, 0, step, 2)
    assert lines[0].said[-1].startswith("layer 0, step 2/2") and lines[0].said[-1].endswith("3 features")


def test_no_bar_starts_a_thread(shell: InteractiveShell, lines: list[Line]) -> None:
    before = threading.active_count()
    list(Bar(range(3)))
    assert threading.active_count() == before and lines
