"""Nothing that a student writes acts in a reader's browser: in feedback pages, and in Formgrader's."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import graded_course as graded
import nbformat
import pytest
from bs4 import BeautifulSoup
from graded_course import ASSIGNMENT, NOTEBOOK, GradedCourse
from lab_pages import free_port, open_chromium, wait_for
from nbconvert.exporters import HTMLExporter
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell
from nbgrader.converters import GenerateFeedback as StockFeedback
from nbgrader.coursedir import CourseDirectory
from playwright.sync_api import Browser, Page
from traitlets.config import Config

from autograder.course.folders import REPOSITORY
from autograder.engine.grader import pages
from autograder.engine.grader.feedback import GenerateFeedback
from autograder.engine.grader.pages import clean, harmless, render

HACK = "window.hacked=1"
ENTITIES = "".join(f"&#{ord(sign)};" for sign in f"javascript:{HACK}")
SVG = base64.b64encode(f'<svg xmlns="http://www.w3.org/2000/svg" onload="{HACK}"/>'.encode()).decode()
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

MARKDOWN = {
    "link": f"[x](javascript:{HACK})",
    "capitals": f"[x](JaVaScRiPt:{HACK})",
    "entities in a link": f"[x]({ENTITIES})",
    "entities without an end": f'<a href="{ENTITIES.replace(";", "")}">x</a>',
    "newline in a scheme": f'<a href="java&#10;script:{HACK}">x</a>',
    "tab in a scheme": f'<a href="java\tscript:{HACK}">x</a>',
    "control code in front": f'<a href="&#1;javascript:{HACK}">x</a>',
    "reference": f"[x][1]\n\n[1]: javascript:{HACK}",
    "angle brackets": f"<javascript:{HACK}>",
    "data link": f"[x](data:text/html;base64,{base64.b64encode(f'<script>opener.{HACK}</script>'.encode()).decode()})",
    "vbscript": f"[x](vbscript:{HACK})",
    "files prefix": f'<a href="files/javascript:{HACK}">x</a>',
    "files prefix twice": f'<a href="/files/files/javascript:{HACK}">x</a>',
    "files prefix in markdown": f"[x](files/javascript:{HACK})",
    "script": f"<script>{HACK}</script>",
    "script in a word": f"<scr<script>ipt>{HACK}</scr</script>ipt>",
    "module": f"<script type=module>{HACK}</script>",
    "event": f"<img src=x onerror={HACK}>",
    "event without blanks": f"<img/src=x/onerror={HACK}>",
    "pointer": f"<b onclick={HACK} onmouseover={HACK} onfocus={HACK} tabindex=0>x</b>",
    "details": f"<details open ontoggle={HACK}><summary>x</summary>y</details>",
    "svg": f"<svg onload={HACK}><a xlink:href='javascript:{HACK}'><text y=20>x</text></a></svg>",
    "svg picture": f"![x](data:image/svg+xml;base64,{SVG})",
    "svg animation": f"<svg><animate onbegin={HACK} attributeName=x dur=1s></svg>",
    "math": f"<math><mtext><mglyph><style><img src=x onerror={HACK}></style></mglyph></mtext></math>",
    "mutation": f'<noscript><p title="</noscript><img src=x onerror={HACK}>"></noscript>',
    "mutation in a comment": f"<!--><img src=x onerror={HACK}>-->",
    "mutation in a title": f"<p title='</p><img src=x onerror={HACK}>'>x</p>",
    "mutation in a text area": f'<textarea><img title="</textarea><img src=x onerror={HACK}>"></textarea>',
    "style": f"<style>@import 'javascript:{HACK}';</style><p style='background:url(javascript:{HACK})'>x</p>",
    "overlay": "<a style='position:fixed;inset:0;z-index:9999' href='#x' class='navbar-fixed-top'>x</a>",
    "frame": f"<iframe src='javascript:parent.{HACK}' srcdoc='<script>parent.{HACK}</script>'></iframe>",
    "object": f"<object data='javascript:{HACK}'></object><embed src='javascript:{HACK}'>",
    "form": f"<form action='javascript:{HACK}'><input type=submit></form>",
    "button": f"<form><button formaction='javascript:{HACK}'>x</button></form>",
    "input": f"<input autofocus onfocus={HACK}>",
    "refresh": f"<meta http-equiv=refresh content='0;url=javascript:{HACK}'>",
    "base": "<base href='https://example.org/'>",
    "stylesheet": "<link rel=stylesheet href='https://example.org/x.css'>",
    "clobbered id": "<a id=base_url href=#>x</a><a id=words href=#>y</a><img name=submission_id>",
    "data attribute": f"<a data-link='javascript:{HACK}'>x</a>",
    "tooltip": f"<a data-toggle=tooltip data-html=true title='<img src=x onerror={HACK}>'>x</a>",
    "heading": f"# <img src=x onerror={HACK}> [x](javascript:{HACK})",
    "code fence": f'```"><img src=x onerror={HACK}>\ny\n```',
    "mermaid": f"```mermaid\n</pre><img src=x onerror={HACK}>\n```",
    "mathematics": f"$<img src=x onerror={HACK}>$ $$</p><script>{HACK}</script>$$",
    "environment": f"\\begin{{a}}<img src=x onerror={HACK}>\\end{{a}}",
    "alternative text": f'!["><img src=x onerror={HACK}>](data:image/png;base64,{DOT})',
    "title of a picture": f"![x](data:image/png;base64,{DOT} '\"onload={HACK} x=\"')",
    "name of a picture": f"![x](attachment:<img src=x onerror={HACK}>)",
    "page that was handed in": "[x](evil.html) <a href=evil.html target=_top>y</a> [z](./evil.html)",
    "other schemes": "[x](file:///etc/passwd) [y](blob:x) [z](view-source:x)",
    "this machine": "[x](//127.0.0.1/x) [y](https://localhost:8888/x) [z](http://[::1]/) [w](https://0x7f.1/)",
    "start page": "[x](/formgrader?path=submitted/ada/pset4)",
}


def result(data: dict[str, Any], metadata: dict[str, Any] | None = None) -> Any:
    cell = new_code_cell("1")
    cell.outputs = [new_output("display_data", data=data, metadata=metadata or {})]
    return cell


def hostile_cells() -> list[Any]:
    """Cells as a kernel that nobody watches could leave them."""
    bad = f'"><img src=x onerror={HACK}>'
    counted = new_code_cell("1", outputs=[new_output("execute_result", data={"text/plain": bad}, execution_count=1)])
    counted["execution_count"] = counted.outputs[0]["execution_count"] = bad
    marked = new_code_cell("1", metadata={"nbgrader": {"grade_id": bad, "grade": True}, "tags": [bad]})
    named = new_code_cell("1")
    named["id"] = bad
    unknown = new_code_cell("1")
    unknown["cell_type"] = bad
    failed = new_output("error", ename=bad, evalue=bad, traceback=[bad, f"\x1b[31m{bad}"])
    return [
        result({"text/html": f"{bad}<script>{HACK}</script>"}),
        result({"text/html": f"<script>parent.{HACK}</script>"}, {"text/html": {"isolated": True}}),
        result({"text/markdown": MARKDOWN["link"] + MARKDOWN["event"]}),
        result({"text/latex": bad}),
        result(
            {"image/svg+xml": f"<svg xmlns='http://www.w3.org/2000/svg' onload={HACK}><script>{HACK}</script></svg>"}
        ),
        result({"application/javascript": HACK}),
        result({"application/vnd.jupyter.widget-view+json": {"model_id": bad}}),
        result({"image/png": DOT}, {"image/png": {"width": f"1 onload={HACK}", "height": bad, "alt": bad}}),
        result({"image/png": f'{DOT}" onload="{HACK}'}),
        result({"image/png": DOT}, {"filenames": {"image/png": bad}}),
        new_code_cell(bad, outputs=[new_output("stream", text=bad), failed]),
        new_raw_cell(bad),
        new_raw_cell(bad, metadata={"raw_mimetype": "text/html"}),
        new_markdown_cell(bad, attachments={bad: {"image/png": bad}}),
        *[counted, marked, named, unknown],
    ]


def hostile_notebook() -> Any:
    own = [new_markdown_cell(f"marker-{n}\n\n{text}") for n, text in enumerate(MARKDOWN.values())]
    notebook = graded.notebook("\n\n".join(MARKDOWN.values()), own=[*own, *hostile_cells()])
    bad = f'"><img src=x onerror={HACK}>'
    notebook.metadata = nbformat.from_dict({"language_info": {"name": bad, "pygments_lexer": bad}, "title": bad})
    return notebook


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_chromium() as browser:
        yield browser


STUDENT = f"<img src=x onerror={HACK}>"


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> GradedCourse:
    course = GradedCourse(tmp_path_factory.mktemp("jupyter") / "course")
    with pytest.MonkeyPatch.context() as patch:
        course.make(patch)
    course.grade(STUDENT)
    path = course.folder(STUDENT) / f"{NOTEBOOK}.ipynb"
    path.write_text(json.dumps(hostile_notebook()), encoding="utf-8")
    (course.folder(STUDENT) / "evil.html").write_text(f"<script>document.title = 'hacked'; {HACK}</script>")
    course.score(STUDENT, comment="\n\n".join(MARKDOWN.values()))
    return course


def write_page(course: GradedCourse, kind: type) -> Path:
    c = Config()
    c.CourseDirectory.root, c.CourseDirectory.course_id = str(course.root), "small"
    c.BaseConverter.force = True
    pages.use_safe_pages(c)
    folder = CourseDirectory(config=c)
    folder.assignment_id = ASSIGNMENT
    kind(coursedir=folder, config=c).start()
    return course.page(STUDENT)


class Watch:
    """Opens pages, touches everything in them, and notes whatever ran or was opened."""

    def __init__(self, browser: Browser, *, allowed: str = "") -> None:
        self.context = browser.new_context()
        self.context.route(re.compile("^https?://(?!127[.])"), lambda route: route.abort())
        self.events: list[str] = []
        self.allowed = allowed
        self.context.on("page", lambda page: self.events.append(f"opened {page.url}") if self.opened else None)
        self.context.on("dialog", self._dialog)
        self.opened = False

    def _dialog(self, dialog: Any) -> None:
        self.events.append(f"dialog {dialog.message}")
        dialog.dismiss()

    def visit(self, address: str) -> Page:
        page = self.context.new_page()
        page.goto(address, wait_until="load")
        self.opened = True
        return page

    def touch_everything(self, page: Page, scope: str = "body") -> None:
        """Every event that a payload may wait for, and a click on every link of the scope."""
        page.evaluate(
            """scope => {
                const names = ["mouseover", "mouseenter", "focus", "focusin", "toggle", "load", "error", "keydown",
                               "pointerover", "animationstart", "begin", "submit", "input", "change"];
                for (const element of document.querySelectorAll(scope + " *")) {
                    for (const name of names) element.dispatchEvent(new Event(name, {bubbles: false}));
                    if (!(element instanceof HTMLAnchorElement) || element.href.startsWith("javascript:"))
                        if (element.click && !element.closest("button, .btn, a[href]")) element.click();
                }
            }""",
            scope,
        )

    def addresses(self, page: Page, scope: str = "body") -> list[str]:
        return [
            str(a)
            for a in page.eval_on_selector_all(f"{scope} [href]", "all => all.map(a => a.href.baseVal ?? a.href)")
        ]

    def close(self) -> None:
        self.context.close()


def assert_nothing_ran(watch: Watch, page: Page, address: str, scope: str) -> None:
    watch.touch_everything(page, scope)
    assert page.evaluate("window.hacked") is None
    assert watch.events == []
    assert page.url == address
    for link in watch.addresses(page, scope):
        assert link.startswith((f"{address}#", "https://", "mailto:")), link
    for selector in ("script", "iframe", "object", "embed", "form", "meta", "base", "link", "svg", "style"):
        assert page.locator(f"{scope} {selector}").count() == 0, selector
    assert (
        page.evaluate(
            "scope => [...document.querySelectorAll(scope + ' *')].flatMap(e => [...e.attributes])"
            ".filter(a => a.name.startsWith('on')).map(a => a.name)",
            scope,
        )
        == []
    )


@pytest.mark.parametrize("kind", [GenerateFeedback, StockFeedback], ids=["ours", "nbgrader's own"])
def test_nothing_acts_in_a_feedback_page(browser: Browser, course: GradedCourse, kind: type) -> None:
    page_file = write_page(course, kind)
    text = page_file.read_text(encoding="utf-8")
    for number in range(len(MARKDOWN)):
        assert f"marker-{number}" in text
    watch = Watch(browser)
    try:
        address = page_file.as_uri()
        page = watch.visit(address)
        assert_nothing_ran(watch, page, address, "#notebook-container")
        for link in page.locator("#notebook-container a[href]").all():
            if link.is_visible() and (link.get_attribute("href") or "").startswith("#"):
                link.click(timeout=2_000)
        assert page.evaluate("window.hacked") is None
    finally:
        watch.close()


@pytest.fixture(scope="module")
def jupyter(course: GradedCourse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Formgrader, served for the course; its token is off, as the browser has no password to type."""
    port = free_port()
    home = tmp_path_factory.mktemp("home")
    environment = os.environ | {
        "PYTHONPATH": str(REPOSITORY),
        "HOME": str(home),
        "JUPYTER_CONFIG_DIR": str(home),
        "JUPYTER_DATA_DIR": str(home),
        "JUPYTER_RUNTIME_DIR": str(home),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    options = ["--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}", "--IdentityProvider.token="]
    extension = "--ServerApp.jpserver_extensions={'nbgrader.server_extensions.formgrader': True}"
    command = [sys.executable, "-m", "jupyter", "server", *options, extension]
    with (home / "log").open("wb") as log:
        # Started above the course, where no configuration of ours is found: the course is opened by its address.
        server = subprocess.Popen(command, cwd=course.root.parent, env=environment, stdout=log, stderr=log)
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(f"{address}/api", server, home / "log", tries=600)
        urllib.request.urlopen(f"{address}/formgrader?path={course.root}", timeout=60).read()
        yield address
    finally:
        server.terminate()
        server.wait(30)


def test_nothing_acts_in_formgrader(browser: Browser, course: GradedCourse, jupyter: str) -> None:
    address = f"{jupyter}/formgrader/submissions/{course.submission_id(STUDENT)}/"
    watch = Watch(browser)
    try:
        page = watch.visit(address)
        assert page.locator("textarea.comment").count() == 2
        assert "marker-0" in page.inner_text("#notebook-container")
        watch.touch_everything(page)
        assert page.evaluate("window.hacked") is None
        assert page.evaluate("typeof base_url") == "string"  # no picture or link stands in its place
        assert page.evaluate("document.getElementById('words').tagName") == "INPUT"
        for cell in page.locator(".text_cell_render").all():
            for link in cell.locator("[href]").all():
                assert re.match(r"#|https://|mailto:", link.get_attribute("href") or ""), link.get_attribute("href")
        assert watch.events == []
    finally:
        watch.close()


@pytest.mark.parametrize(
    "place",
    [
        "manage_students",
        f"manage_students/{urllib.parse.quote(STUDENT, safe='')}",
        f"manage_students/{urllib.parse.quote(STUDENT, safe='')}/{ASSIGNMENT}",
        f"manage_submissions/{ASSIGNMENT}",
        f"gradebook/{ASSIGNMENT}/{NOTEBOOK}",
        "manage_students/%22%3Bwindow.hacked%3D1%3B%22",
        "manage_students/%3C%2Fscript%3E%3Cscript%3Ewindow.hacked%3D1%3C%2Fscript%3E",
    ],
)
def test_names_do_not_act_in_formgrader(browser: Browser, jupyter: str, place: str) -> None:
    watch = Watch(browser)
    try:
        page = watch.visit(f"{jupyter}/formgrader/{place}")
        page.wait_for_load_state("networkidle")
        watch.touch_everything(page)
        assert page.evaluate("window.hacked") is None
        assert watch.events == []
    finally:
        watch.close()


def test_a_page_that_was_handed_in_does_not_act_in_formgrader(
    browser: Browser, course: GradedCourse, jupyter: str
) -> None:
    watch = Watch(browser)
    try:
        page = watch.visit(f"{jupyter}/formgrader/submissions/{course.submission_id(STUDENT)}/evil.html")
        assert page.title() != "hacked"
    finally:
        watch.close()


def test_what_was_handed_in_is_not_opened_as_a_course(course: GradedCourse, jupyter: str) -> None:
    folder, trace = course.root / "submitted" / "ada" / ASSIGNMENT, course.root.parent / "it-ran"
    folder.mkdir(parents=True)
    (folder / "nbgrader_config.py").write_text(f"open({str(trace)!r}, 'w').close()")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{jupyter}/formgrader?path={urllib.parse.quote(str(folder))}", timeout=60)
    assert refused.value.code == 403
    assert not trace.exists()


def exported(cell: Any) -> str:
    c = Config()
    pages.use_safe_pages(c)
    return str(HTMLExporter(config=c, template_name="classic").from_notebook_node(new_notebook(cells=[cell]))[0])


@pytest.mark.parametrize("mime", ["png", "jpeg"])
def test_figures_stay_with_their_text_alternatives(mime: str) -> None:
    figure = new_output("display_data", {f"image/{mime}": DOT}, metadata={f"image/{mime}": {"alt": "a dog's <face>"}})
    page = exported(new_code_cell("show()", outputs=[figure]))
    assert 'alt="a dog\'s &lt;face&gt;"' in page or 'alt="a dog&#39;s &lt;face&gt;"' in page


@pytest.mark.parametrize("mime", ["png", "jpeg", "gif"])
def test_pictures_stay_with_their_descriptions(mime: str) -> None:
    source = f"![a dog](data:image/{mime};base64,{DOT}) ![a *cat*](attachment:my%20pic.png)"
    cell = new_markdown_cell(source, attachments={"my pic.png": {f"image/{mime}": DOT}})
    page = exported(cell)
    assert page.count(f'src="data:image/{mime};base64,{DOT}"') == 2
    assert 'alt="a dog"' in page
    assert 'alt="a cat"' in page


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("$a < b & c > d$", "$a &lt; b &amp; c &gt; d$"),
        ("$$\\|x\\|_2 <\n\\epsilon & 1$$", "$$\\|x\\|_2 &lt;\n\\epsilon &amp; 1$$"),
        (r"\\(x_i<y_j\\)", "$x_i&lt;y_j$"),
        (r"\begin{align}a&<b\end{align}", r"\begin{align}a&amp;&lt;b\end{align}"),
        ("$x_1$ and *y*", "$x_1$ and <em>y</em>"),
    ],
)
def test_mathematics_reaches_mathjax_as_text(source: str, shown: str) -> None:
    assert shown in render(source, {})


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("# One\n## Two", ["<h1 ", "<h2 ", 'class="anchor-link"']),
        ("| a | b |\n|:-|-:|\n| 1 | 2 |", ["<table>", "<td", "text-align:right"]),
        ("```python\ndef f(): ...\n```", ['<div class="highlight">', '<span class="k">def</span>']),
        ("`x < 1`", ["<code>x &lt; 1</code>"]),
        ("1. a\n2. b\n\n> said", ["<ol>", "<blockquote>"]),
        ("- [x] done", ["☑ done"]),
        ("[a](https://pytorch.org/docs/?x=1&y=2#z)", ['href="https://pytorch.org/docs/?x=1&amp;y=2#z"']),
        ("[b](#One) <me@example.org>", ['href="#text-One"', 'href="mailto:me@example.org"']),
        ("![a plot](https://example.org/a.png)", ['href="https://example.org/a.png"', "[picture: a plot]"]),
        ("a < b, x<y and <b>bold</b>", ["a &lt; b", "<b>bold</b>"]),
    ],
)
def test_what_text_is_made_of_stays(source: str, shown: list[str]) -> None:
    rendered = render(source, {})
    assert all(part in rendered for part in shown), rendered


