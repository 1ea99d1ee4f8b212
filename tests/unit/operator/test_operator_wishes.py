from monitoring_tls.model.desired import Mode
from monitoring_tls.operator.wishes import OWN_DOMAIN, Asked, Place

PLACE = Place("openshift-monitoring", "monitoring-tls-operator")
BROKEN = {
    "tlsSecurityProfile": {"type": "Custom", "custom": {"ciphers": ["nonsense"], "minTLSVersion": "VersionTLS12"}}
}


def test_without_a_profile_object_intermediate_is_followed() -> None:
    desired, problems = Asked(PLACE).read({}, None, None)
    assert desired.profile.effective.name == "Intermediate"
    assert desired.mode is Mode.AUDIT
    assert problems == ()
    assert desired.catalogue.domains[-1].domain == OWN_DOMAIN


def test_a_broken_profile_leaves_the_last_good_one() -> None:
    asked = Asked(PLACE)
    asked.read({}, {"tlsSecurityProfile": {"type": "Modern"}}, None)
    desired, _ = asked.read({}, BROKEN, None)
    assert not desired.profile.valid
    assert desired.profile.effective.name == "Modern"
    assert "Modern stays in force" in desired.profile.message


def test_a_new_process_takes_the_last_good_one_from_the_status() -> None:
    followed = {
        "name": "Custom",
        "minTLSVersion": "VersionTLS12",
        "ciphers": ["ECDHE-RSA-AES128-GCM-SHA256"],
        "groups": ["X25519"],
    }
    desired, _ = Asked(PLACE).read({}, BROKEN, {"profile": followed})
    assert not desired.profile.valid
    assert desired.profile.effective.ciphers == ("ECDHE-RSA-AES128-GCM-SHA256",)


def test_a_spec_that_cannot_be_used_leaves_the_last_good_one() -> None:
    asked = Asked(PLACE)
    asked.read({"mode": "Enforce"}, None, None)
    desired, (problem,) = asked.read({"mode": "Enforce", "catalogue": {"name": "nonesuch"}}, None, None)
    assert desired.mode is Mode.ENFORCE
    assert desired.catalogue.name == "openshift-monitoring"
    assert problem.reason == "InvalidSpec"
    assert "nonesuch" in problem.message


def test_in_a_namespace_that_is_not_managed_the_operator_makes_itself_no_secret() -> None:
    desired, _ = Asked(Place("elsewhere", "operator")).read({}, None, None)
    assert [domain.domain for domain in desired.catalogue.domains] == ["grpc"]
