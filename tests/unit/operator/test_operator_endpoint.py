import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from http import HTTPStatus

import pytest

from monitoring_tls.errors import ConfigError, PkiError
from monitoring_tls.model.profile import EffectiveProfile, TLSVersion
from monitoring_tls.operator.endpoint import Endpoint, Page
from monitoring_tls.operator.wishes import OWN_LEAF, Place, own_domain
from monitoring_tls.pki.domain import create
from monitoring_tls.pki.facts import bundle_pem
from monitoring_tls.pki.keys import SystemEntropy
from monitoring_tls.probe.handshake import Handshake, handshake
from monitoring_tls.profile.resolve import resolve


def profile(kind: str) -> EffectiveProfile:
    found = resolve({"type": kind})
    assert isinstance(found, EffectiveProfile)
    return found


def page(path: str) -> Page:
    return HTTPStatus.OK, "text/plain", path.encode()


def certify(endpoint: Endpoint) -> str:
    leaf = create(own_domain(Place("a", "b")), datetime.now(UTC), SystemEntropy()).leaves[OWN_LEAF]
    endpoint.serve_certificate(bundle_pem(leaf.chain), leaf.key.pem())
    return leaf.chain[0].fingerprint


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    served = Endpoint(0, page)
    certify(served)
    await served.start("127.0.0.1")
    yield served
    await served.stop()


async def look(endpoint: Endpoint, newest: TLSVersion | None = None) -> Handshake:
    return await handshake("127.0.0.1", endpoint.port, max_version=newest, timeout=5)


async def ask(endpoint: Endpoint, request: bytes) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port, ssl=context)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


async def test_a_change_of_the_profile_is_followed_by_the_next_connection(endpoint: Endpoint) -> None:
    endpoint.follow(profile("Intermediate"))
    assert (await look(endpoint, TLSVersion.TLS12)).version == TLSVersion.TLS12
    endpoint.follow(profile("Modern"))
    # asyncio closes such a connection without sending OpenSSL's alert, so that no version is all there is to see.
    assert (await look(endpoint, TLSVersion.TLS12)).version is None
    assert (await look(endpoint)).version == TLSVersion.TLS13
    endpoint.follow(profile("Old"))
    assert (await look(endpoint, TLSVersion.TLS10)).version == TLSVersion.TLS10
    endpoint.follow(profile("Intermediate"))
    assert (await look(endpoint, TLSVersion.TLS11)).version is None


async def test_a_new_certificate_is_served_by_the_next_connection(endpoint: Endpoint) -> None:
    fingerprint = certify(endpoint)
    assert (await look(endpoint)).leaf == fingerprint


async def test_a_certificate_that_cannot_be_served_leaves_the_one_before(endpoint: Endpoint) -> None:
    fingerprint = certify(endpoint)
    with pytest.raises(PkiError):
        endpoint.serve_certificate(b"garbage", b"garbage")
    assert (await look(endpoint)).leaf == fingerprint


async def test_pages_are_answered_and_the_connection_ends(endpoint: Endpoint) -> None:
    answer = await ask(endpoint, b"GET /metrics?x=1 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"/metrics")
    assert b"Connection: close" in answer


async def test_other_methods_are_refused(endpoint: Endpoint) -> None:
    assert (await ask(endpoint, b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")).startswith(
        b"HTTP/1.1 405"
    )


async def test_what_is_no_request_is_hung_up_on(endpoint: Endpoint) -> None:
    assert await ask(endpoint, b"\x00garbage\r\n\r\n") == b""


async def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        endpoint = Endpoint(taken.getsockname()[1], page)
        certify(endpoint)
        with pytest.raises(ConfigError, match="--metrics-port"):
            await endpoint.start("127.0.0.1")
