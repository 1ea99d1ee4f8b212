from monitoring_tls.model.profile import EffectiveProfile
from monitoring_tls.profile.dialects.prometheus_cr_grpc import for_operator, settings
from monitoring_tls.profile.resolve import resolve


def _profile(spec: object) -> EffectiveProfile:
    found = resolve(spec)
    assert isinstance(found, EffectiveProfile)
    return found


def test_lists_that_would_end_thanos_are_withheld_and_named() -> None:
    written = for_operator(settings(_profile(None)), "0.93.0")
    assert written.fields["minVersion"] == "TLS12"
    assert written.fields["cipherSuites"] is None
    assert written.fields["curves"] is None
    assert "take 0.93.1" in written.unsupported[-1]


def test_other_versions_get_everything() -> None:
    plain = settings(_profile(None))
    for version in ("0.93.1", "0.94.0", None):
        assert for_operator(plain, version) == plain


def test_a_list_of_one_is_handed_over_as_it_should_be() -> None:
    custom = {"ciphers": ["ECDHE-RSA-AES128-GCM-SHA256"], "minTLSVersion": "VersionTLS12", "groups": ["X25519"]}
    plain = settings(_profile({"type": "Custom", "custom": custom}))
    assert for_operator(plain, "0.93.0") == plain
