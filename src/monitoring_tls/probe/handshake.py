"""One TLS handshake, and what came of it.

Only an alert proves that something was refused. A connection that ends without one, or that stays silent, proves
nothing: the peer may be starting, dying or not there.

In TLS 1.3 a client's handshake ends before the server has looked at its certificate (RFC 8446, 4.4.2 and section 2):
whether the certificate is accepted shows only in what is read afterwards. An HTTP/2 server, gRPC among them, then sends
SETTINGS (RFC 9113, 3.4), so bytes mean yes; a server of HTTP/1 says nothing by itself, and nothing means nothing.
"""

import asyncio
import hashlib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from monitoring_tls.model.profile import TLSVersion
from monitoring_tls.probe.context import ClientIdentity, looking_context

_READ: Final = 16 * 1024
_MOST_BYTES: Final = 256 * 1024
"""More than any sensible certificate chain; a peer that sends more in a handshake is not looked at any longer."""

_ALPN: Final = ("h2", "http/1.1")
_H2_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""A client's connection preface: the fixed octets and an empty SETTINGS frame (RFC 9113, 3.4)."""

_HANDSHAKE_RECORD: Final = 22
_SERVER_HELLO: Final = 2
_WIRE: Final = {
    b"\x03\x01": TLSVersion.TLS10,
    b"\x03\x02": TLSVersion.TLS11,
    b"\x03\x03": TLSVersion.TLS12,
}
_NAMED: Final = {
    "TLSv1": TLSVersion.TLS10,
    "TLSv1.1": TLSVersion.TLS11,
    "TLSv1.2": TLSVersion.TLS12,
    "TLSv1.3": TLSVersion.TLS13,
}

CERTIFICATE_ALERTS: Final = frozenset(
    {
        "bad_certificate",
        "unsupported_certificate",
        "certificate_revoked",
        "certificate_expired",
        "certificate_unknown",
        "unknown_ca",
        "access_denied",
        "certificate_required",
    }
)
"""Alerts about the client's certificate (RFC 8446, 6.2): the version and the suite were accepted before."""


class Reach(StrEnum):
    """How far a handshake came."""

    CONNECTED = "Connected"
    REFUSED = "Refused"
    UNREACHABLE = "Unreachable"


@dataclass(frozen=True, slots=True)
class Handshake:
    """What one handshake showed.

    Attributes:
        reach: `Reach.REFUSED` only by an alert during the handshake.
        version: the protocol version that the server chose; also where it refused the handshake after choosing.
        cipher: the suite by its OpenSSL name.
        leaf: SHA-256 of the served certificate's DER form, lower-case hex.
        accepted: whether the client was let in, with its certificate or without one; None where it can't be told.
        alert: the alert's name of RFC 8446 in lower case; None where there was none.
        detail: for people.
    """

    reach: Reach
    version: TLSVersion | None = None
    cipher: str | None = None
    leaf: str | None = None
    accepted: bool | None = None
    alert: str | None = None
    detail: str = ""


async def handshake(
    address: str,
    port: int,
    *,
    server_name: str | None = None,
    identity: ClientIdentity | None = None,
    min_version: TLSVersion | None = None,
    max_version: TLSVersion | None = None,
    ciphers: Sequence[str] | None = None,
    alpn: Sequence[str] = _ALPN,
    timeout: float = 5.0,  # noqa: ASYNC109 - it bounds a whole conversation, and running out of it is a result
    grace: float = 0.5,
) -> Handshake:
    """Shake hands once and hang up. Nothing is verified: this looks, it does not trust.

    Args:
        address: IP address or host name.
        port: TCP port.
        server_name: what to send as SNI; None sends none.
        identity: what to show where the server asks for a client certificate.
        min_version: oldest version to offer; None is TLS 1.0.
        max_version: newest version to offer; None is TLS 1.3.
        ciphers: suites of TLS 1.2 and below to offer; None offers all that OpenSSL has.
        alpn: application protocols to offer.
        timeout: seconds for everything.
        grace: seconds to wait for the server's first bytes after a TLS 1.3 handshake, before and after prodding it; 0
            leaves ``accepted`` open.

    Raises:
        ssl.SSLError: ``identity`` or ``ciphers`` cannot be used at all.
    """
    context = looking_context(
        identity=identity, min_version=min_version, max_version=max_version, ciphers=ciphers, alpn=alpn
    )
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(address, port)
            try:
                return await _Conversation(reader, writer, context, server_name, max_version).hold(grace)
            finally:
                writer.transport.abort()
    except TimeoutError:
        return Handshake(Reach.UNREACHABLE, detail=f"no answer within {timeout:g} s")
    except OSError as error:
        return Handshake(Reach.UNREACHABLE, detail=error.strerror or str(error))


