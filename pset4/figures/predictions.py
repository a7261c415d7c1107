"""Questions to guess at before a result is seen: a choice opens its reason, and the result stands folded beside it.

A question is HTML that needs no kernel and no script: each choice is a `<details>`, which a browser opens by mouse and
by key and which is closed when the notebook is opened again. Where styles are taken away (a notebook that is not
trusted, GitHub, a feedback page), the same choices stand one below the other.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from html import escape
from typing import Protocol
from zlib import crc32

from matplotlib.figure import Figure

from pset4.figures.display import encoded
from pset4.figures.questions import QUESTIONS

STYLE = """<style>
.pset4-guess{border-left:3px solid #0072B2;padding:2px 0 2px 14px;margin:4px 0;display:flex;flex-wrap:wrap;gap:6px 24px;
align-items:flex-start;line-height:1.45}
.pset4-guess>div{flex:1 1 260px;min-width:0;max-width:720px}
.pset4-guess>div+div{flex:2 1 420px;overflow-x:auto}
.pset4-guess summary{cursor:pointer;padding:4px 8px;border-radius:4px;display:list-item}
.pset4-guess summary:hover,.pset4-guess summary:focus-visible{outline:2px solid #0072B2}
.pset4-guess details[name][open]>summary{font-weight:bold}
.pset4-guess details[name][open]>summary::after{content:"\\00a0 \\2190\\00a0your guess"}
.pset4-guess details p{margin:2px 8px 8px 24px}
.pset4-guess img{max-width:100%;height:auto;margin-top:6px}
.pset4-guess:not(:has(details[name][open])) .pset4-result{opacity:.55}
</style>"""


class HasHtml(Protocol):
    """A table or another object that a notebook shows as HTML."""

    def _repr_html_(self) -> str: ...


def predict(
    name: str, *, right: Collection[str] = (), result: Figure | HasHtml | None = None, **values: object
) -> None:
    """Shows a question, with a reason behind each choice and the result folded beside it.

    Args:
        name: Of the question in `pset4.figures.questions`, where its answer does not stand in a notebook's cell.
        right: The right choices, where they depend on what was computed.
        result: What answers the question: a figure with a text alternative, or a table.
        values: What the question's text leaves room for.

    Raises:
        ValueError: If there is no such question.
    """
    from IPython.display import display

    if name not in QUESTIONS:
        raise ValueError(f"there is no question {name!r}; there are {', '.join(QUESTIONS)}")
    asked = QUESTIONS[name]
    question = asked.text.format(**values)
    choices = {choice: reason.format(**values) for choice, reason in asked.reasons.items()}
    correct = {asked.right} if asked.right else set(right)
    words = "\n".join([f"Guess first: {question}", *(f"  - {choice}" for choice in choices)])
    bundle, metadata, answer = {"text/plain": words}, {}, ""
    if isinstance(result, Figure):
        data, kind = encoded(result)
        picture, alt = base64.b64encode(data).decode(), str(result.get_label())
        answer = f'<img src="data:image/{kind};base64,{picture}" alt="{escape(alt)}">'
        # A page that takes no HTML of a notebook shows the picture alone.
        bundle[f"image/{kind}"], metadata = picture, {f"image/{kind}": {"alt": alt}}
    elif result is not None:
        answer = result._repr_html_()
    bundle["text/html"] = _page(question, choices, correct, answer)
    display(bundle, metadata=metadata, raw=True)


def _page(question: str, choices: Mapping[str, str], correct: Collection[str], answer: str) -> str:
    group = f"guess-{crc32(question.encode()):x}"  # of the choices with one name, a browser keeps one open
    options = "".join(
        f'<details name="{group}"><summary>{escape(choice)}</summary>'
        f"<p><b>{'Right.' if choice in correct else 'Not so.'}</b> {escape(reason)}</p></details>"
        for choice, reason in choices.items()
    )
    folded = f'<div class="pset4-result"><details><summary>The result</summary>{answer}</details></div>'
    return (
        f'{STYLE}<div class="pset4-guess"><div><b>Guess first.</b> {escape(question)}{options}</div>'
        f"{folded if answer else ''}</div>"
    )
