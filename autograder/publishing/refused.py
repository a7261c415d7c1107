"""What stops publishing."""

from __future__ import annotations


class Refused(Exception):
    """Nothing is published; the message says what was found, what was expected and what to do."""
