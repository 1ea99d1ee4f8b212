"""Flags of the gRPC client in ``thanos query``.

Source: Thanos v0.42.4, ``cmd/thanos/config.go``: ``--grpc-client-tls-min-version`` takes 1.0 to 1.3 (default 1.3).
There is no flag for suites or groups. These flags are deprecated after v0.43.0.
"""

from typing import Final

from monitoring_tls.model.profile import EffectiveProfile, TLSVersion
from monitoring_tls.profile.settings import Settings

MIN_VERSION: Final = "--grpc-client-tls-min-version"
NAMES: Final = (MIN_VERSION,)

VERSIONS: Final = {
    TLSVersion.TLS10: "1.0",
    TLSVersion.TLS11: "1.1",
    TLSVersion.TLS12: "1.2",
    TLSVersion.TLS13: "1.3",
}


def settings(profile: EffectiveProfile) -> Settings:
    """The one flag there is."""
    unsupported = []
    if profile.ciphers:
        unsupported.append("cipher suites of the gRPC client cannot be set: Go's own are offered")
    if profile.groups:
        unsupported.append("key-exchange groups of the gRPC client cannot be set: Go's own are offered")
    return Settings(flags={MIN_VERSION: VERSIONS[profile.min_version]}, unsupported=tuple(unsupported))
