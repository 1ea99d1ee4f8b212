"""Names and lists that everybody else defines: profiles, suites, groups, and what Go makes of them.

Sources:
    * profiles: openshift/api ``config/v1/types_tlssecurityprofile.go``, which follows Mozilla's Server Side TLS 5.8;
    * OpenSSL to IANA names: openshift/library-go ``pkg/crypto/crypto.go``;
    * groups: the IANA registry "TLS Supported Groups", and Go's constants of type ``crypto/tls.CurveID``;
    * Go's lists: ``tls.CipherSuites`` and ``tls.InsecureCipherSuites`` of Go 1.26, ``crypto/tls/cipher_suites.go``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from monitoring_tls.model.profile import TLSVersion

OLD: Final = "Old"
INTERMEDIATE: Final = "Intermediate"
MODERN: Final = "Modern"
CUSTOM: Final = "Custom"

MLKEM768: Final = "X25519MLKEM768"
"""The post-quantum hybrid that Go leaves out in FIPS mode."""


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """A profile of the OpenShift API as it is defined, TLS 1.3 suites and suites that Go cannot serve included."""

    min_version: TLSVersion
    ciphers: tuple[str, ...]
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """A key-exchange group under Go's name and its IANA number."""

    go: str
    iana_id: int


TLS13_SUITES: Final = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
"""The suites of TLS 1.3, equal in both naming systems. Go does not let them be configured: they are always on."""

_DEFAULT_GROUPS: Final = (MLKEM768, "X25519", "secp256r1", "secp384r1")
_INTERMEDIATE_SUITES: Final = (
    *TLS13_SUITES,
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
)

PROFILES: Final[Mapping[str, BuiltIn]] = MappingProxyType(
    {
        OLD: BuiltIn(
            TLSVersion.TLS10,
            (
                *_INTERMEDIATE_SUITES,
                "ECDHE-ECDSA-AES128-SHA256",
                "ECDHE-RSA-AES128-SHA256",
                "ECDHE-ECDSA-AES128-SHA",
                "ECDHE-RSA-AES128-SHA",
                "ECDHE-ECDSA-AES256-SHA384",
                "ECDHE-RSA-AES256-SHA384",
                "ECDHE-ECDSA-AES256-SHA",
                "ECDHE-RSA-AES256-SHA",
                "AES128-GCM-SHA256",
                "AES256-GCM-SHA384",
                "AES128-SHA256",
                "AES256-SHA256",
                "AES128-SHA",
                "AES256-SHA",
                "DES-CBC3-SHA",
            ),
            _DEFAULT_GROUPS,
        ),
        INTERMEDIATE: BuiltIn(TLSVersion.TLS12, _INTERMEDIATE_SUITES, _DEFAULT_GROUPS),
        MODERN: BuiltIn(TLSVersion.TLS13, TLS13_SUITES, _DEFAULT_GROUPS),
    }
)

OPENSSL_TO_IANA: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ECDHE-ECDSA-AES128-GCM-SHA256": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256": "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384": "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384": "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305": "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        "ECDHE-RSA-CHACHA20-POLY1305": "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        "ECDHE-ECDSA-AES128-SHA256": "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
        "ECDHE-RSA-AES128-SHA256": "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
        "AES128-GCM-SHA256": "TLS_RSA_WITH_AES_128_GCM_SHA256",
        "AES256-GCM-SHA384": "TLS_RSA_WITH_AES_256_GCM_SHA384",
        "AES128-SHA256": "TLS_RSA_WITH_AES_128_CBC_SHA256",
        "ECDHE-ECDSA-AES128-SHA": "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
        "ECDHE-RSA-AES128-SHA": "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
        "ECDHE-ECDSA-AES256-SHA": "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
        "ECDHE-RSA-AES256-SHA": "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
        "AES128-SHA": "TLS_RSA_WITH_AES_128_CBC_SHA",
        "AES256-SHA": "TLS_RSA_WITH_AES_256_CBC_SHA",
        "DES-CBC3-SHA": "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
        "ECDHE-RSA-DES-CBC3-SHA": "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    }
)
"""Suites of TLS 1.2 and below that Go can serve, by their name in the OpenShift API."""

NOT_IN_GO: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ECDHE-ECDSA-AES256-SHA384": "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384",
        "ECDHE-RSA-AES256-SHA384": "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384",
        "AES256-SHA256": "TLS_RSA_WITH_AES_256_CBC_SHA256",
    }
)
"""Suites that the API knows and Go has never implemented."""

GO_INSECURE: Final = frozenset(
    {
        "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
        "TLS_RSA_WITH_AES_128_CBC_SHA",
        "TLS_RSA_WITH_AES_256_CBC_SHA",
        "TLS_RSA_WITH_AES_128_CBC_SHA256",
        "TLS_RSA_WITH_AES_128_GCM_SHA256",
        "TLS_RSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
        "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    }
)
"""The suites of `OPENSSL_TO_IANA` in ``tls.InsecureCipherSuites``: programs that look only in ``tls.CipherSuites``
(Thanos, exporter-toolkit) refuse to start when one of these is named."""

HTTP2_SUITES: Final = frozenset({"ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"})
"""One of these must be on for HTTP/2 over TLS 1.2 (RFC 9113, 9.2.2; ``http2.ConfigureServer`` of golang.org/x/net)."""

GROUPS: Final[Mapping[str, Group]] = MappingProxyType(
    {
        "X25519": Group("X25519", 29),
        "secp256r1": Group("CurveP256", 23),
        "secp384r1": Group("CurveP384", 24),
        "secp521r1": Group("CurveP521", 25),
        MLKEM768: Group("X25519MLKEM768", 4588),
        "SecP256r1MLKEM768": Group("SecP256r1MLKEM768", 4587),
        "SecP384r1MLKEM1024": Group("SecP384r1MLKEM1024", 4589),
    }
)
"""Key-exchange groups by their name in the OpenShift API."""
