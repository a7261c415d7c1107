"""Makes Formgrader's own pages harmless: its origin has terminals, and whoever acts in it acts as the grader.

nbgrader's configuration reaches the exporter of Formgrader only where Jupyter was started in the course's folder. And
three things are no matter of an exporter: names that its other pages print as they are, handed-in files that it serves
from its own origin, and a link that makes it run the configuration that stands in a submission.
"""

from __future__ import annotations

import copy
import html
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nbconvert.exporters import HTMLExporter
from nbformat import NotebookNode
from traitlets.config import Config

from autograder.engine.grader.pages import harmless, use_safe_pages

HANDLERS = "nbgrader.server_extensions.formgrader.handlers"
EXPORTER = "pset4_exporter"


class _Exporter(HTMLExporter):  # type: ignore[misc]
    """Looks at a notebook before nbconvert's own preprocessors do, which stop at a malformed one."""

    def from_notebook_node(self, nb: NotebookNode, resources: Any = None, **options: Any) -> tuple[str, Any]:
        page: tuple[str, Any] = super().from_notebook_node(harmless(nb), resources, **options)
        return page


def install() -> None:
    """Protects Formgrader in the process that serves it; does nothing elsewhere. A second call changes nothing."""
    handlers = sys.modules.get(HANDLERS)
    if handlers is None or hasattr(handlers.BaseHandler, "pset4_is_safe"):
        return
    base, files, start = handlers.BaseHandler, handlers.SubmissionFilesHandler, handlers.FormgraderHandler
    base.pset4_is_safe = True
    base.exporter = property(_exporter)
    base.render = _rendering(base.render)
    # A page that was handed in is shown, but in an origin of its own and without scripts.
    files.content_security_policy = property(lambda handler: "sandbox; default-src 'none'; img-src 'self' data:")
    start.get = _refusing_submissions(start.get)


def _exporter(handler: Any) -> HTMLExporter:
    """Formgrader's exporter with the safe settings, whatever configuration it was made with."""
    if EXPORTER not in handler.settings:
        config: Config = copy.deepcopy(handler.settings["nbgrader_exporter"].config)
        use_safe_pages(config)
        handler.settings[EXPORTER] = _Exporter(config=config)
    return handler.settings[EXPORTER]


def _rendering(render: Any) -> Any:
    """Formgrader's `render`, with every name escaped that it puts into a page."""

    def safe(handler: Any, name: str, **names: Any) -> Any:
        return render(handler, name, **_escaped(names))

    return safe


def _escaped(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _escaped(one) for key, one in value.items()}
    return html.escape(value) if isinstance(value, str) else value


def _refusing_submissions(get: Any) -> Any:
    """Formgrader's start page, which takes a course's folder from its address and runs the configuration in there."""

    def safe(handler: Any) -> Any:
        folder = handler.get_argument("path", "")
        if folder and _is_handed_in(Path(folder).resolve()):
            handler.log.error("%s holds what students handed in; it is not opened as a course", folder)
            handler.set_status(403)
            return handler.write_error(403)
        return get(handler)

    return safe


def _is_handed_in(folder: Path) -> bool:
    """Whether a folder lies among a course's submissions, or what was made of them."""
    steps = (place for place in (folder, *folder.parents) if place.name in ("submitted", "autograded", "feedback"))
    return any((place.parent / name).exists() for place in steps for name in ("nbgrader_config.py", "gradebook.db"))
