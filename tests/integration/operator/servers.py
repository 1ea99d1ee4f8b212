"""TLS servers and clients of the test kubelet's pods: real TLS, set up by the flags of the programs they stand in for.

What a program reads once and what it reads for each connection is as in the program itself: Thanos re-reads its leaf
and never its client CA (pkg/tls/options.go of v0.42), kube-rbac-proxy re-reads its certificate.
"""

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from monitoring_tls.profile.facts import GO_INSECURE, GROUPS, OPENSSL_TO_IANA

SETTINGS = bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""An empty SETTINGS frame, with which a server of HTTP/2 begins (RFC 9113, 3.4)."""

SERVER_NAME = "prometheus-grpc"

_OPENSSL = {iana: name for name, iana in OPENSSL_TO_IANA.items()}
_GO_DEFAULT = [iana for iana in _OPENSSL if iana not in GO_INSECURE]
_GROUPS = {group.go for group in GROUPS.values()}
_VERSIONS = {
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
    "VersionTLS12": ssl.TLSVersion.TLSv1_2,
    "VersionTLS13": ssl.TLSVersion.TLSv1_3,
}
_CHUNK = 16 * 1024
_IDLE = 10.0
_QUERY_PAUSE = 0.2


class BadFlagError(Exception):
    """The program would not start with these flags."""


@dataclass(frozen=True)
class Program:
    """A container as far as its TLS goes: its flags, and its files as they are at this moment."""

    pod: str
    container: str
    args: tuple[str, ...]
    read: Callable[[str], bytes] = field(repr=False)

    def flags(self, name: str) -> list[str]:
        return [arg.removeprefix(f"{name}=") for arg in self.args if arg.startswith(f"{name}=")]

    def flag(self, name: str, default: str | None = None) -> str:
        values = self.flags(name)
        if not values and default is None:
            raise BadFlagError(f"{self.pod} {self.container}: {name} is missing")
        return values[-1] if values else default or ""


class Server:
    """Listens on one address and port for one container.

    With sockets of its own, as asyncio's server loses a connection that comes in while it is being closed.
    """

    def __init__(self, program: Program, address: str, port: int, context: Callable[[], ssl.SSLContext]) -> None:
        self.program = program
        self.address = address
        self.port = port
        self._context = context
        self._listener: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self._listener = socket.create_server((self.address, self.port))
        self._listener.setblocking(False)  # noqa: FBT003 - the socket's own signature
        asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)

    def stop(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        for task in self._tasks:
            task.cancel()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            connection, _ = listener.accept()
            task = asyncio.get_running_loop().create_task(self._talk(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            # Also where the task is cancelled before its first step.
            task.add_done_callback(lambda _: connection.close())

    async def _talk(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_IDLE):
                reader, writer = await asyncio.open_connection(sock=connection)
                try:
                    await _serve(reader, writer, self._context())
                finally:
                    writer.transport.abort()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext) -> None:
    """One connection. Over memory buffers, as asyncio's own server hangs up without sending its alert."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_side=True)
    shaken = False
    while True:
        try:
            if not shaken:
                tls.do_handshake()
                shaken = True
                if tls.selected_alpn_protocol() == "h2":
                    tls.write(SETTINGS)
            tls.read(_CHUNK)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            writer.write(outgoing.read())
            await writer.drain()
            return
        writer.write(outgoing.read())
        await writer.drain()
        data = await reader.read(_CHUNK)
        if not data:
            return
        incoming.write(data)


def servers_of(program: Program, kind: str, address: str) -> list[Server]:
    """What the program listens on with TLS.

    Raises:
        BadFlagError: the program would end with an error instead.
    """
    if kind == "kube-rbac-proxy":
        return [_proxy(program, address)]
    if kind == "thanos" and program.args[0] in {"sidecar", "rule"}:
        return [_grpc(program, address)]
    return []


def _proxy(program: Program, address: str) -> Server:
    port = int(program.flag("--secure-listen-address").rpartition(":")[2])
    suites = [part for value in program.flags("--tls-cipher-suites") for part in value.split(",")]
    base = _settings(program.flag("--tls-min-version", "VersionTLS12"), suites)
    certificate, key = program.flag("--tls-cert-file"), program.flag("--tls-private-key-file")

    def context() -> ssl.SSLContext:
        made = base()
        load_chain(made, program.read(certificate), program.read(key))
        return made

    return Server(program, address, port, context)


def _grpc(program: Program, address: str) -> Server:
    port = int(program.flag("--grpc-address", "0.0.0.0:10901").rpartition(":")[2])
    groups = program.flags("--grpc-server-tls-curves")
    if unknown := set(groups) - _GROUPS:
        raise BadFlagError(f"{program.pod}: unknown curve {sorted(unknown)}")
    base = _settings(program.flag("--grpc-server-tls-min-version", "1.3"), program.flags("--grpc-server-tls-ciphers"))
    trusted = program.read(program.flag("--grpc-server-tls-client-ca")).decode()
    certificate, key = program.flag("--grpc-server-tls-cert"), program.flag("--grpc-server-tls-key")

    def context() -> ssl.SSLContext:
        made = base()
        load_chain(made, program.read(certificate), program.read(key))
        made.verify_mode = ssl.CERT_REQUIRED
        made.load_verify_locations(cadata=trusted)
        made.set_alpn_protocols(["h2"])
        return made

    return Server(program, address, port, context)


def _settings(version: str, suites: Sequence[str]) -> Callable[[], ssl.SSLContext]:
    if version not in _VERSIONS:
        raise BadFlagError(f"version {version!r} is not one that the test kubelet's programs take")
    if unknown := [suite for suite in suites if suite not in _OPENSSL]:
        raise BadFlagError(f"unknown cipher suite {unknown}")
    names = ":".join(_OPENSSL[suite] for suite in suites or _GO_DEFAULT)

    def context() -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.minimum_version = _VERSIONS[version]
        made.set_ciphers(names)
        return made

    return context


def load_chain(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Use a certificate that is in memory; OpenSSL takes files only."""
    descriptor = os.memfd_create("pair", os.MFD_CLOEXEC)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor has no Path
        file.write(certificate + b"\n" + key)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")


@dataclass
class Traffic:
    """What the queriers' connections to sidecars and rulers came to.

    Attributes:
        answered: how many were let in and answered.
        failures: those that TLS refused, on either side. A server that is just ending is no such failure.
    """

    answered: int = 0
    failures: list[str] = field(default_factory=list)


async def query(program: Program, servers: Callable[[], Sequence[Server]], traffic: Traffic) -> None:
    """What `thanos query` does, again and again: verify every server, show its own leaf, and read an answer.

    The leaf is read for each connection, the CA bundle once.
    """
    trusted = program.read(program.flag("--grpc-client-tls-ca")).decode()
    certificate, key = program.flag("--grpc-client-tls-cert"), program.flag("--grpc-client-tls-key")
    while True:
        for server in servers():
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(cadata=trusted)
            load_chain(context, program.read(certificate), program.read(key))
            context.set_alpn_protocols(["h2"])
            try:
                async with asyncio.timeout(_IDLE):
                    reader, writer = await asyncio.open_connection(
                        server.address, server.port, ssl=context, server_hostname=SERVER_NAME
                    )
                    try:
                        if await reader.read(_CHUNK):
                            traffic.answered += 1
                    finally:
                        writer.transport.abort()
            except ssl.SSLError as error:
                reason = getattr(error, "verify_message", "") or error.reason
                traffic.failures.append(f"{program.pod} -> {server.program.pod} {server.program.container}: {reason}")
            except OSError:
                pass
        await asyncio.sleep(_QUERY_PAUSE)
