"""Flags of programs that use Kubernetes' own helpers: ``--tls-min-version`` and ``--tls-cipher-suites``.

Source: ``k8s.io/component-base/cli/flag/ciphersuites_flag.go``: Go's version names; IANA suite names, the insecure ones
included. An absent suites flag means Go's default list, so it is removed only where TLS 1.3 alone is on and the list
has no effect. There is no flag for groups in that package.
"""

from typing import Final

from monitoring_tls.model.profile import EffectiveProfile
from monitoring_tls.profile.settings import Settings

MIN_VERSION: Final = "--tls-min-version"
CIPHER_SUITES: Final = "--tls-cipher-suites"
NAMES: Final = (MIN_VERSION, CIPHER_SUITES)


def settings(profile: EffectiveProfile) -> Settings:
    """The two flags."""
    return Settings(
        flags={
            MIN_VERSION: profile.min_version.value,
            CIPHER_SUITES: ",".join(profile.iana_ciphers) or None,
        },
        unsupported=("key-exchange groups cannot be set: Go's own are offered",) if profile.groups else (),
    )
