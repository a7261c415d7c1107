"""What a notebook's cells show, read from the notebook."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Json = dict[str, Any]
PICTURES = ("image/png", "image/jpeg")


def joined(text: str | list[str]) -> str:
    """Text, which a notebook may keep line by line."""
    return text if isinstance(text, str) else "".join(text)


def outputs(cells: Iterable[Json]) -> list[Json]:
    """All outputs of all cells."""
    return [output for cell in cells for output in cell.get("outputs", [])]


def words(cells: Iterable[Json]) -> str:
    """All that the cells print, and what stands for their displays."""
    said = [o.get("text") or o.get("data", {}).get("text/plain", "") for o in outputs(cells)]
    return "\n".join(map(joined, said))


def errors(cells: Iterable[Json]) -> list[str]:
    """Errors that cells ended with, each in one line."""
    return [f"{o['ename']}: {o['evalue']}" for o in outputs(cells) if o["output_type"] == "error"]


def pictures(cells: Iterable[Json]) -> list[str]:
    """Text alternatives of all pictures, "" where there is none."""
    return [
        _alternative(output, mime) for output in outputs(cells) for mime in PICTURES if mime in output.get("data", {})
    ]


def _alternative(output: Json, mime: str) -> str:
    metadata = output.get("metadata", {})
    return metadata.get(mime, {}).get("alt") or metadata.get("alt", "")


def pages(cells: Iterable[Json]) -> list[str]:
    """The HTML of all explorers."""
    shown = [joined(o["data"]["text/html"]) for o in outputs(cells) if "text/html" in o.get("data", {})]
    return [page for page in shown if 'class="pset4-explorer"' in page]


def stills(cells: Iterable[Json]) -> list[str]:
    """Text alternatives of the explorers' stills."""
    return pictures({"outputs": [output]} for output in outputs(cells) if pages([{"outputs": [output]}]))


def widgets(cells: Iterable[Json]) -> int:
    """How many displays need a kernel's widget; without it, each would be an error box."""
    return sum("application/vnd.jupyter.widget-view+json" in o.get("data", {}) for o in outputs(cells))
