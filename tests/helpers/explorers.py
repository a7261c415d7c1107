"""An explorer as a call of `pset4.explore` builds it, and as the notebook gets it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from pset4.explore import attacks, backward, descent, photo, signals, step
from pset4.explore.explorer import Explorer


def built(monkeypatch: pytest.MonkeyPatch, call: Callable[[], None]) -> Explorer:
    """The explorer that a call would show."""
    shown: list[Explorer] = []
    for module in (attacks, backward, descent, photo, signals, step):
        monkeypatch.setattr(module, "show", lambda explorer, *, function: shown.append(explorer))
    call()
    return shown[0]


def displayed(monkeypatch: pytest.MonkeyPatch, call: Callable[[], None]) -> dict[str, Any]:
    """What a call displays: "html", "alt" and the page's "data"."""
    outputs: list[dict[str, str]] = []
    monkeypatch.setattr("IPython.display.display", lambda output, **options: outputs.append(output))
    monkeypatch.setattr("pset4.explore.explorer._listen", lambda explorer_id, explorer: None)
    call()
    html = outputs[0]["text/html"]
    found = re.search(r"^const data = (.*);$", html, re.MULTILINE)
    assert found
    return {"html": html, "alt": outputs[0]["text/plain"], "data": json.loads(found[1])}
