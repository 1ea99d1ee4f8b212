"""The operator's own HTTPS port: metrics and health, served by the profile that it gives to everybody else.

A change of profile or certificate is taken by the live TLS context: the next connection follows it, and as every
answer ends its connection, none is left that doesn't.
"""

import asyncio
import contextlib
import ssl
import warnings
from collections.abc import Callable
from http import HTTPStatus

import h11

from monitoring_tls.errors import ConfigError, GarbledCertificateError
from monitoring_tls.model.profile import EffectiveProfile, TLSVersion
from monitoring_tls.probe.context import SSL_VERSIONS, load_chain

# A peer that is slower than this, or sends more, is not a scraper.
_PATIENCE = 10.0
_CHUNK = 16 * 1024

Page = tuple[HTTPStatus, str, bytes]
"""Status, content type, body."""


class Endpoint:
    """Serves pages over TLS. Key-exchange groups are OpenSSL's: Python's ssl can't set a list of them."""

    def __init__(self, port: int, page: Callable[[str], Page]) -> None:
        self._port = port
        self._page = page
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port that is listened on, once it is."""
        return int(self._server.sockets[0].getsockname()[1]) if self._server else self._port

    def follow(self, profile: EffectiveProfile) -> None:
        """Accept, from the next connection on, what the profile allows."""
        oldest = SSL_VERSIONS[profile.min_version]
        # OpenSSL refuses TLS 1.0 and 1.1 above security level 0, whatever the minimum says.
        legacy = profile.min_version in {TLSVersion.TLS10, TLSVersion.TLS11}
        with warnings.catch_warnings():
            # Python warns of old versions; whether they are wanted is for the administrator to say.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._context.minimum_version = oldest
        if profile.ciphers:
            self._context.set_ciphers(":".join(profile.ciphers) + (":@SECLEVEL=0" if legacy else ""))

    def serve_certificate(self, chain_pem: bytes, key_pem: bytes) -> None:
        """Serve this certificate from the next connection on.

        Raises:
            GarbledCertificateError: OpenSSL can't use it; the one before stays.
        """
        try:
            load_chain(self._context, chain_pem, key_pem)
        except ssl.SSLError as error:
            raise GarbledCertificateError(f"OpenSSL can't serve it: {error.reason}") from None

    async def start(self, host: str) -> None:
        """Listen.

        Raises:
            ConfigError: the port can't be had.
        """
        try:
            self._server = await asyncio.start_server(
                self._serve, host, self._port, ssl=self._context, ssl_handshake_timeout=_PATIENCE
            )
        except OSError as error:
            problem = f"can't listen on {host} port {self._port}: {error.strerror}"
            raise ConfigError("--metrics-port", problem, "choose a free port") from error

    async def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, h11.RemoteProtocolError, ssl.SSLError):
            async with asyncio.timeout(_PATIENCE):
                await self._answer(reader, writer)
        writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER)
        while not isinstance(event := connection.next_event(), h11.Request):
            if event is h11.NEED_DATA:
                connection.receive_data(await reader.read(_CHUNK))
            else:
                return
        status, kind, body = self._page(event.target.decode("ascii", "replace").partition("?")[0])
        headers = [("Content-Type", kind), ("Content-Length", str(len(body))), ("Connection", "close")]
        if event.method == b"GET":
            writer.write(connection.send(h11.Response(status_code=status, headers=headers)) or b"")
            writer.write(connection.send(h11.Data(data=body)) or b"")
            writer.write(connection.send(h11.EndOfMessage()) or b"")
        else:
            refusal = h11.Response(status_code=HTTPStatus.METHOD_NOT_ALLOWED, headers=[("Connection", "close")])
            writer.write(connection.send(refusal) or b"")
        await writer.drain()
