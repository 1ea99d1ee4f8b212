"""From the API object to effective settings, bad input included."""

from typing import Any

import pytest

from monitoring_tls.model.profile import EffectiveProfile, ProfileProblem, TLSVersion
from monitoring_tls.profile.facts import GO_INSECURE, GROUPS, MLKEM768, NOT_IN_GO, OPENSSL_TO_IANA, PROFILES
from monitoring_tls.profile.resolve import MAX_NAMES, resolve

ECDSA_128 = "ECDHE-ECDSA-AES128-GCM-SHA256"


def effective(spec: object, *, fips: bool = False) -> EffectiveProfile:
    result = resolve(spec, fips=fips)
    assert isinstance(result, EffectiveProfile), result
    return result


def problem(spec: object, *, fips: bool = False) -> ProfileProblem:
    result = resolve(spec, fips=fips)
    assert isinstance(result, ProfileProblem), result
    return result


def custom(**values: Any) -> dict[str, Any]:
    return {"type": "Custom", "custom": {"minTLSVersion": "VersionTLS12", "ciphers": [ECDSA_128], **values}}


@pytest.mark.parametrize("spec", [None, {}, {"type": ""}, {"type": None}, {"type": "Intermediate", "intermediate": {}}])
def test_without_a_choice_it_is_intermediate(spec: object) -> None:
    result = effective(spec)
    assert (result.name, result.min_version) == ("Intermediate", TLSVersion.TLS12)
    assert result.iana_ciphers == (
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    )
    assert result.groups == ("X25519MLKEM768", "X25519", "secp256r1", "secp384r1")
    assert (result.dropped, result.warnings) == ((), ())


def test_modern_has_no_suites_to_configure() -> None:
    result = effective({"type": "Modern"})
    assert (result.min_version, result.ciphers, result.iana_ciphers) == (TLSVersion.TLS13, (), ())
    assert result.dropped == ()


def test_old_lists_what_go_cannot_serve() -> None:
    result = effective({"type": "Old"})
    assert result.min_version is TLSVersion.TLS10
    assert set(result.dropped) == set(NOT_IN_GO)
    assert len(result.ciphers) == 18
    assert all(name in result.warnings[0] for name in NOT_IN_GO)


def test_custom_keeps_the_order_of_its_names() -> None:
    names = ["AES128-SHA", ECDSA_128, "ECDHE-RSA-CHACHA20-POLY1305"]
    result = effective(custom(ciphers=names, groups=["secp521r1", "X25519"]))
    assert result.ciphers == tuple(names)
    assert result.iana_ciphers == tuple(OPENSSL_TO_IANA[name] for name in names)
    assert result.groups == ("secp521r1", "X25519")


def test_custom_without_groups_has_no_opinion_on_them() -> None:
    assert effective(custom()).groups == ()


def test_ciphers_have_no_effect_at_a_minimum_of_tls_13() -> None:
    result = effective(custom(minTLSVersion="VersionTLS13"))
    assert result.ciphers == ()
    assert "have no effect while minTLSVersion is VersionTLS13" in result.warnings[0]
    assert effective(custom(minTLSVersion="VersionTLS13", ciphers=None)).warnings == ()
    assert effective(custom(minTLSVersion="VersionTLS13", ciphers=["TLS_AES_128_GCM_SHA256"])).warnings == ()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ecdhe-rsa-aes128-gcm-sha256", "ECDHE-RSA-AES128-GCM-SHA256"),
        ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
        ("ECDHE-RSA-AES128-GCM-SHA265", "ECDHE-RSA-AES128-GCM-SHA256"),
    ],
)
def test_an_unknown_name_is_left_out_and_listed_with_what_was_meant(name: str, meant: str) -> None:
    result = effective(custom(ciphers=[ECDSA_128, name]))
    assert (result.ciphers, result.dropped) == ((ECDSA_128,), (name,))
    where = "APIServer/cluster spec.tlsSecurityProfile.custom.ciphers[1]"
    assert result.warnings == (f"{where}: {name!r} is not known and was left out; write '{meant}'",)


def test_a_name_like_nothing_known_gets_no_hint() -> None:
    result = effective(custom(ciphers=[ECDSA_128, "\U0001f512"]))
    assert result.warnings[0].endswith("is not known and was left out")


def test_a_group_under_its_go_name_is_told_the_api_name() -> None:
    result = effective(custom(groups=["X25519", "CurveP256"]))
    assert (result.groups, result.dropped) == (("X25519",), ("CurveP256",))
    assert "write 'secp256r1'" in result.warnings[0]


