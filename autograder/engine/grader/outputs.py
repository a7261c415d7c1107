"""Outputs of cells, as a submission's process reports them: checked, merged, and cut to what is stored."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from autograder.engine.wire.limits import MAX_ALT, Limits

IMAGES = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}
MAX_LINES = 400
# What a message counts for besides its own bytes: reading a million tiny ones would cost us minutes.
MESSAGE_BYTES = 1_000
ERROR_BYTES = 20_000
# An error is stored even when nothing else is: short, so that a thousand of them stay below the limit.
SHORT_ERROR = 300
WORDS = {
    "timeout": "TimeLimit",
    "died": "ProcessDied",
    "output_limit": "OutputLimit",
    "deadline": "SubmissionTimeLimit",
    "machine": "MachineTrouble",
}


class Collector:
    """Collects a notebook's outputs, cell by cell, within the notebook's limit."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        # JSON writes a newline or a quotation mark as two characters, and each output has a frame of its own.
        self._left = int(limits.output_bytes * 0.9)
        self._cell_left = 0
        self._outputs: list[dict[str, Any]] = []
        self.cut = False

    @property
    def most_bytes(self) -> int:
        """Bytes of messages after which a cell is stopped: more than any well-behaved kernel sends."""
        return 4 * self._limits.cell_output_bytes + 20_000 * MESSAGE_BYTES

    def start_cell(self) -> int:
        """Begins a cell; returns the bytes that it may add."""
        self._outputs, self.cut = [], False
        self._cell_left = min(self._limits.cell_output_bytes, self._left)
        return self._cell_left

    def take(self) -> list[dict[str, Any]]:
        """The cell's outputs."""
        outputs, self._outputs = self._outputs, []
        if self.cut:
            outputs.append(_stream("stderr", "[output was left out here: the limit is reached]\n"))
        return outputs

    def add(self, output: Any) -> None:
        """Adds one output, as far as it is one and fits."""
        kind = output.get("output_type") if type(output) is dict else None
        if kind == "stream":
            self._add_text(output.get("name"), output.get("text"))
        elif kind in ("display_data", "execute_result"):
            self._add_display(kind, output)
        elif kind == "error":
            self._add_error(output)

    def add_raw(self, data: bytes) -> None:
        """Adds what was written past Python's streams."""
        if data:
            self._add_text("stdout", data.decode("utf-8", "replace"))

    def _add_text(self, name: Any, text: Any) -> None:
        if type(text) is not str or name not in ("stdout", "stderr"):
            return
        text = clean(text)
        kept = _cut(text, self._cell_left)
        self.cut |= len(kept) < len(text)
        if not kept:
            return
        self._spend(_stored_size(kept))
        last = self._outputs[-1] if self._outputs else {}
        if last.get("output_type") == "stream" and last["name"] == name:
            last["text"] += kept
        else:
            self._outputs.append(_stream(name, kept))

    def _add_display(self, kind: str, told: dict[str, Any]) -> None:
        data, count = told.get("data"), told.get("execution_count")
        kept = {k: v for k, v in data.items() if _is_display(k, v)} if type(data) is dict else {}
        if "text/plain" in kept:
            kept["text/plain"] = clean(kept["text/plain"])
        metadata = _descriptions(kept, told.get("metadata"))
        size = 200 + sum(_stored_size(text) for text in kept.values())
        size += sum(_stored_size(about["alt"]) for about in metadata.values())
        if not kept or size > self._cell_left:
            self.cut |= bool(kept)
            return
        self._spend(size)
        output: dict[str, Any] = {"output_type": kind, "data": kept, "metadata": metadata}
        if kind == "execute_result":
            output["execution_count"] = count if type(count) is int and 0 <= count < 10**6 else None
        self._outputs.append(output)

    def _add_error(self, output: dict[str, Any]) -> None:
        lines = output.get("traceback")
        lines = [clean(line) for line in lines if type(line) is str] if type(lines) is list else []
        name, message = (clean(str(output.get(key, "")))[:2_000] for key in ("ename", "evalue"))
        if sum(map(_stored_size, lines)) > min(ERROR_BYTES, self._cell_left) or len(lines) > MAX_LINES:
            lines = [*lines[:3], "...", *lines[-3:]]
        size = sum(map(_stored_size, [name, message, *lines])) + 200
        if size > self._cell_left:
            name, message, lines = name[:60], message[:SHORT_ERROR], []
            size = 2 * SHORT_ERROR
            self.cut = True
        # Once the notebook's share is used up, one short error a cell is all that is added.
        if self._left < size and any(o["output_type"] == "error" for o in self._outputs):
            return
        self._spend(size)
        self._outputs.append({"output_type": "error", "ename": name, "evalue": message, "traceback": lines})

    def _spend(self, size: int) -> None:
        self._cell_left -= size
        self._left -= size


def failure(status: str, detail: str) -> dict[str, Any]:
    """The output of a cell that was stopped."""
    name = WORDS.get(status, "Stopped")
    return {"output_type": "error", "ename": name, "evalue": detail, "traceback": [f"{name}: {detail}"]}


def clean(text: str) -> str:
    """Text without the control characters that no notebook needs; tabs, newlines and colours stay."""
    text = re.sub(r"[\x00-\x08\x0b-\x0c\x0e-\x1a\x1c-\x1f\x7f]", "", text)
    return text.encode("utf-8", "replace").decode()


def _descriptions(kept: dict[str, str], metadata: Any) -> dict[str, dict[str, str]]:
    """The text alternatives of the pictures that are kept."""
    about = metadata if type(metadata) is dict else {}
    found = {kind: about[kind].get("alt") for kind in kept if kind in IMAGES and type(about.get(kind)) is dict}
    return {kind: {"alt": clean(alt)[:MAX_ALT]} for kind, alt in found.items() if type(alt) is str}


def _stream(name: str, text: str) -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": text}


def _stored_size(text: str) -> int:
    """Bytes of the text as JSON, roughly and not too few."""
    escaped = text.count("\n") + text.count('"') + text.count("\\") + 5 * text.count("\x1b")
    return len(text.encode()) + escaped


def _cut(text: str, size: int) -> str:
    """The longest start of the text that fits."""
    if _stored_size(text) <= size:
        return text
    low, high = 0, min(len(text), max(size, 0))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _stored_size(text[:middle]) <= size else (low, middle - 1)
    return text[:low]


def _is_display(kind: Any, value: Any) -> bool:
    """Whether a display is plain text or really an image. HTML, SVG and scripts would act in the grader's browser."""
    if type(kind) is not str or type(value) is not str:
        return False
    if kind in IMAGES:
        try:
            return base64.b64decode(value.replace("\n", ""), validate=True).startswith(IMAGES[kind])
        except (binascii.Error, ValueError):
            return False
    return kind == "text/plain"