class _Conversation:
    """One connection: TLS over memory buffers, so that what the peer sent can be looked at."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        context: ssl.SSLContext,
        server_name: str | None,
        max_version: TLSVersion | None,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        self._max_version = max_version
        self._first = b""
        self._received = 0

    async def hold(self, grace: float) -> Handshake:
        try:
            while not self._step():
                await self._exchange()
        except ssl.SSLError as error:
            return self._failed(error)
        except (EOFError, ConnectionError) as error:
            if not self._received:
                return Handshake(Reach.UNREACHABLE, detail=f"the connection ended before any answer: {error}")
            return Handshake(Reach.UNREACHABLE, self._chosen(), detail=f"the handshake ended without an alert: {error}")
        return await self._after(grace)

    def _step(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    async def _flush(self) -> None:
        self._writer.write(self._outgoing.read())
        await self._writer.drain()

    async def _exchange(self) -> None:
        await self._flush()
        data = await self._reader.read(_READ)
        if not data:
            message = "closed by the peer"
            raise EOFError(message)
        self._received += len(data)
        if self._received > _MOST_BYTES:
            message = f"more than {_MOST_BYTES} bytes"
            raise EOFError(message)
        self._first = (self._first + data)[:16]
        self._incoming.write(data)

    def _failed(self, error: ssl.SSLError) -> Handshake:
        alert = _alert(error)
        if alert is None:
            return Handshake(
                Reach.UNREACHABLE, self._chosen(), detail=f"answers, but not in TLS as asked: {error.reason}"
            )
        accepted = False if alert in CERTIFICATE_ALERTS else None
        return Handshake(Reach.REFUSED, self._chosen(), accepted=accepted, alert=alert, detail=f"alert {alert}")

    def _chosen(self) -> TLSVersion | None:
        """The version in a ServerHello, where the handshake went no further: its third field, up to TLS 1.2."""
        if self._max_version is None or self._max_version is TLSVersion.TLS13:
            return None
        if self._first[:1] != bytes((_HANDSHAKE_RECORD,)) or self._first[5:6] != bytes((_SERVER_HELLO,)):
            return None
        return _WIRE.get(self._first[9:11])

    async def _after(self, grace: float) -> Handshake:
        der = self._tls.getpeercert(binary_form=True) or b""
        cipher = self._tls.cipher()
        version = _NAMED.get(self._tls.version() or "")
        # Up to TLS 1.2 the server's Finished follows its judgement of the client's certificate (RFC 5246, 7.3).
        accepted, alert, detail = (
            (True, None, "") if version is not TLSVersion.TLS13 else await self._first_words(grace)
        )
        return Handshake(
            Reach.CONNECTED,
            version,
            cipher[0] if cipher else None,
            hashlib.sha256(der).hexdigest() if der else None,
            accepted,
            alert,
            detail,
        )

    async def _first_words(self, grace: float) -> tuple[bool | None, str | None, str]:
        if not grace:
            return None, None, ""
        prods = (b"", _H2_PREFACE) if self._tls.selected_alpn_protocol() == "h2" else (b"",)
        for prod in prods:
            try:
                if prod:
                    self._tls.write(prod)
                async with asyncio.timeout(grace):
                    await self._data()
            except TimeoutError:
                continue
            except ssl.SSLError as error:
                alert = _alert(error)
                refused = False if alert in CERTIFICATE_ALERTS else None
                return refused, alert, f"alert {alert}" if alert else f"after the handshake: {error.reason}"
            except (EOFError, ConnectionError) as error:
                return None, None, f"after the handshake: {error}"
            return True, None, ""
        return None, None, "nothing was said after the handshake"

    async def _data(self) -> None:
        """Wait for application data."""
        await self._flush()
        while True:
            try:
                if not self._tls.read(_READ):
                    message = "closed by the peer"
                    raise EOFError(message)
            except ssl.SSLWantReadError:
                await self._exchange()
            else:
                return


def _alert(error: ssl.SSLError) -> str | None:
    """The name of the peer's alert, from OpenSSL's reason, for instance ``TLSV1_ALERT_PROTOCOL_VERSION``."""
    _, _, name = (error.reason or "").partition("_ALERT_")
    return name.lower() or None
