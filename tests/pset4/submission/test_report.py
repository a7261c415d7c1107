"""The report: mathematics is set, and nothing that a student writes breaks it or reaches beyond the folder."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from handed_in import png

from pset4.submission.markdown import addresses, lift_pictures, tidy_mathematics, to_typst
from pset4.submission.notebooks import Cell
from pset4.submission.pictures import MAX_BYTES, TEXT_WIDTH, Picture, make_prints


def typst(text: str) -> str:
    return to_typst(tidy_mathematics(text), {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$ x $", "$x$"),
        (r"\(x\) and \[y\]", "$x$ and $$y$$"),
        ("$$\na\n- b % why\n= c\n$$", "$$a - b = c$$"),
        ("\\begin{align*}\na &= b\n\\end{align*}", r"$$\begin{align*} a &= b \end{align*}$$"),
        ("`$ x $`", "`$ x $`"),
        ("```\n$ x $\n```", "```\n$ x $\n```"),
        ("```\n$ x $", "```\n$ x $"),
        (r"\$ 5 \$", r"\$ 5 \$"),
    ],
)
def test_formulas_are_tidied_as_jupyter_reads_them(text: str, expected: str) -> None:
    assert tidy_mathematics(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"$\sum_m W[m]$", "$sum_m W"),
        (r"$$\begin{align} a &= b \end{align}$$", "$ a & = b"),
        (r"$\undefined{x}$", r'#raw("\\undefined{x}")'),
        (r"$\frac{1}{$", "#raw("),
        ("if i<j and k>l", "<j and k"),
        ("<b>bold</b>", r"\<b\>"),
        ('#import "x"', r"\#import"),
        ('`#read("x\\")`', r'#raw("#read(\"x\\\")")'),
        ("# Title", "#strong[Title]"),
        ("[click](javascript:x)", "click"),
        ("- a\n- b", "- a\n- b"),
        ("```python\nx = 1", '#raw(block: true, lang: "python"'),
        ("![p](../../etc/passwd)", '#raw("../../etc/passwd")'),
        ('<img src="/etc/passwd">', '#raw("/etc/passwd")'),
        ("a" * 100, "\u200b"),
    ],
)
def test_an_answer_becomes_harmless_typst(text: str, expected: str) -> None:
    made = typst(text)
    assert expected in made
    assert "image(" not in made and "javascript" not in made


def test_raw_typst_is_no_way_into_the_report() -> None:
    made = typst('```{=typst}\n#read("/etc/passwd")\n```\n\n`#x`{=typst}')
    assert "#raw(" in made and "\n#read" not in made


def test_pictures_come_from_the_cell_and_from_beside_the_notebook_only(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "here ü.png").write_bytes(png())
    (tmp_path / "secret.png").write_bytes(png())
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    pasted = base64.b64encode(png(colour="red")).decode()
    text = (
        f"![](data:image/png;base64,{pasted}) ![](<here ü.png>) ![](../secret.png) ![](link.png) ![](attachment:a.png)"
        f" ![]({tmp_path}/secret.png) ![](file://{tmp_path}/secret.png) ![](https://example.com/x.png)"
        " ![](attachment:no)"
    )
    cell = Cell("markdown", text, attachments={"a.png": {"image/png": pasted}})
    lifted, found = lift_pictures(cell, folder)
    assert len(addresses(lifted)) == 9
    assert set(found) == {"pasted-1", "here ü.png", "attachment:a.png"}
    assert 'image("/p.png", width: 9.0pt' in to_typst(lifted, {"pasted-1": {"file": "/p.png", "width": 9}})


def test_pictures_fit_the_page_and_the_report() -> None:
    noise = [Picture(Path(__file__).read_bytes()), Picture(png(5000, 200)), Picture(png(30, 5000)), Picture(b"")]
    broken, wide, tall, empty = make_prints(noise)
    assert broken is None and empty is None and wide is not None and tall is not None
    assert wide.width == TEXT_WIDTH and tall.width < 5


def test_many_large_pictures_shrink_below_the_bound() -> None:
    from io import BytesIO

    import numpy as np
    from PIL import Image

    buffer = BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (600, 900, 3), dtype=np.uint8)).save(buffer, "PNG")
    prints = make_prints([Picture(buffer.getvalue())] * 24)
    assert 0 < sum(len(made.content) for made in prints if made) <= MAX_BYTES
