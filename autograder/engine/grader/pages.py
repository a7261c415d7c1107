"""Makes nbconvert's pages harmless: feedback pages, and Formgrader's, whose origin has terminals.

A page holds words, pictures and outputs of strangers. nbgrader's templates print most of them as they come. So whatever
is rendered passes an allow-list of tags, attributes and URL schemes afterwards (`clean`), and whatever templates print
without rendering is given the form that it should have before (`harmless`). Both reach every `HTMLExporter` through its
configuration; Formgrader's own pages are seen to in `autograder.engine.grader.formgrader`.
"""

from __future__ import annotations

import html
import re
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import nbformat
import nh3
from jinja2 import pass_context
from jinja2.runtime import Context
from mistune.util import striptags
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbconvert.preprocessors import Preprocessor
from nbformat import NotebookNode
from pygments.token import STANDARD_TYPES
from traitlets.config import Config

Json = dict[str, Any]

# Markdown is read with patterns whose time grows with the square of the length. Beyond these, text is shown as it is.
MAX_RENDERED = 40_000
PAGE_SECONDS = 20.0

PICTURES = ("image/png", "image/jpeg", "image/gif")
# The one picture that the course's own text takes from elsewhere. Others would tell a stranger who reads what and when.
PICTURE_ADDRESSES = ("https://colab.research.google.com/assets/",)
_PICTURE = re.compile(r"data:image/(?:png|jpe?g|gif);base64,[A-Za-z0-9+/=\s]+")
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*")
_LENGTH = re.compile(r"\d{1,4}%?")
_ALIGNMENT = re.compile(r"text-align:\s*(?:left|right|center);?")
_ADDRESS = re.compile(r"[^\s\x00-\x1f\\<>\"]+")
_HOST = re.compile(r"(?:[\w-]+\.)+(?!local)[^\W\d][\w-]*\.?")  # no number, and nothing that names this machine
_GRADE_ID = re.compile(r"[\w .:-]{1,200}")
_CELL_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CHECKBOX = re.compile(r'<input class="task-list-item-checkbox" type="checkbox" disabled(?P<done> checked)?\s*/?>')

ID_PREFIX = "text-"  # an id of a student's must not hide one that a page's scripts look for
_TAGS = set(nh3.ALLOWED_TAGS) - {"area", "map"}
_WITH_CONTENT = {"script", "style", "svg", "math", "template", "iframe", "object", "select", "textarea", "title"}
_ATTRIBUTES = {
    "*": {"id", "title", "lang", "dir"},
    "a": {"href"},
    "img": {"src", "alt", "width", "height"},
    "ol": {"start"},
    "td": {"style", "colspan", "rowspan"},
    "th": {"style", "colspan", "rowspan"},
}
_COLOURS = frozenset(STANDARD_TYPES.values()) - {""}
_CLASSES = {
    "span": set(_COLOURS),
    "div": {"highlight"},
    "a": {"anchor-link"},
    "table": {"dataframe"},
}


def clean(text: Any) -> str:
    """HTML with nothing in it that acts: what is on no list goes, the words stay.

    Args:
        text: HTML of a stranger, as text or as UTF-8.

    Returns:
        HTML whose links lead to public https addresses, mail or within the page, and whose pictures are in the page.
    """
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else _text(str(text))
    return _cleaner().clean(text)


def _cleaner() -> nh3.Cleaner:
    return nh3.Cleaner(
        tags=_TAGS,
        clean_content_tags=_WITH_CONTENT,
        attributes=_ATTRIBUTES,
        attribute_filter=_attribute,
        allowed_classes=_CLASSES,
        url_schemes={"https", "mailto", "data"},
        link_rel="noopener noreferrer nofollow",
    )


def _attribute(tag: str, name: str, value: str) -> str | None:
    """The value that an attribute may have, or None."""
    if name == "href":
        return _link(value)
    if name == "src":
        return value if _PICTURE.fullmatch(value) or value.startswith(PICTURE_ADDRESSES) else None
    if name == "id":
        return ID_PREFIX + value
    if name in ("width", "height", "colspan", "rowspan", "start"):
        return value if _LENGTH.fullmatch(value) else None
    if name == "style":
        return value if _ALIGNMENT.fullmatch(value) else None
    return value


def _link(address: str) -> str | None:
    """An address that a click may open.

    A relative one, or one on this machine, could open a page that the student has handed in, or one of Jupyter's, in
    Formgrader's origin and with the reader's rights.
    """
    if address.startswith("#"):
        return "#" + ID_PREFIX + address[1:]
    if not _ADDRESS.fullmatch(address):
        return None
    if address.lower().startswith("mailto:"):
        return address
    try:
        parts = urlsplit(address)
        host, has_port = parts.hostname or "", parts.port not in (None, 443)
    except ValueError:
        return None
    is_public = _HOST.fullmatch(host) and not has_port and "@" not in parts.netloc
    return address if parts.scheme == "https" and is_public else None


