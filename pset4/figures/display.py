"""How every figure is made and shown: `draw_...` returns a matplotlib `Figure`, `show_...` displays the same figure.

The figure's label is its text alternative for screen readers. Colours are those of Okabe and Ito (2008), and no figure
needs them: bars, lines, cells and panels differ in hatching, marker, number or label as well.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image

from pset4.figures.waiting import open_names, what_is_open
from pset4.traces import ShortTrace, in_short

Parameters = ParamSpec("Parameters")

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#8A8A8A"
JPEG_QUALITY = 85
MAX_WIDTH = 8.6  # inches at 100 dpi: the text column of a notebook


def canvas(width: float, height: float, *, title: str = "", pad: float = 0.07) -> Figure:
    """An empty figure of that size in inches, which keeps its parts apart by at least `pad` inches."""
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(h_pad=pad))
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def describe(figure: Figure, title: str, words: str) -> Figure:
    """The figure with its text alternative."""
    figure.set_label(f"{title}: {words}" if title else words)
    return figure


def hide_frame(axes: Axes, *sides: str) -> None:
    """Leaves out the sides of the frame that carry no scale."""
    axes.spines[list(sides)].set_visible(False)


def encoded(figure: Figure) -> tuple[bytes, str]:
    """The figure as a PNG or, where that has less than 0.7 of its bytes, as a JPEG, and which of the two it is.

    Photos and magnified noise have a third of the bytes as a JPEG; charts, with their few colours, have more. The JPEG
    keeps every pixel's own colour, for neighbouring pixels of an attack's noise differ in nothing else.
    """
    drawn, png, jpeg = io.BytesIO(), io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=100)
    picture = Image.open(drawn).convert("RGB")
    picture.save(png, format="png")
    picture.save(jpeg, format="jpeg", quality=JPEG_QUALITY, subsampling=0, optimize=True)
    smaller = len(jpeg.getvalue()) < 0.7 * len(png.getvalue())
    return (jpeg.getvalue(), "jpeg") if smaller else (png.getvalue(), "png")


class NoFigure(ShortTrace):
    """A figure could not be drawn; most often a function that it calls is not right yet."""


def shown(draw: Callable[Parameters, Figure]) -> Callable[Parameters, None]:
    """The function that displays in the notebook, as a picture with a text alternative, what `draw` draws.

    Where an exercise that it needs is still open, it says so in one line.
    """

    @wraps(draw)
    def show(*arguments: Parameters.args, **options: Parameters.kwargs) -> None:
        from IPython.display import Image as Shown
        from IPython.display import display  # scripts that only draw do not need IPython

        try:
            figure = draw(*arguments, **options)
        except Exception as error:
            if waiting := what_is_open(error, open_names(sys._getframe(1))):
                print(f"This figure waits for {waiting}.")
                return
            raise NoFigure(in_short(f"`{show.__name__}` draws nothing", error)) from None
        data, kind = encoded(figure)
        display(Shown(data=data, format=kind, alt=str(figure.get_label())))

    show.__name__ = show.__qualname__ = draw.__name__.replace("draw_", "show_")
    return show
