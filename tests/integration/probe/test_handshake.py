"""The probe's handshakes against real TLS peers: Python's ssl, openssl s_server, sockets that misbehave."""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from monitoring_tls.model.profile import TLSVersion
from monitoring_tls.probe.context import ClientIdentity, looking_context
from monitoring_tls.probe.handshake import Reach, handshake
from tests.probe_support import (
    HOST,
    SETTINGS,
    Authority,
    Leaf,
    MutualTLSServer,
    free_port,
    server_context,
    settings_first,
)


async def settings_after_preface(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readexactly(24)
    writer.write(SETTINGS)
    await reader.read(1)
    writer.close()


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


@pytest.mark.parametrize("answer", [settings_first, settings_after_preface])
async def test_bytes_after_the_handshake_show_that_the_certificate_is_accepted(
    answer: Any, serve: Any, server_leaf: Leaf, authority: Authority, tmp_path: Path
) -> None:
    port = await serve(answer, ssl=server_context(server_leaf, tmp_path, authority))
    seen = await handshake(HOST, port, identity=authority.issue("client").identity)
    assert (seen.reach, seen.accepted, seen.version) == (Reach.CONNECTED, True, TLSVersion.TLS13)
    assert seen.leaf == server_leaf.fingerprint


@pytest.mark.parametrize("max_version", [TLSVersion.TLS12, TLSVersion.TLS13])
@pytest.mark.parametrize("foreign", [True, False])
async def test_a_refused_client_certificate_is_told_from_a_refused_version(
    max_version: TLSVersion,
    foreign: bool,  # noqa: FBT001 - a parameter of the test
    server_leaf: Leaf,
    authority: Authority,
    stranger: Authority,
    tmp_path: Path,
) -> None:
    identity = stranger.issue("client").identity if foreign else None
    with MutualTLSServer(server_context(server_leaf, tmp_path, authority)) as server:
        seen = await handshake(HOST, server.port, identity=identity, max_version=max_version)
    assert seen.version is max_version
    if max_version is TLSVersion.TLS13:
        assert (seen.reach, seen.accepted, seen.leaf) == (Reach.CONNECTED, False, server_leaf.fingerprint)
        assert seen.alert == ("unknown_ca" if foreign else "certificate_required")
    else:
        assert seen.reach is Reach.REFUSED
        # OpenSSL says handshake_failure where there is no certificate at all, with TLS 1.2.
        assert seen.alert == ("unknown_ca" if foreign else "handshake_failure")


async def test_a_silent_server_leaves_it_open_whether_the_client_is_accepted(
    serve: Any, server_leaf: Leaf, authority: Authority, tmp_path: Path
) -> None:
    port = await serve(silent, ssl=server_context(server_leaf, tmp_path, authority))
    seen = await handshake(HOST, port, identity=authority.issue("client").identity, grace=0.05)
    assert (seen.reach, seen.accepted) == (Reach.CONNECTED, None)


@pytest.mark.parametrize("version", list(TLSVersion))
async def test_each_version_is_seen_when_it_is_what_the_server_speaks(
    version: TLSVersion, server_leaf: Leaf, tmp_path: Path, start: Callable[..., Any]
) -> None:
    certificate, key = server_leaf.write(tmp_path, "server")
    port = free_port()
    flag = {"VersionTLS10": "-tls1", "VersionTLS11": "-tls1_1", "VersionTLS12": "-tls1_2", "VersionTLS13": "-tls1_3"}
    command = ["openssl", "s_server", "-accept", f"{HOST}:{port}", "-cert", str(certificate), "-key", str(key)]
    start([*command, flag[version], "-cipher", "ALL:@SECLEVEL=0"], port)
    assert (await handshake(HOST, port, grace=0.0)).version is version
    for lower in (other for other in TLSVersion if other.rank < version.rank):
        seen = await handshake(HOST, port, min_version=lower, max_version=lower)
        assert (seen.reach, seen.version, seen.alert) == (Reach.REFUSED, None, "protocol_version"), lower


async def test_suites_that_the_server_does_not_have_are_refused_by_alert(
    server_leaf: Leaf, tmp_path: Path, start: Callable[..., Any]
) -> None:
    certificate, key = server_leaf.write(tmp_path, "server")
    port = free_port()
    command = ["openssl", "s_server", "-accept", f"{HOST}:{port}", "-cert", str(certificate), "-key", str(key)]
    start([*command, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], port)
    seen = await handshake(HOST, port, max_version=TLSVersion.TLS12, ciphers=["ECDHE-ECDSA-AES256-GCM-SHA384"])
    assert (seen.reach, seen.alert, seen.version) == (Reach.REFUSED, "handshake_failure", None)
    seen = await handshake(HOST, port, max_version=TLSVersion.TLS12, ciphers=["ECDHE-ECDSA-AES128-GCM-SHA256"])
    assert (seen.reach, seen.cipher, seen.accepted) == (Reach.CONNECTED, "ECDHE-ECDSA-AES128-GCM-SHA256", True)


async def test_nobody_there_is_unreachable() -> None:
    assert (await handshake(HOST, free_port())).reach is Reach.UNREACHABLE


async def test_an_unknown_name_is_unreachable() -> None:
    assert (await handshake("no-such-host.invalid", 1)).reach is Reach.UNREACHABLE


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.close()


async def plain_text(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    writer.close()


async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # A handshake record of the largest size, over and over: a ServerHello that never ends.
    record = bytes((22, 3, 3, 0x40, 0)) + bytes((2, 0xFF, 0xFF, 0xFF)) + bytes(0x4000 - 4)
    try:
        while True:
            writer.write(record)
            await writer.drain()
    except ConnectionError:
        writer.close()


@pytest.mark.parametrize("answer", [hang_up, plain_text, silent, flood])
async def test_what_is_no_alert_is_no_refusal(answer: Any, serve: Any) -> None:
    port = await serve(answer)
    seen = await handshake(HOST, port, max_version=TLSVersion.TLS11, timeout=0.5)
    assert (seen.reach, seen.version, seen.alert) == (Reach.UNREACHABLE, None, None)
    assert seen.detail


async def test_a_peer_that_goes_on_without_end_is_cut_off(
    server_leaf: Leaf, tmp_path: Path, start: Callable[..., Any]
) -> None:
    certificate, key = server_leaf.write(tmp_path, "server")
    port = free_port()
    command = ["openssl", "s_server", "-accept", f"{HOST}:{port}", "-cert", str(certificate), "-key", str(key)]
    start([*command, "-tls1_3", "-num_tickets", "5000"], port)
    seen = await handshake(HOST, port, timeout=60, grace=30)
    assert (seen.reach, seen.accepted) == (Reach.CONNECTED, None)
    assert "more than" in seen.detail


async def test_an_identity_that_does_not_fit_together_is_an_error(authority: Authority) -> None:
    with pytest.raises(ssl.SSLError):
        await handshake(HOST, 1, identity=ClientIdentity(authority.issue().chain, authority.issue().key))


def test_an_identity_does_not_show_its_key(server_leaf: Leaf) -> None:
    assert "PRIVATE" not in f"{server_leaf.identity!r}{server_leaf.identity}"


def test_an_identity_leaves_no_descriptor_open(server_leaf: Leaf) -> None:
    looking_context(identity=server_leaf.identity, min_version=None, max_version=None, ciphers=None, alpn=())
    open_files = [str(descriptor.resolve()) for descriptor in Path("/proc/self/fd").iterdir()]
    assert not [name for name in open_files if "client-identity" in name]