@pass_context
def safe_markdown(context: Context, source: Any) -> str:
    """nbconvert's `markdown2html`, cleaned; whatever the text is, there is a page.

    Args:
        context: The template's variables: the cell with its attachments, and the page's resources.
        source: Markdown of a cell, an output or a comment.
    """
    resources = context.get("resources", {})
    text, spent = str(source or ""), resources.get("markdown_seconds", 0.0)
    if len(text) > MAX_RENDERED or spent > PAGE_SECONDS:
        return as_it_is(text)
    cell, started = context.get("cell", {}), time.process_time()
    attachments = cell.get("attachments", {}) if isinstance(cell, Mapping) else {}
    try:
        return render(text, attachments)
    except Exception:  # the parser's own faults, its recursion above all: the words are worth more than their form
        return as_it_is(text)
    finally:
        resources["markdown_seconds"] = spent + time.process_time() - started


def render(source: str, attachments: Mapping[str, Mapping[str, str]]) -> str:
    """Markdown as HTML that does nothing.

    Args:
        source: The text.
        attachments: Pictures that are pasted into it: name -> MIME type -> base64 text.
    """
    rendered = MarkdownWithMath(renderer=_Renderer(escape=False, attachments=attachments)).render(source)
    return clean(_CHECKBOX.sub(lambda box: "☑ " if box["done"] else "☐ ", rendered))


def as_it_is(text: str) -> str:
    """Text that is shown letter by letter."""
    return f"<pre>{html.escape(text)}</pre>"


class _Renderer(IPythonRenderer):  # type: ignore[misc]
    """nbconvert's renderer, but a picture that is not there is said to be missing; nbconvert stops at it."""

    def image(self, text: str, url: str, title: str | None = None) -> str:
        """A picture of the page, or words in its place."""
        text = html.unescape(striptags(text))
        if url.startswith("attachment:"):
            name = url.removeprefix("attachment:")
            address = self._attached(name) or self._attached(unquote(name))
            if not address:
                return html.escape(missing_picture(unquote(name)))
            url = address
        elif not url.startswith(("data:", *PICTURE_ADDRESSES)):
            return f'<a href="{html.escape(url)}">[picture: {html.escape(text or url)}]</a>'
        hint = f' title="{html.escape(title)}"' if title else ""
        return f'<img src="{html.escape(url)}" alt="{html.escape(text)}"{hint}>'

    def _attached(self, name: str) -> str:
        bundle = self.attachments.get(name, {})
        return next((f"data:{mime};base64,{bundle[mime]}" for mime in PICTURES if mime in bundle), "")


def missing_picture(name: str) -> str:
    """What stands in the place of a picture that is not there."""
    return f"[picture {name[:80]} is missing]"


class Harmless(Preprocessor):  # type: ignore[misc]
    """Gives a notebook the form that templates rely on, before they print its parts without looking at them."""

    enabled = True

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        """The harmless notebook, and resources whose names are escaped."""
        for name in ("student", "last_name", "first_name", "notebook_path", "notebook_id", "assignment_id"):
            if isinstance(resources.get(name), str):
                resources[name] = html.escape(resources[name])
        return harmless(nb), resources


def harmless(notebook: Mapping[str, Any]) -> NotebookNode:
    """A notebook of which only known parts are left, each of the type and form that it should have."""
    cells = [_cell(cell, n) for n, cell in enumerate(notebook.get("cells", [])) if isinstance(cell, Mapping)]
    metadata = {"language_info": {"name": "python", "pygments_lexer": "ipython3"}}
    whole: NotebookNode = nbformat.from_dict({"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": cells})
    return whole


def _cell(cell: Mapping[str, Any], number: int) -> Json:
    kind, source, name = cell.get("cell_type"), _text(cell.get("source")), _text(cell.get("id"))
    known: Json = {
        "cell_type": kind,
        "id": name if _CELL_ID.fullmatch(name) else f"cell-{number}",
        "metadata": _metadata(cell.get("metadata")),
        "source": source,
    }
    if kind == "code":
        outputs = cell.get("outputs")
        known["execution_count"] = _count(cell.get("execution_count"))
        known["outputs"] = [o for o in map(_output, outputs if isinstance(outputs, list) else []) if o]
    elif kind == "markdown":
        known["attachments"] = _attachments(cell.get("attachments"))
    else:  # a raw cell would be printed as HTML
        known["cell_type"], known["source"] = "markdown", "\n".join(f"    {line}" for line in source.splitlines())
    return known


