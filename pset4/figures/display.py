"""Shows a figure in the notebook, without the networks and class names that problems 1 and 3 need not wait for."""

from __future__ import annotations

import io

from matplotlib.figure import Figure


def present(figure: Figure, alt: str) -> None:
    """Displays a figure in the notebook as a PNG with a text alternative.

    Args:
        figure: Any matplotlib figure.
        alt: What a reader who cannot see the figure should know.
    """
    from IPython.display import Image, display  # scripts that only draw do not need IPython

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    display(Image(data=buffer.getvalue(), alt=alt))
