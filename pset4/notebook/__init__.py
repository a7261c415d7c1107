"""What the notebooks need round their exercises: their setup, and one notebook's functions in another."""

from pset4.notebook.setup import prepare

__all__ = ["prepare"]
