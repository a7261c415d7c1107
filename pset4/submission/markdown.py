"""A written answer, from a notebook's Markdown to Typst: with pandoc, which reads no file and runs nothing for it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from pset4.submission.notebooks import Cell
from pset4.submission.pictures import from_bundle

DIALECT = "commonmark+pipe_tables+strikeout+task_lists+autolink_bare_uris+tex_math_dollars"
LONGEST = 60_000  # characters; more are shown as they were typed
SECONDS = 20.0
MAX_PICTURE_BYTES = 20_000_000
_FILTER = Path(__file__).with_name("answers.lua")
_PASTED = re.compile(r"data:image/(?:png|jpe?g|gif|webp);base64,([A-Za-z0-9+/=]+)")
_PIECE = re.compile(
    r"^(?P<fence>`{3,}|~{3,}).*?(?:^(?P=fence)|\Z)"
    r"|(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`)"
    r"|\$\$(?P<display>.+?)\$\$"
    r"|\\\[(?P<bracket>.+?)\\\]"
    r"|(?P<bare>\\begin\{(?P<name>[a-z]+\*?)\}.{1,6000}?\\end\{(?P=name)\})"
    r"|(?<![\\$])\$[ \t]*(?P<inline>[^$\n]+?)[ \t]*(?<!\\)\$(?!\$)"
    r"|\\\((?P<round>.+?)\\\)",
    re.MULTILINE | re.DOTALL,
)
_IMG = re.compile(r"""<img[^>]*?\ssrc=["']([^"']+)["']""")


class NotConverted(RuntimeError):
    """Pandoc could not make anything of a text."""


def to_typst(text: str, pictures: Mapping[str, Mapping[str, Any]]) -> str:
    """The text as Typst markup.

    Args:
        text: Markdown as Jupyter shows it, prepared by `tidy_mathematics`.
        pictures: File and width in points by the address that the text gives; other pictures are only named.

    Raises:
        NotConverted: If pandoc fails or takes too long.
    """
    if len(text) > LONGEST:
        raise NotConverted(f"{len(text)} characters")
    lua = ["--lua-filter", str(_FILTER), "--to", "typst", "--wrap", "preserve"]
    return _pandoc(text, *lua, PSET4_PICTURES=json.dumps(pictures))


def addresses(text: str) -> list[str]:
    """Where the pictures of a text are said to be, without doubles.

    Raises:
        NotConverted: If pandoc fails or takes too long.
    """
    try:
        return list(dict.fromkeys(_addresses(json.loads(_pandoc(text, "--to", "json")))))
    except RecursionError:
        raise NotConverted("it is nested too deeply") from None


def _addresses(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for entry in node:
            yield from _addresses(entry)
    elif isinstance(node, dict):
        kind, content = node.get("t"), node.get("c", [])
        if kind == "Image":
            yield str(content[2][0])
        elif kind in ("RawInline", "RawBlock"):
            yield from _IMG.findall(content[1])
        else:
            yield from _addresses(list(node.values()))


def _pandoc(text: str, *options: str, **variables: str) -> str:
    import pypandoc

    environment = {**os.environ, **variables}
    try:
        command = [pypandoc.get_pandoc_path(), "--from", DIALECT, "--sandbox", *options]
        done = subprocess.run(
            command, input=text.encode(), capture_output=True, timeout=SECONDS, check=True, env=environment
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise NotConverted(str(error)) from None
    return done.stdout.decode("utf-8", "replace")


def lift_pictures(cell: Cell, folder: Path) -> tuple[str, dict[str, bytes]]:
    """The text of an answer, and the pictures in it by their address: pasted ones, and files beside the notebook.

    Raises:
        NotConverted: If pandoc fails or takes too long.
    """
    found: dict[str, bytes] = {}

    def lift(match: re.Match[str]) -> str:
        address = f"pasted-{len(found) + 1}"
        found[address] = from_bundle({"image/png": match.group(1)}) or b""
        return address

    text = _PASTED.sub(lift, cell.source)
    if len(text) > LONGEST:
        return text, found
    text = tidy_mathematics(text)
    for address in addresses(text):
        if address.startswith("attachment:"):
            content = from_bundle(cell.attachments.get(unquote(address.removeprefix("attachment:"))))
        else:
            content = None if address in found else _beside(folder, unquote(address))
        if content:
            found[address] = content
    return text, found


def _beside(folder: Path, address: str) -> bytes | None:
    """A file below the notebook's folder; nothing outside of it is opened."""
    try:
        path = (folder / address).resolve()
        if not path.is_relative_to(folder.resolve()) or not path.is_file():
            return None
        return path.read_bytes() if path.stat().st_size <= MAX_PICTURE_BYTES else None
    except (OSError, ValueError):
        return None


def tidy_mathematics(text: str) -> str:
    """The same text with its formulas as pandoc wants them.

    Jupyter takes `$ x $` with blanks, formulas over several lines in which a line may begin with a sign of Markdown,
    and LaTeX's own brackets and environments without dollars.
    """
    return _PIECE.sub(_tidied, text)


def _tidied(match: re.Match[str]) -> str:
    if (formula := match["display"] or match["bracket"] or match["bare"]) is not None:
        without_comments = re.sub(r"(?<!\\)%.*", "", formula)
        return _in_dollars("$$", without_comments)
    if (formula := match["inline"] or match["round"]) is not None:
        return _in_dollars("$", formula)
    return match.group()


def _in_dollars(dollars: str, formula: str) -> str:
    """The formula in one line; one whose braces do not match is no formula for pandoc, and shown as it was typed."""
    text = f"{dollars}{' '.join(formula.split())}{dollars}"
    braces = re.findall(r"(?<!\\)[{}]", text)
    return text if braces.count("{") == braces.count("}") or "`" in text else f"`{text}`"