def test_the_courses_own_text_looks_as_before() -> None:
    """Each text cell of the course has the words, headings, tables, code and pictures that nbconvert gives it."""
    before = HTMLExporter(template_name="classic")
    for path in sorted((REPOSITORY / "autograder" / "source" / "pset4").glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "markdown":
                plain = before.from_notebook_node(new_notebook(cells=[cell]))[0]
                assert looks(exported(cell)) == looks(plain), cell.source


def looks(page: str) -> tuple[str, list[tuple[str, str]]]:
    text = BeautifulSoup(page, "html.parser").select_one(".text_cell_render")
    assert text is not None
    kept = [(tag.name, str(tag.get("src", "") or tag.get("style", "")).replace(" ", "")) for tag in text.find_all(True)]
    return text.get_text(), kept


@pytest.mark.parametrize(
    "text", ["(" * 39_000, "\\\\(" * 3_000, "> " * 19_000, "[" * 39_000, "x" * 200_000, "\x00\ud800"]
)
def test_any_text_is_rendered_or_shown_as_it_is(text: str) -> None:
    cell = new_markdown_cell(text)
    assert "text_cell_render" in exported(cell)


def test_a_page_of_costly_texts_comes_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PAGE_SECONDS", 0.0)
    c = Config()
    pages.use_safe_pages(c)
    cells = [new_markdown_cell("*first*"), new_markdown_cell("*second*")]
    page = HTMLExporter(config=c, template_name="classic").from_notebook_node(new_notebook(cells=cells))[0]
    assert "<em>first</em>" in page
    assert "*second*" in page


def test_cleaning_what_is_clean_changes_nothing_more() -> None:
    for source in MARKDOWN.values():
        once = render(source, {})
        assert pages.ID_PREFIX not in once or clean(once).count("<") == once.count("<")
        assert "javascript:" not in "".join(re.findall(r"<[^>]*>", once)).lower()


def test_whatever_stands_in_a_notebook_becomes_one() -> None:
    for wrong in ([], {}, None, 3, "x", [None], [{"cell_type": []}], [{"cell_type": "code", "outputs": {"a": 1}}]):
        notebook = harmless({"cells": wrong} if isinstance(wrong, list) else {"cells": []})
        nbformat.validate(nbformat.from_dict(notebook))
