"""Real TLS servers on loopback for the probe's tests."""

import asyncio
import contextlib
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.probe_support import Authority, Leaf

_START_DEADLINE = 30.0


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority("probe tests CA")


@pytest.fixture(scope="session")
def stranger() -> Authority:
    return Authority("another CA")


@pytest.fixture
def server_leaf(authority: Authority) -> Leaf:
    return authority.issue()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[Sequence[str], int], subprocess.Popen[bytes]]]:
    """Start a program and wait until it listens on the port; what it said is in the failure where it doesn't."""
    running: list[subprocess.Popen[bytes]] = []

    def starter(command: Sequence[str], port: int) -> subprocess.Popen[bytes]:
        log = tmp_path / f"program-{len(running)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output, cwd=tmp_path)
        running.append(process)
        deadline = time.monotonic() + _START_DEADLINE
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return process
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{command[0]} does not listen on {port}:\n{log.read_text()[-3000:]}")
            # Waiting for a condition: the port.
            time.sleep(0.05)

    yield starter
    for process in running:
        process.kill()
        process.wait()
        if process.stdin is not None:
            process.stdin.close()


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], "asyncio.Future[None]"]


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., object]]:
    """Serve a coroutine on a free loopback port; returns the port."""
    servers: list[asyncio.Server] = []

    async def starter(answer: Answer, **options: object) -> int:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, **options)  # type: ignore[arg-type] # passed through
        servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    yield starter
    for server in servers:
        server.close()
