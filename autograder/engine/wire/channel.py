"""Sends and receives frames over a socket, within a deadline and with bounds on their size."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any

from autograder.engine.wire.clock import Clock
from autograder.engine.wire.protocol import PREFIX, decode, read_prefix

PIECE = 1 << 20


class ChannelClosed(Exception):
    """The other side is gone."""


class NotInTime(Exception):
    """The deadline came first."""


class Channel:
    """One end of a connection between the trusted process and a submission's.

    Args:
        connection: A stream socket.
        max_payload: Largest payload that is accepted, in bytes.
        specifications: Accept specifications; only the submission's end does.
        devices: Kinds of device on which tensors may be placed.
        clock: What deadlines are read on; by default one that begins at `time.monotonic`'s time.
    """

    def __init__(
        self,
        connection: socket.socket,
        *,
        max_payload: int,
        specifications: bool = False,
        devices: Sequence[str] = ("cpu",),
        clock: Clock | None = None,
    ) -> None:
        self.connection = connection
        self._max_payload = max_payload
        self._specifications = specifications
        self._devices = devices
        self._clock = clock or Clock()
        self._received = bytearray()
        self._last_look: float | None = None  # the deadline after which there was one already

    def send(self, frame: bytes, *, deadline: float | None = None) -> None:
        """Sends a whole frame.

        Args:
            frame: What `protocol.encode` made.
            deadline: On the channel's clock.

        Raises:
            ChannelClosed: If the other side is gone.
            NotInTime: If it does not read.
        """
        view = memoryview(frame)
        while view:
            if not self._clock.wait([self.connection.fileno()], deadline, writing=True) or self._is_past(deadline):
                raise NotInTime
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

        What has arrived is looked at before it is called late, once: after the deadline, nobody can go on sending.

        Args:
            deadline: On the channel's clock. After `NotInTime`, a later call goes on where this one stopped.
            on_bytes: Told how many bytes each frame has; may raise.

        Raises:
            ChannelClosed: If the other side is gone.
            NotInTime: If no whole message came.
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
            self._await_bytes(deadline)
            try:
                piece = self.connection.recv(PIECE, socket.MSG_DONTWAIT)
            except (BlockingIOError, InterruptedError):
                continue
            except OSError:
                raise ChannelClosed from None
            if not piece:
                raise ChannelClosed
            self._received += piece

    def _await_bytes(self, deadline: float | None) -> None:
        ready = self._clock.wait([self.connection.fileno()], deadline)
        late = self._is_past(deadline)
        if not ready or (late and self._last_look == deadline):
            raise NotInTime
        if late:
            self._last_look = deadline

    def _is_past(self, deadline: float | None) -> bool:
        return deadline is not None and self._clock.now() >= deadline
