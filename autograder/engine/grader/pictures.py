"""Pictures in written answers: taken out of the text, kept within bounds, and missed in words.

Colab writes an inserted photo into the text itself, as base64; other editors attach it. Both end as attachments of
bounded size. Whatever becomes of a picture, the words around it stay.
"""

from __future__ import annotations

import base64
import binascii
import io
import itertools
import re
from collections.abc import Mapping
from hashlib import sha256
from urllib.parse import unquote

from PIL import Image

# Base64 characters of all pictures of a cell; beyond that they are made smaller.
MAX_PICTURES = 2_000_000
# Smaller ones are never opened: what is opened is a stranger's file in a decoder.
MIN_SHRUNK = 200_000
MAX_TEXT = 200_000  # longer texts are not searched for what is missing
MAX_INLINE = 200  # pictures that are taken out of one text
MAX_SIDE = 1_600
QUALITIES = (85, 70, 50)
MAX_PIXELS = 50_000_000
MAX_JPEG_PIXELS = 170_000_000  # a JPEG is decoded at an eighth of its size

SIGNATURES = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff", "image/gif": b"GIF8"}
FORMATS = ("PNG", "JPEG", "GIF")

Attachments = Mapping[str, Mapping[str, str]]

_INLINE = re.compile(r"data:image/[A-Za-z0-9.+-]{1,20};base64,([A-Za-z0-9+/=]+)")
_TAG_START = re.compile(r"<img\b[^<>]{0,500}?\bsrc\s*=\s*[\"']?\Z", re.IGNORECASE)
_ALT = re.compile(r"\balt\s*=\s*(?:\"([^\"<>]{0,300})\"|'([^'<>]{0,300})')", re.IGNORECASE)
_NAME = r"(?:[^()\s<>]|\([^()\s<>]{0,100}\)){1,300}"
_REFERENCE = re.compile(
    rf"!\[[^\[\]\n]{{0,300}}\]\(\s*<?attachment:({_NAME}|[^>\n]{{1,300}}(?=>))>?(?:\s+\"[^\"\n]{{0,300}}\")?\s*\)"
)
_IMAGE_TAG = re.compile(
    r"<img\b[^<>]{0,500}?\bsrc\s*=\s*[\"']?attachment:([^\"'<>]{1,300})[\"']?[^<>]{0,500}>", re.IGNORECASE
)


def tidy(source: str, attached: Attachments) -> tuple[str, dict[str, dict[str, str]], list[str]]:
    """A written answer whose pictures are all attachments of bounded size.

    Args:
        source: Its text.
        attached: Pictures that hang on the cell: name -> MIME type -> base64 text.

    Returns:
        The text, the attachments, and a remark on every picture that was changed or is missing.
    """
    text, inline = _taken_out(source)
    pictures = {**{name: next(iter(bundle.values())) for name, bundle in attached.items() if bundle}, **inline}
    kept, remarks = _within_bounds(pictures)
    if len(text) <= MAX_TEXT:
        text = _IMAGE_TAG.sub(lambda tag: f"![{_alt(tag[0])}](attachment:{tag[1]})", text)
        text = _REFERENCE.sub(lambda found: _said(found, kept, remarks), text)
    return text, kept, remarks


def _taken_out(source: str) -> tuple[str, dict[str, str]]:
    """The text with names in the place of the pictures that stand in it, and those pictures."""
    parts: list[str] = []
    taken: dict[str, str] = {}
    done = 0
    for found in itertools.islice(_INLINE.finditer(source), MAX_INLINE):
        name = f"inserted-{sha256(found[1].encode()).hexdigest()[:12]}"
        taken[name] = found[1]
        before = source[max(done, found.start() - 600) : found.start()]
        tag, end = _TAG_START.search(before), source.find(">", found.end(), found.end() + 600)
        if tag and end >= 0:
            parts.append(source[done : found.start() - len(tag[0])])
            parts.append(f"![{_alt(tag[0] + source[found.end() : end])}](attachment:{name})")
            done = end + 1
        else:
            parts.append(source[done : found.start()] + f"attachment:{name}")
            done = found.end()
    return "".join(parts) + source[done:], taken


def _alt(tag: str) -> str:
    """The description in an image's tag, harmless between brackets."""
    found = _ALT.search(tag)
    return re.sub(r"[\[\]\n]", " ", found[1] or found[2] or "") if found else ""


def _said(reference: re.Match[str], kept: Attachments, remarks: list[str]) -> str:
    name = reference[1].strip()
    if name in kept or unquote(name) in kept:
        return reference[0]
    shown = re.sub(r"[\[\]\n]", " ", unquote(name))[:80]
    remark = f"the picture {shown} is missing, or could not be kept"
    if remark not in remarks:
        remarks.append(remark)
    return f"[picture {shown} is missing]"


def _within_bounds(pictures: Mapping[str, str]) -> tuple[dict[str, dict[str, str]], list[str]]:
    """The pictures as attachments; where they are too large together, the larger ones are made smaller."""
    sized = {name: "".join(data.split()) for name, data in pictures.items()}
    if sum(map(len, sized.values())) > MAX_PICTURES:
        share = max(MIN_SHRUNK, MAX_PICTURES // len(sized))
        sized = {name: data if len(data) <= share else _smaller(data, share) for name, data in sized.items()}
    kept: dict[str, dict[str, str]] = {}
    remarks, room = [], MAX_PICTURES
    for name, data in sized.items():
        mime = _mime(data)
        if not mime or len(data) > room:
            remarks.append(
                f"the picture {name[:80]} could not be kept: it is damaged, too large, or of an unknown kind"
            )
            continue
        room -= len(data)
        kept[name] = {mime: data}
        if len(data) < len("".join(pictures[name].split())):
            remarks.append(f"the picture {name[:80]} was made smaller")
    return kept, remarks


def _mime(data: str) -> str:
    """The kind of picture by its first bytes, or "" where it is none that browsers show."""
    try:
        start = base64.b64decode(data[:64] + "=" * (-len(data[:64]) % 4), validate=True)
    except (binascii.Error, ValueError):
        return ""
    return next((mime for mime, signature in SIGNATURES.items() if start.startswith(signature)), "")


def _smaller(data: str, most: int) -> str:
    """The picture as a JPEG of at most so many base64 characters, or "" where it cannot be read or is too large."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(data, validate=True)), formats=FORMATS) as picture:
            pixels = picture.width * picture.height
            if pixels > (MAX_JPEG_PIXELS if picture.format == "JPEG" else MAX_PIXELS):
                return ""
            picture.draft("RGB", (MAX_SIDE, MAX_SIDE))
            return _as_jpeg(picture, most)
    except Exception:  # a decoder raises whatever it likes at a stranger's bytes
        return ""


def _as_jpeg(picture: Image.Image, most: int) -> str:
    picture.thumbnail((MAX_SIDE, MAX_SIDE))
    plain = picture.convert("RGBA")
    page = Image.new("RGB", plain.size, "white")  # a drawing on a clear ground would turn black
    page.paste(plain, mask=plain.getchannel("A"))
    for quality in QUALITIES:
        file = io.BytesIO()
        page.save(file, "JPEG", quality=quality)
        encoded = base64.b64encode(file.getvalue()).decode()
        if len(encoded) <= most:
            return encoded
    return ""
