"""The end of every notebook's first cell, once the package is there."""

from __future__ import annotations

from contextlib import suppress
from importlib import metadata


def prepare() -> None:
    """Switches on what Colab keeps off, and says that the notebook can begin; it may be called again and again."""
    with suppress(ImportError, AttributeError):  # anywhere else
        from google.colab import output

        output.enable_custom_widget_manager()
    from IPython import get_ipython

    shell = get_ipython()
    if shell is not None:
        shell.set_custom_exc((), None)  # a first try without the package had errors shown in one line
    print(f"The course's package is ready (pset4 {metadata.version('pset4')}).")
