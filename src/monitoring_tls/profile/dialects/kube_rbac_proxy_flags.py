"""Flags of kube-rbac-proxy: those of Kubernetes, and HTTP/2 off where its own rules rule it out.

Source: kube-rbac-proxy v0.19.1, ``cmd/kube-rbac-proxy/app/kube-rbac-proxy.go``: it calls ``http2.ConfigureServer``
(golang.org/x/net) after setting suites and minimum, and that fails, and the program ends, where a minimum below TLS 1.3
comes with a list that has neither of the AES128-GCM suites of HTTP/2. ``--http2-disable`` skips the call.
"""

from dataclasses import replace
from typing import Final

from monitoring_tls.model.profile import EffectiveProfile
from monitoring_tls.profile.dialects import go_flags
from monitoring_tls.profile.facts import HTTP2_SUITES
from monitoring_tls.profile.settings import Settings

HTTP2_DISABLE: Final = "--http2-disable"
NAMES: Final = (*go_flags.NAMES, HTTP2_DISABLE)


def settings(profile: EffectiveProfile) -> Settings:
    """Minimum and suites, and ``--http2-disable=true`` only where it must be: otherwise it is the administrator's."""
    base = go_flags.settings(profile)
    if not profile.ciphers or not HTTP2_SUITES.isdisjoint(profile.ciphers):
        return base
    return replace(
        base,
        flags={**base.flags, HTTP2_DISABLE: "true"},
        clamped=("HTTP/2 is turned off: no cipher of the profile is one that HTTP/2 needs",),
    )
