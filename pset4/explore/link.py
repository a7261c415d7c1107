"""The widget model that carries an explorer's questions to the kernel and its answers back."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets


class Link(anywidget.AnyWidget):
    """A model without a view. ipywidgets (7.6 and later) opens it in the page as soon as it is made here.

    Attributes:
        explorer: Id of the explorer in the page that it belongs to.
    """

    _esm = (Path(__file__).parent / "page" / "link.js").read_text(encoding="utf-8")
    explorer = traitlets.Unicode("").tag(sync=True)
