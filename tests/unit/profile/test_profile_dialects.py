"""What each dialect writes."""

import pytest

from monitoring_tls.model.component import Dialect
from monitoring_tls.model.profile import EffectiveProfile
from monitoring_tls.profile.dialects import owned, settings, writes_flags
from monitoring_tls.profile.resolve import resolve


def profile(name: str, *ciphers: str, groups: tuple[str, ...] = (), minimum: str = "VersionTLS12") -> EffectiveProfile:
    custom = {"minTLSVersion": minimum, "ciphers": list(ciphers), "groups": list(groups)}
    result = resolve({"type": name, "custom": custom})
    assert isinstance(result, EffectiveProfile)
    return result


SUITES = (
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,"
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,"
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"
)


@pytest.mark.parametrize("dialect", [Dialect.GO_FLAGS, Dialect.KUBE_RBAC_PROXY_FLAGS])
def test_go_flags(dialect: Dialect) -> None:
    assert settings(dialect, profile("Intermediate")).flags == {
        "--tls-min-version": "VersionTLS12",
        "--tls-cipher-suites": SUITES,
    }
    assert settings(dialect, profile("Modern")).flags == {
        "--tls-min-version": "VersionTLS13",
        "--tls-cipher-suites": None,
    }
    assert settings(dialect, profile("Modern")).unsupported


def test_kube_rbac_proxy_turns_http2_off_only_where_it_would_not_start() -> None:
    without = settings(Dialect.KUBE_RBAC_PROXY_FLAGS, profile("Custom", "ECDHE-ECDSA-AES256-GCM-SHA384"))
    assert without.flags["--http2-disable"] == "true"
    assert without.clamped
    with_it = settings(Dialect.KUBE_RBAC_PROXY_FLAGS, profile("Custom", "ECDHE-RSA-AES128-GCM-SHA256"))
    assert "--http2-disable" not in with_it.flags
    assert "--http2-disable" in owned(Dialect.KUBE_RBAC_PROXY_FLAGS)


@pytest.mark.parametrize(("name", "version"), [("Old", "1.0"), ("Intermediate", "1.2"), ("Modern", "1.3")])
def test_thanos_client_flags(name: str, version: str) -> None:
    result = settings(Dialect.THANOS_CLIENT_FLAGS, profile(name))
    assert result.flags == {"--grpc-client-tls-min-version": version}
    assert any("groups" in text for text in result.unsupported)
    assert any("cipher" in text for text in result.unsupported) == (name != "Modern")


def test_prometheus_cr() -> None:
    assert settings(Dialect.PROMETHEUS_CR_GRPC, profile("Intermediate")).fields == {
        "minVersion": "TLS12",
        "cipherSuites": tuple(SUITES.split(",")),
        "curves": ("X25519MLKEM768", "X25519", "CurveP256", "CurveP384"),
    }
    modern = settings(Dialect.PROMETHEUS_CR_GRPC, profile("Modern"))
    assert (modern.fields["minVersion"], modern.fields["cipherSuites"]) == ("TLS13", None)
    assert not modern.unsupported


def test_an_absent_list_of_groups_is_removed() -> None:
    custom = profile("Custom", "ECDHE-RSA-AES128-GCM-SHA256")
    assert settings(Dialect.PROMETHEUS_CR_GRPC, custom).fields["curves"] is None


def test_thanos_gets_no_suite_that_it_would_not_start_with() -> None:
    old = settings(Dialect.PROMETHEUS_CR_GRPC, profile("Old"))
    suites = old.fields["cipherSuites"]
    assert isinstance(suites, tuple)
    assert not [suite for suite in suites if suite.startswith("TLS_RSA") or suite.endswith("CBC_SHA256")]
    assert "TLS_RSA_WITH_AES_128_CBC_SHA" in old.unsupported[0]
    assert not old.clamped


def test_no_suite_left_means_tls_13_and_never_gos_defaults() -> None:
    result = settings(Dialect.PROMETHEUS_CR_GRPC, profile("Custom", "AES128-SHA"))
    assert (result.fields["minVersion"], result.fields["cipherSuites"]) == ("TLS13", None)
    assert result.clamped


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize("name", ["Old", "Intermediate", "Modern"])
def test_nothing_is_written_that_is_not_owned(dialect: Dialect, name: str) -> None:
    result = settings(dialect, profile(name))
    assert set(result.flags) <= set(owned(dialect))
    assert set(result.fields) <= set(owned(dialect))
    assert bool(result.flags) == writes_flags(dialect)
    assert bool(result.fields) != writes_flags(dialect)
