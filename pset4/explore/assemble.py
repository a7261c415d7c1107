"""The HTML of an explorer: a still, and below it the script that brings it to life."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "page"
OFFLINE = "Nothing moves? Run this cell again: dragging needs the notebook's kernel."
STILL = "Run this cell in a notebook, and you can drag what you see here."


def assemble(kind: str, title: str, data: dict[str, Any], picture: str, alt: str) -> str:
    """One explorer as HTML.

    Args:
        kind: Which drawing: `page/<kind>.js`.
        title: Heading.
        data: Id, controls, state, frames and constants, as JSON can hold them.
        picture: The still, as a data URL.
        alt: Its text alternative.
    """
    # Inside a script element nothing may look like its end.
    content = json.dumps({**data, "offline": OFFLINE}, separators=(",", ":")).replace("<", "\\u003c")
    core, drawing, style = (_read(name) for name in ("core.js", f"{kind}.js", "explorer.css"))
    return f"""<div class="pset4-explorer" id="{data["id"]}" role="group" aria-label="{html.escape(title)}">
<style>{style}</style>
<div class="pset4-title">{html.escape(title)}</div>
<figure class="pset4-still" style="margin:0"><img src="{picture}" alt="{html.escape(alt)}">
<figcaption>{STILL}</figcaption></figure>
</div>
<script>(() => {{
{core}
const draw = {drawing.strip().rstrip(";")};
const data = {content};
// A notebook may run the script before the cell stands in the page.
const start = (left) => {{
  const root = document.getElementById(data.id);
  if (root && !root.querySelector(".pset4-live")) pset4Explorer(root, data, draw);
  else if (!root && left) setTimeout(start, 500, left - 1);
}};
start(1000);
}})();</script>"""


def _read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
