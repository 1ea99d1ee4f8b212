"""One open watch: a stream of JSON lines, with a limit on how long it may be silent."""

import asyncio
import contextlib
import json
import socket
from dataclasses import dataclass
from typing import Any, Self

import httpx2

from monitoring_tls.errors import ApiUnreachableError
from monitoring_tls.kube.resources import Object

_KEEPALIVE = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
"""A peer that vanished without a FIN (node lost, NAT entry gone) is noticed after a minute, with no request made.
client-go does the same with HTTP/2 pings after 30 s."""


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One event of a watch.

    Attributes:
        type: `ADDED`, `MODIFIED`, `DELETED`, `BOOKMARK` or `ERROR`.
        object: the object; for `BOOKMARK` only its resourceVersion, for `ERROR` a `Status`.
    """

    type: str
    object: Object


class WatchStream:
    """An asynchronous iterator over the events of one watch; it ends when the server ends the watch.

    Attributes:
        silence: seconds without a single byte after which the stream counts as stalled. May be changed while open.
        stalled: whether it ended that way.
    """

    def __init__(self, response: httpx2.Response, silence: float) -> None:
        self.silence = silence
        self.stalled = False
        self._path = response.request.url.path
        self._chunks = response.aiter_bytes()
        self._buffer = bytearray()
        self._searched = 0
        _keep_alive(response)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> WatchEvent:
        """The next event.

        Raises:
            ApiUnreachableError: if the stream was cut, stalled or garbled.
        """
        while (line := self._take_line()) is None:
            try:
                async with asyncio.timeout(self.silence):
                    chunk = await anext(self._chunks, b"")
            except TimeoutError:
                self.stalled = True
                raise self._failure(f"silent for {self.silence:.0f} s") from None
            except httpx2.HTTPError as error:
                raise self._failure(f"{type(error).__name__} {error}".strip()) from error
            if not chunk:
                if self._buffer:
                    raise self._failure("the stream ended inside an event")
                raise StopAsyncIteration
            self._buffer += chunk
        return self._parse(line)

    async def aclose(self) -> None:
        """Give up the stream."""
        await self._chunks.aclose()
        self._buffer.clear()

    def _take_line(self) -> bytes | None:
        end = self._buffer.find(b"\n", self._searched)
        if end < 0:
            self._searched = len(self._buffer)
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._searched = 0
        return line

    def _parse(self, line: bytes) -> WatchEvent:
        try:
            event: Any = json.loads(line)
            return WatchEvent(event["type"], event["object"])
        except (ValueError, KeyError, TypeError):
            # The line is not quoted: it may be part of a Secret.
            raise self._failure("an event is garbled") from None

    def _failure(self, problem: str) -> ApiUnreachableError:
        return ApiUnreachableError("WATCH", self._path, problem)


def _keep_alive(response: httpx2.Response) -> None:
    stream = response.extensions.get("network_stream")
    sock = stream.get_extra_info("socket") if stream is not None else None
    if sock is None:
        return
    # A transport that is no TCP socket (a test's, a Unix socket) has no such options, and needs none.
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            # Named differently outside Linux, where the system's own period is good enough.
            if hasattr(socket, option):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
