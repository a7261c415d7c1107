"""What comes out of a notebook, shown below its title: made by libraries, or stored, and never by an answer."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from pset4.figures.display import BLUE, GREY, MAX_WIDTH, ORANGE, canvas, describe, hide_frame, shown
from pset4.figures.gradients import library_conv1d, library_maxpool1d
from pset4.settings import data_folder

SHEET = "contact_sheet.png"
TILE, TILE_ROW = 176, 200
"""Pixels of one photo of the contact sheet, and of a row with its caption (`python -m training evaluate` draws it)."""
CORGI = "a red and white corgi that sits before blossoms with its tongue out"
ROUGHLY = {"Pembroke": 0.7, "Cardigan": 0.1, "papillon": 0.03, "collie": 0.02, "Border collie": 0.02}
"""What the embedded network says of the photo, rounded."""


def _tile(column: int) -> NDArray[np.uint8]:
    """A photo of the contact sheet's lower row: the corgi, then the same attacked to a tabby."""
    with Image.open(data_folder() / SHEET) as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    return pixels[TILE_ROW : TILE_ROW + TILE - 4, column * TILE + 4 : (column + 1) * TILE - 4]


def draw_forward() -> Figure:
    """Problem 1: a signal, what a convolution makes of it, and what pooling makes of that."""
    melody = torch.zeros(48)
    melody[[4, 12, 28]] = torch.tensor([1.0, 0.6, 0.8])
    hall = torch.cat([torch.zeros(8), 0.6 ** torch.arange(9)])
    echoes = library_conv1d(melody, hall)
    rows = {"a signal": melody, "convolved": echoes, "then pooled": library_maxpool1d(echoes, 7)}
    figure = canvas(
        MAX_WIDTH, 3.2, title="Your two functions: every sound gets its echoes, then the loudest nearby stays"
    )
    for axes, (name, values), marker in zip(figure.subplots(3, 1, sharex=True), rows.items(), "osD", strict=True):
        axes.vlines(np.arange(len(values)), 0, values.numpy(), color=BLUE, linewidth=1.4)
        axes.plot(values.numpy(), marker, color=BLUE, markersize=4)
        axes.set_ylabel(name, rotation=0, ha="right", va="center")
        axes.set_yticks([0, 1])
        hide_frame(axes, "top", "right")
    words = "three single sounds; each followed by fading echoes; the same as plateaus, one for each sound"
    return describe(figure, "A signal, convolved with a hall's echoes, then pooled", words)


show_forward = shown(draw_forward)


def draw_backward() -> Figure:
    """Problem 3: a kernel that is found by following gradients, here by the library's."""
    unknown = torch.tensor([0.0, 0.2, 1.0, -0.6, 0.4])
    signal = torch.randn(64, generator=torch.Generator().manual_seed(0))
    target = library_conv1d(signal, unknown)
    kernel, kernels = torch.zeros(5), []
    for _ in range(61):
        kernel.requires_grad_()
        kernels.append(kernel.detach())
        cost = (library_conv1d(signal, kernel) - target).square().mean()
        (gradient,) = torch.autograd.grad(cost, kernel)
        kernel = (kernel - 0.1 * gradient).detach()
    figure = canvas(7.6, 2.9)
    axes = figure.subplots()
    axes.set_title("Your gradients teach a layer the kernel that somebody else used", fontsize=11, loc="left")
    axes.bar(range(5), unknown.tolist(), color="none", edgecolor="black", hatch="//", label="the unknown kernel")
    looks = {0: (GREY, ":", "o"), 5: (ORANGE, "--", "s"), 60: (BLUE, "-", "D")}
    for step, (colour, dash, marker) in looks.items():
        axes.plot(kernels[step].tolist(), color=colour, linestyle=dash, marker=marker, label=f"after {step} steps")
    axes.set_xlabel("weight of the kernel")
    axes.set_xticks(range(5))
    figure.legend(frameon=False, loc="outside right center")
    hide_frame(axes, "top", "right")
    words = "all five weights start at 0, come nearer in 5 steps, and after 60 steps are those of the unknown kernel"
    return describe(figure, "Learning a kernel", words)


show_backward = shown(draw_backward)


def draw_classification() -> Figure:
    """Problem 2: a photo and the five most probable classes, without the numbers that the exercise asks for."""
    figure = canvas(MAX_WIDTH, 2.6, title="From a photo to its five most probable classes")
    picture, chart = figure.subplots(1, 2, width_ratios=(1, 2.1))
    picture.imshow(_tile(0))
    picture.set_xticks([])
    picture.set_yticks([])
    chart.barh(list(ROUGHLY), list(ROUGHLY.values()), color=BLUE)
    chart.invert_yaxis()
    chart.set_xlim(0, 1)
    chart.set_xticks([0, 1], ["impossible", "certain"])
    chart.tick_params(axis="y", length=0)
    hide_frame(chart, "top", "right", "left")
    words = f"{CORGI}; beside it, from the longest bar to the shortest: {', '.join(ROUGHLY)}"
    return describe(figure, "A photo and the classes that a trained network names, roughly", words)


show_classification = shown(draw_classification)


def draw_adversarial() -> Figure:
    """Problem 4: the photo, and what an attack on the course's robust network draws into it."""
    figure = canvas(5.4, 2.9, title="Your attack paints a tabby's stripes on a corgi")
    captions = ("the photo", "to the robust network: a tabby")
    for column, (axes, caption) in enumerate(zip(figure.subplots(1, 2), captions, strict=True)):
        axes.imshow(_tile(column))
        axes.set_xlabel(caption)
        axes.set_xticks([])
        axes.set_yticks([])
    words = (
        f"left, {CORGI}; right, the same photo after the attack, with dark stripes like a tabby cat's across "
        "the muzzle and the cheeks"
    )
    return describe(figure, "An attack on a robust network", words)


show_adversarial = shown(draw_adversarial)
