"""``spec.thanos.grpcServerTlsConfig`` of Prometheus and ``spec.grpcServerTlsConfig`` of ThanosRuler.

Source: prometheus-operator v0.93, ``pkg/apis/monitoring/v1/tls_types.go`` (``GRPCServerTLSConfig``: ``minVersion``
TLS10 to TLS13; ``cipherSuites`` and ``curves``, lists of Go's names with at least one item). It hands them to Thanos as
flags. Thanos (v0.42.4, ``pkg/tls/options.go``) looks suites up in ``tls.CipherSuites`` only, and ends when an
insecure one is named.

Needs prometheus-operator ≥ 0.93.1: 0.93.0 joins several suites or groups with commas into one flag, which Thanos takes
as one unknown name, and ends (prometheus-operator #8749). Versions before 0.93 ignore suites and groups.
"""

from dataclasses import replace
from typing import Final

from monitoring_tls.model.profile import EffectiveProfile, TLSVersion
from monitoring_tls.profile.facts import GO_INSECURE, GROUPS
from monitoring_tls.profile.settings import Settings

NAMES: Final = ("minVersion", "cipherSuites", "curves")

_JOINS_LISTS: Final = "0.93.0"

_VERSIONS: Final = {
    TLSVersion.TLS10: "TLS10",
    TLSVersion.TLS11: "TLS11",
    TLSVersion.TLS12: "TLS12",
    TLSVersion.TLS13: "TLS13",
}


def settings(profile: EffectiveProfile) -> Settings:
    """The three keys.

    Where Thanos refuses every suite of the profile, an absent list would mean Go's defaults, which the profile does not
    allow. TLS 1.3 alone is what both can do.
    """
    suites = tuple(suite for suite in profile.iana_ciphers if suite not in GO_INSECURE)
    refused = tuple(suite for suite in profile.iana_ciphers if suite in GO_INSECURE)
    min_version = profile.min_version
    clamped: tuple[str, ...] = ()
    if refused and not suites:
        min_version = TLSVersion.TLS13
        clamped = ("the minimum is TLS 1.3: Thanos takes none of the profile's cipher suites",)
    return Settings(
        fields={
            "minVersion": _VERSIONS[min_version],
            "cipherSuites": suites or None,
            "curves": tuple(GROUPS[group].go for group in profile.groups) or None,
        },
        unsupported=(f"Thanos does not take the cipher suites {', '.join(refused)}",) if refused else (),
        clamped=clamped,
    )


def for_operator(written: Settings, version: str | None) -> Settings:
    """The settings without what a version of prometheus-operator would turn into arguments that end Thanos.

    Args:
        written: what `settings` made.
        version: as the CRDs' annotation ``operator.prometheus.io/version`` says; None where it says nothing.
    """
    too_long = [key for key in ("cipherSuites", "curves") if _length(written.fields.get(key)) > 1]
    if version != _JOINS_LISTS or not too_long:
        return written
    text = (
        f"prometheus-operator {_JOINS_LISTS} hands Thanos several {' and '.join(too_long)} in a form that ends it, "
        "so they are not set: take 0.93.1"
    )
    fields = {**written.fields, **dict.fromkeys(too_long)}
    return replace(written, fields=fields, unsupported=(*written.unsupported, text))


def _length(value: object) -> int:
    return len(value) if isinstance(value, tuple) else 0
