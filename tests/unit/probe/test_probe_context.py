"""What a looking context offers."""

import ssl

from monitoring_tls.model.profile import TLSVersion
from monitoring_tls.probe.context import can_offer, looking_context, suites_outside
from monitoring_tls.profile.facts import OPENSSL_TO_IANA


def offered(ciphers: list[str] | None) -> set[str]:
    context = looking_context(identity=None, min_version=None, max_version=None, ciphers=ciphers, alpn=())
    return {suite["name"] for suite in context.get_ciphers() if suite["protocol"] != "TLSv1.3"}


def test_everything_is_offered_by_default_but_nothing_anonymous() -> None:
    assert {"ECDHE-ECDSA-AES128-GCM-SHA256", "AES128-SHA", "ECDHE-RSA-AES256-SHA384"} <= offered(None)
    assert not [name for name in offered(None) if name.startswith(("ADH", "AECDH"))]


def test_the_suites_outside_a_set_are_all_the_others() -> None:
    known = frozenset(OPENSSL_TO_IANA)
    others = suites_outside(known)
    assert known.isdisjoint(others)
    assert set(others) | (known & offered(None)) == offered(None)
    assert offered(list(others)) == set(others)


def test_nothing_is_verified() -> None:
    context = looking_context(identity=None, min_version=None, max_version=None, ciphers=None, alpn=("h2",))
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)


def test_this_machine_offers_the_versions_that_clusters_speak() -> None:
    assert can_offer(TLSVersion.TLS12)
    assert can_offer(TLSVersion.TLS13)
