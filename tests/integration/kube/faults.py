"""A proxy in front of a real API server that does what networks and load balancers do."""

import asyncio
import contextlib
import json
import ssl
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import yaml
from lightkube.config.client_adapter import verify_cluster
from lightkube.config.kubeconfig import KubeConfig


def status_response(code: int, reason: str, *, headers: str = "") -> bytes:
    """An answer as the API server itself gives it; used where the real one cannot be brought to give it on demand."""
    body = json.dumps({"kind": "Status", "apiVersion": "v1", "code": code, "reason": reason, "message": "injected"})
    head = f"HTTP/1.1 {code} {reason}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return (head + body).encode()


def stream_response(*events: dict[str, Any]) -> bytes:
    """A watch that sends these events and ends."""
    body = "".join(json.dumps(event) + "\n" for event in events)
    return f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


class FaultProxy:
    """Forwards requests (plain HTTP on loopback to TLS), unless told otherwise.

    Attributes:
        requests: the request lines seen.
        refusing: new connections are cut at once.
        trickling: answers are passed on a few bytes at a time.
        flowing: answers are passed on while set.
        canned: (part of a request line, answer): a matching request gets this answer, once.
        lost: parts of request lines: a matching request is forwarded, but its answer is lost, once.
    """

    def __init__(self, kubeconfig: Path) -> None:
        config = KubeConfig.from_file(kubeconfig).get()
        assert config is not None
        assert config.user is not None
        self._upstream = urlsplit(config.cluster.server)
        self._tls: ssl.SSLContext = verify_cluster(config.cluster, config.user, config.abs_file)
        self._original = kubeconfig
        self._connections: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.requests: list[str] = []
        self.refusing = False
        self.trickling = False
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.canned: list[tuple[str, bytes]] = []
        self.lost: list[str] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.flowing.set()
        self.cut()
        # Not cancelled: a cancelled open_connection leaves its socket open.
        await asyncio.gather(*self._tasks)
        await self._server.wait_closed()

    def kubeconfig(self, target: Path) -> Path:
        """Write a kubeconfig that leads through this proxy."""
        content = yaml.safe_load(self._original.read_text())
        port = self._server.sockets[0].getsockname()[1]
        for cluster in content["clusters"]:
            cluster["cluster"]["server"] = f"http://127.0.0.1:{port}"
        target.write_text(yaml.safe_dump(content))
        return target

    def cut(self) -> None:
        """Reset every open connection."""
        for writer in self._connections:
            writer.transport.abort()

    def count(self, part: str) -> int:
        """How many request lines have this part."""
        return sum(part in line for line in self.requests)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            writer.transport.abort()
            return
        self._connections.add(writer)
        back: asyncio.Task[None] | None = None
        upstream_writer: asyncio.StreamWriter | None = None
        try:
            upstream, upstream_writer = await asyncio.open_connection(
                self._upstream.hostname, self._upstream.port, ssl=self._tls
            )
            losing = asyncio.Event()
            back = asyncio.ensure_future(self._pass_back(upstream, writer, losing))
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                line, *headers = head.decode().splitlines()
                lengths = [int(h.split(":")[1]) for h in headers if h.lower().startswith("content-length:")]
                body = await reader.readexactly(lengths[0]) if lengths else b""
                self.requests.append(line)
                if (canned := self._take_canned(line)) is not None:
                    writer.write(canned)
                    await writer.drain()
                    continue
                if lost := next((part for part in self.lost if part in line), None):
                    self.lost.remove(lost)
                    losing.set()
                upstream_writer.write(head + body)
                await upstream_writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._connections.discard(writer)
            if back is not None:
                back.cancel()
                await asyncio.gather(back, return_exceptions=True)
            for one in (writer, upstream_writer):
                if one is not None:
                    one.transport.abort()
                    with contextlib.suppress(OSError):
                        await one.wait_closed()

    async def _pass_back(
        self, upstream: asyncio.StreamReader, writer: asyncio.StreamWriter, losing: asyncio.Event
    ) -> None:
        while data := await upstream.read(65536):
            await self.flowing.wait()
            if losing.is_set():
                break
            size = 11 if self.trickling else len(data)
            for start in range(0, len(data), size):
                writer.write(data[start : start + size])
                await writer.drain()
                await asyncio.sleep(0)
        writer.transport.abort()

    def _take_canned(self, line: str) -> bytes | None:
        for entry in self.canned:
            if entry[0] in line:
                self.canned.remove(entry)
                return entry[1]
        return None
