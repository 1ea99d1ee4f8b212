"""Handshakes with the stack's ports, by Python's own TLS: a second opinion beside the operator's probes."""

import contextlib
import hashlib
import os
import socket
import ssl
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from demo.journal import PodJournal

SERVER_NAME: Final = "prometheus-grpc"

PORTS: Final = {
    "prometheus-k8s": {10901: "thanos-sidecar", 9091: "kube-rbac-proxy-web", 10903: "kube-rbac-proxy-thanos"},
    "prometheus-user-workload": {
        10901: "thanos-sidecar",
        9091: "kube-rbac-proxy-metrics",
        10903: "kube-rbac-proxy-thanos",
    },
    "thanos-ruler-user-workload": {10901: "thanos-ruler", 9091: "kube-rbac-proxy-web"},
    "thanos-querier": {9091: "kube-rbac-proxy-web"},
    "monitoring-tls-operator": {8443: "monitoring-tls-operator"},
}
"""For each workload its TLS ports, and the container behind each."""

GRPC_PORT: Final = 10901
_TIMEOUT: Final = 5.0


class Result(StrEnum):
    """How a handshake ended."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    CLOSED = "closed"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A TLS port of a pod."""

    pod: str
    container: str
    address: str
    port: int

    def __str__(self) -> str:
        return f"{self.pod}/{self.container}:{self.port}"


@dataclass(frozen=True, slots=True)
class Handshake:
    """What one handshake showed: ``leaf`` is the SHA-256 of the served certificate, in hexadecimal."""

    endpoint: Endpoint
    result: Result
    detail: str
    leaf: str | None = None


@dataclass(frozen=True, slots=True)
class ClientPair:
    """The querier's certificate and key, and the bundle by which it verifies servers; all PEM, in memory only."""

    certificate: bytes = field(repr=False)
    key: bytes = field(repr=False)
    bundle: str = field(repr=False)


def endpoints(journal: PodJournal) -> list[Endpoint]:
    """Every TLS port of the pods that are there."""
    return [
        Endpoint(life.name, container, life.ip, port)
        for life in journal.present()
        if life.ip
        for port, container in PORTS.get(life.workload, {}).items()
    ]


def shake_all(targets: Iterable[Endpoint], version: ssl.TLSVersion, pair: ClientPair) -> list[Handshake]:
    """One handshake with each endpoint, at exactly this version."""
    with _contexts(version, pair) as (grpc, other), ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda each: _shake(each, grpc if each.port == GRPC_PORT else other), targets))


def refuses_tls12(targets: Iterable[Endpoint], pair: ClientPair) -> list[Handshake]:
    """Handshakes at TLS 1.2, in which a closed connection counts as a refusal only where TLS 1.3 is accepted meanwhile.

    Go's servers refuse a version by an alert (RFC 8446, 6.2: protocol_version). Python's asyncio, and so the operator's
    own port, closes the connection before its alert is sent: by itself that could also be a process that is ending.
    """
    shakes = shake_all(targets, ssl.TLSVersion.TLSv1_2, pair)
    closed = [shake.endpoint for shake in shakes if shake.result is Result.CLOSED]
    alive = {
        shake.endpoint for shake in shake_all(closed, ssl.TLSVersion.TLSv1_3, pair) if shake.result is Result.ACCEPTED
    }
    return [
        replace(shake, result=Result.REFUSED, detail="closed, while TLS 1.3 is accepted")
        if shake.endpoint in alive
        else shake
        for shake in shakes
    ]


def tell(handshakes: Iterable[Handshake]) -> str:
    """Counts of results, and by name what is neither accepted nor refused."""
    handshakes = list(handshakes)
    counts = Counter(shake.result.value for shake in handshakes)
    text = ", ".join(f"{count} {result}" for result, count in sorted(counts.items()))
    odd = [f"{shake.endpoint}: {shake.detail}" for shake in handshakes if shake.result in {Result.CLOSED, Result.OTHER}]
    return f"{text} ({'; '.join(odd[:3])})" if odd else text


@contextlib.contextmanager
def _contexts(version: ssl.TLSVersion, pair: ClientPair) -> Iterator[tuple[ssl.SSLContext, ssl.SSLContext]]:
    grpc = ssl.create_default_context(cadata=pair.bundle)
    # OpenSSL takes a key from a file only; this one is a piece of memory that has no name and ends with the block.
    descriptor = os.memfd_create("client", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(pair.certificate + pair.key)
        grpc.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    grpc.set_alpn_protocols(["h2"])
    # The other ports' certificates are the service CA's, or the operator's own: not what is looked at here.
    other = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    other.check_hostname = False
    other.verify_mode = ssl.CERT_NONE
    for context in (grpc, other):
        context.minimum_version = context.maximum_version = version
    yield grpc, other


def _shake(endpoint: Endpoint, context: ssl.SSLContext) -> Handshake:
    try:
        with (
            socket.create_connection((endpoint.address, endpoint.port), timeout=_TIMEOUT) as raw,
            context.wrap_socket(raw, server_hostname=SERVER_NAME) as secured,
        ):
            served = secured.getpeercert(binary_form=True) or b""
            return Handshake(
                endpoint,
                Result.ACCEPTED,
                secured.version() or "",
                hashlib.sha256(served).hexdigest() if served else None,
            )
    except ssl.SSLEOFError:
        return Handshake(endpoint, Result.CLOSED, "closed without an alert")
    except ssl.SSLError as error:
        refused = "PROTOCOL_VERSION" in (error.reason or "")
        return Handshake(endpoint, Result.REFUSED if refused else Result.OTHER, error.reason or str(error))
    except ConnectionResetError:
        return Handshake(endpoint, Result.CLOSED, "reset")
    except OSError as error:
        return Handshake(endpoint, Result.OTHER, f"{type(error).__name__} {error.strerror or error}")
