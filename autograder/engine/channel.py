"""Sends and receives frames over a socket, within a deadline and with bounds on their size."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

from autograder.engine.protocol import PREFIX, ProtocolError, decode, read_prefix

PIECE = 1 << 20


class ChannelClosed(Exception):
    """The other side is gone."""


class OutOfTime(Exception):
    """The deadline came first."""


class Channel:
    """One end of a connection between the trusted process and a submission's.

    Args:
        connection: A stream socket.
        max_payload: Largest payload that is accepted, in bytes.
        specifications: Accept specifications; only the submission's end does.
        devices: Kinds of device on which tensors may be placed.
    """

    def __init__(
        self,
        connection: socket.socket,
        *,
        max_payload: int,
        specifications: bool = False,
        devices: Sequence[str] = ("cpu",),
    ) -> None:
        self.connection = connection
        self._max_payload = max_payload
        self._specifications = specifications
        self._devices = devices
        self._received = bytearray()

    def send(self, frame: bytes, *, deadline: float | None = None) -> None:
        """Sends a whole frame.

        Args:
            frame: What `protocol.encode` made.
            deadline: On `time.monotonic`'s clock.

        Raises:
            ChannelClosed: If the other side is gone.
            OutOfTime: If it does not read.
        """
        view = memoryview(frame)
        while view:
            self._wait(deadline, writing=True)
            try:
                sent = self.connection.send(view[:PIECE], socket.MSG_DONTWAIT | getattr(socket, "MSG_NOSIGNAL", 0))
            except (BlockingIOError, InterruptedError):
                continue
            except OSError:
                raise ChannelClosed from None
            view = view[sent:]

    def receive(
        self, *, deadline: float | None = None, on_bytes: Callable[[int], None] | None = None
    ) -> dict[str, Any]:
        """The next message.

        Args:
            deadline: On `time.monotonic`'s clock. After `OutOfTime`, a later call goes on where this one stopped.
            on_bytes: Told how many bytes each frame has; may raise.

        Raises:
            ChannelClosed: If the other side is gone.
            OutOfTime: If no whole message came.
            ProtocolError: If what came is not a message.
        """
        self._fill(PREFIX.size, deadline)
        header, payload = read_prefix(bytes(self._received[: PREFIX.size]), max_payload=self._max_payload)
        whole = PREFIX.size + header + payload
        if on_bytes is not None:
            on_bytes(whole)
        self._fill(whole, deadline)
        body = bytes(self._received[PREFIX.size : PREFIX.size + header])
        data = bytes(self._received[PREFIX.size + header : whole])
        del self._received[:whole]
        return decode(body, data, specifications=self._specifications, devices=self._devices)

    def _fill(self, size: int, deadline: float | None) -> None:
        while len(self._received) < size:
            self._wait(deadline, writing=False)
            try:
                piece = self.connection.recv(min(PIECE, size - len(self._received)), socket.MSG_DONTWAIT)
            except (BlockingIOError, InterruptedError):
                continue
            except OSError:
                raise ChannelClosed from None
            if not piece:
                raise ChannelClosed
            self._received += piece

    def _wait(self, deadline: float | None, *, writing: bool) -> None:
        ends = [self.connection]
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise OutOfTime
        readable, writable, _ = select.select([] if writing else ends, ends if writing else [], [], left)
        if not (readable or writable):
            raise OutOfTime

    def close(self) -> None:
        """Closes this end."""
        self.connection.close()


__all__ = ["Channel", "ChannelClosed", "OutOfTime", "ProtocolError"]