def test_a_name_given_twice_counts_once() -> None:
    result = effective(custom(ciphers=[ECDSA_128, ECDSA_128], groups=["X25519", "X25519"]))
    assert (result.ciphers, result.groups, result.dropped) == ((ECDSA_128,), ("X25519",), ())
    assert len([text for text in result.warnings if "more than once" in text]) == 2


def test_http2_without_its_suite_is_warned_of() -> None:
    assert "HTTP/2" in effective(custom(ciphers=["ECDHE-RSA-AES256-GCM-SHA384"])).warnings[-1]
    assert effective(custom()).warnings == ()


@pytest.mark.parametrize("name", [*PROFILES])
def test_fips_has_no_mlkem(name: str) -> None:
    result = effective({"type": name}, fips=True)
    assert MLKEM768 not in result.groups
    assert MLKEM768 in result.dropped
    assert f"{MLKEM768} is left out in FIPS mode" in result.warnings


@pytest.mark.parametrize(
    ("spec", "field", "value", "remedy"),
    [
        ("Old", "", "Old", "type: Intermediate"),
        ({"type": "modern"}, ".type", "modern", "Old, Intermediate, Modern or Custom"),
        ({"type": ["Old"]}, ".type", "['Old']", "Old, Intermediate, Modern or Custom"),
        ({"type": "Custom"}, ".custom", "", "give minTLSVersion and ciphers"),
        ({"type": "Custom", "custom": "Old"}, ".custom", "Old", "give minTLSVersion"),
        (custom(minTLSVersion="VersionTLS14"), ".custom.minTLSVersion", "VersionTLS14", "VersionTLS12 or VersionTLS13"),
        (custom(minTLSVersion=None), ".custom.minTLSVersion", "", "VersionTLS10, VersionTLS11"),
        (custom(minTLSVersion=["VersionTLS12"]), ".custom.minTLSVersion", "['VersionTLS12']", "VersionTLS13"),
        (custom(ciphers=[]), ".custom.ciphers", "", "name at least one"),
        (custom(ciphers=None), ".custom.ciphers", "", "name at least one"),
        (custom(ciphers=ECDSA_128), ".custom.ciphers", ECDSA_128, "list of names"),
        (custom(ciphers=[ECDSA_128, 7]), ".custom.ciphers[1]", "7", "write a name"),
        (custom(ciphers=["TLS_AES_128_GCM_SHA256"]), ".custom.ciphers", "TLS_AES_128_GCM_SHA256", "VersionTLS13"),
        (custom(ciphers=["AES256-SHA256"]), ".custom.ciphers", "AES256-SHA256", "name at least one"),
        (custom(ciphers=["nonsense"]), ".custom.ciphers", "nonsense", "name at least one"),
        (custom(groups=["nonsense"]), ".custom.groups", "nonsense", "remove the field"),
        (custom(groups="X25519"), ".custom.groups", "X25519", "list of names"),
        (custom(ciphers=["x" * 16] * 65536), ".custom.ciphers", "65536 names", f"at most {MAX_NAMES}"),
    ],
)
def test_what_cannot_be_honoured_is_refused(spec: object, field: str, value: str, remedy: str) -> None:
    result = problem(spec)
    assert (result.field, result.value) == (f"spec.tlsSecurityProfile{field}", value)
    assert remedy in result.remedy
    assert result.message.startswith(f"APIServer/cluster {result.field}: ")


def test_only_mlkem_under_fips_leaves_nothing() -> None:
    result = problem(custom(groups=[MLKEM768]), fips=True)
    assert result.field == "spec.tlsSecurityProfile.custom.groups"
    assert MLKEM768 not in result.remedy


def test_a_name_of_a_mebibyte_is_not_repeated_in_full() -> None:
    result = effective(custom(ciphers=[ECDSA_128, "A" * 1024 * 1024]))
    assert sum(len(text) for text in (*result.dropped, *result.warnings)) < 1000


def test_the_facts_fit_together() -> None:
    for profile in PROFILES.values():
        assert set(profile.groups) <= set(GROUPS)
    assert set(OPENSSL_TO_IANA.values()) >= GO_INSECURE
    assert not set(OPENSSL_TO_IANA) & set(NOT_IN_GO)
    assert len(set(OPENSSL_TO_IANA.values())) == len(OPENSSL_TO_IANA)