def _metadata(given: Any) -> Json:
    """What templates and graders need: nbgrader's marks and the engine's."""
    given = given if isinstance(given, Mapping) else {}
    marks, engine = given.get("nbgrader"), given.get("pset4")
    kept: Json = {}
    if isinstance(marks, Mapping) and _GRADE_ID.fullmatch(_text(marks.get("grade_id"))):
        flags = {name: bool(marks.get(name)) for name in ("grade", "solution", "task", "locked")}
        kept["nbgrader"] = {"grade_id": marks["grade_id"], "points": _number(marks.get("points")), **flags}
    if isinstance(engine, Mapping):
        kept["pset4"] = {key: value for key, value in engine.items() if isinstance(value, str)}
    if isinstance(given.get("alt"), str):
        kept["alt"] = given["alt"]
    return kept


def _output(output: Any) -> Json | None:
    kind = output.get("output_type") if isinstance(output, Mapping) else None
    if kind == "stream":
        name = output.get("name") if output.get("name") in ("stdout", "stderr") else "stdout"
        return {"output_type": kind, "name": name, "text": _text(output.get("text"))}
    if kind in ("display_data", "execute_result"):
        count = {"execution_count": _count(output.get("execution_count"))} if kind == "execute_result" else {}
        return {"output_type": kind, "data": _data(output.get("data")), "metadata": _sizes(output), **count}
    if kind == "error":
        lines = output.get("traceback")
        traceback = [_text(line) for line in lines] if isinstance(lines, list) else []
        name, value = _text(output.get("ename")), _text(output.get("evalue"))
        return {"output_type": kind, "ename": name, "evalue": value, "traceback": traceback or [f"{name}: {value}"]}
    return None


def _data(bundle: Any) -> Json:
    """A display without what runs: scripts, widgets and their like are left out."""
    bundle = bundle if isinstance(bundle, Mapping) else {}
    texts = ("text/plain", "text/html", "text/markdown", "text/latex", "image/svg+xml")
    kept = {mime: _text(bundle[mime]) for mime in texts if mime in bundle}
    return kept | _pictures(bundle)


def _pictures(bundle: Mapping[str, Any]) -> Json:
    pictures = {mime: _text(bundle[mime]) for mime in PICTURES if mime in bundle}
    return {mime: data for mime, data in pictures.items() if _BASE64.fullmatch(data)}


def _sizes(output: Mapping[str, Any]) -> Json:
    """Width, height and description of a picture: the first two are printed outside of quotation marks."""
    metadata = output.get("metadata")
    found: Json = {}
    for about in (metadata, *(metadata.values() if isinstance(metadata, Mapping) else ())):
        if isinstance(about, Mapping):
            found |= {k: int(v) for k in ("width", "height") if 0 < (v := _number(about.get(k))) < 10_000}
            found |= {"alt": about["alt"]} if isinstance(about.get("alt"), str) else {}
    return found


def _attachments(attached: Any) -> Json:
    bundles = attached.items() if isinstance(attached, Mapping) else ()
    kept = {name: _pictures(bundle) for name, bundle in bundles if isinstance(bundle, Mapping)}
    return {name: pictures for name, pictures in kept.items() if pictures}


def _text(value: Any) -> str:
    if isinstance(value, list):
        value = "".join(line for line in value if isinstance(line, str))
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""  # no lone surrogates


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < 10**9 else None


def _number(value: Any) -> float:
    return float(value) if type(value) in (int, float) and abs(value) < 10**9 else 0.0


FILTERS = {
    "markdown2html": "autograder.engine.grader.pages.safe_markdown",
    "clean_html": "autograder.engine.grader.pages.clean",
    # It would take "files/" off an address that has been looked at: href="files/javascript:..."
    "strip_files_prefix": "autograder.engine.grader.pages.unchanged",
}


def unchanged(text: str) -> str:
    """A filter that does nothing."""
    return text


def use_safe_pages(c: Config) -> None:
    """Makes every page that nbconvert renders with this configuration harmless; call it in `nbgrader_config.py`.

    Args:
        c: nbgrader's configuration.
    """
    c.HTMLExporter.filters = dict(FILTERS)
    c.HTMLExporter.preprocessors = ["autograder.engine.grader.pages.Harmless"]
    c.HTMLExporter.sanitize_html = True
    c.HTMLExporter.embed_images = False  # it reads whatever file a text names
