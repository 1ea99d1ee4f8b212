"""Client contexts for looking: every version and suite that OpenSSL has, nothing verified, no key on a disk."""

import os
import ssl
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Final

from monitoring_tls.model.profile import TLSVersion

EVERYTHING: Final = "ALL:!aNULL:@SECLEVEL=0"
"""Every suite with a certificate. Without level 0, OpenSSL ≥ 3 offers neither TLS 1.0 and 1.1 nor their signatures."""

SSL_VERSIONS: Final = MappingProxyType(
    {
        TLSVersion.TLS10: ssl.TLSVersion.TLSv1,
        TLSVersion.TLS11: ssl.TLSVersion.TLSv1_1,
        TLSVersion.TLS12: ssl.TLSVersion.TLSv1_2,
        TLSVersion.TLS13: ssl.TLSVersion.TLSv1_3,
    }
)
"""Protocol versions as Python's ssl names them."""
_COMPILED_IN: Final = MappingProxyType(
    {
        TLSVersion.TLS10: ssl.HAS_TLSv1,
        TLSVersion.TLS11: ssl.HAS_TLSv1_1,
        TLSVersion.TLS12: ssl.HAS_TLSv1_2,
        TLSVersion.TLS13: ssl.HAS_TLSv1_3,
    }
)


@dataclass(frozen=True, slots=True)
class ClientIdentity:
    """A client certificate with its chain, and its private key, both PEM. Neither is shown in a repr."""

    chain_pem: bytes = field(repr=False)
    key_pem: bytes = field(repr=False)


def can_offer(version: TLSVersion) -> bool:
    """Whether this machine's OpenSSL has the version at all; what it lacks cannot be seen refused."""
    return _COMPILED_IN[version]


@cache
def suites_outside(known: frozenset[str]) -> tuple[str, ...]:
    """OpenSSL's suites of TLS 1.2 and below that are not among ``known``, by their OpenSSL names."""
    offered = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    offered.set_ciphers(EVERYTHING)
    names = (suite["name"] for suite in offered.get_ciphers() if suite["protocol"] != "TLSv1.3")
    return tuple(name for name in names if name not in known)


def looking_context(
    *,
    identity: ClientIdentity | None,
    min_version: TLSVersion | None,
    max_version: TLSVersion | None,
    ciphers: Sequence[str] | None,
    alpn: Sequence[str],
) -> ssl.SSLContext:
    """A context that looks and does not trust: the peer's chain is not verified, since it is what is to be seen.

    Args:
        identity: what to show where the peer asks for a client certificate.
        min_version: oldest version to offer; None is TLS 1.0.
        max_version: newest version to offer; None is TLS 1.3.
        ciphers: suites of TLS 1.2 and below to offer, OpenSSL names; None offers all there are.
        alpn: application protocols to offer.

    Raises:
        ssl.SSLError: the identity cannot be used, or no suite of ``ciphers`` is known here.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers(EVERYTHING if ciphers is None else f"{':'.join(ciphers)}:@SECLEVEL=0")
    with warnings.catch_warnings():
        # Old versions are deprecated, and trying them is the point.
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = SSL_VERSIONS[min_version or TLSVersion.TLS10]
        context.maximum_version = SSL_VERSIONS[max_version or TLSVersion.TLS13]
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if identity is not None:
        load_chain(context, identity.chain_pem, identity.key_pem)
    return context


def load_chain(context: ssl.SSLContext, chain_pem: bytes, key_pem: bytes) -> None:
    """Let a context show this certificate chain.

    ``load_cert_chain`` takes only a path. A memory file has one, in /proc, and is gone with its descriptor: the key is
    never on a disk, and no other user can open it.

    Raises:
        ssl.SSLError: OpenSSL can't use them.
    """
    descriptor = os.memfd_create("chain", os.MFD_CLOEXEC)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor has no Path
        file.write(chain_pem)
        file.write(key_pem)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
