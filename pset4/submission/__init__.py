"""Handing in: what is still open, one zip of the four notebooks, and a report to read on paper."""
