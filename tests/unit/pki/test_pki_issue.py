from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from monitoring_tls.errors import PkiError
from monitoring_tls.model.certificate import IssuingPolicy, KeyAlgorithm, LeafSpec
from monitoring_tls.pki.facts import certificate_of
from monitoring_tls.pki.issue import cross_sign, issue_ca, issue_leaf
from tests.pki_support import CLIENT, NOW, SERVER, WORKING, Adopted, permitted, pooled_key

P256, P384, RSA = KeyAlgorithm.ECDSA_P256, KeyAlgorithm.ECDSA_P384, KeyAlgorithm.RSA_2048
CA_POLICY = IssuingPolicy(P256, timedelta(days=730))
LEAF_POLICY = IssuingPolicy(P256, timedelta(days=90))
CA_KEY = pooled_key(P256, 0)
CA = issue_ca("grpc", CA_POLICY, CA_KEY, NOW, 0x1234)
SERIAL = 7


def test_a_ca_follows_rfc_5280() -> None:
    assert CA.is_ca
    assert CA.path_length is None
    assert CA.key_usages == frozenset({"keyCertSign", "cRLSign"})
    assert CA.extended_key_usages is None
    assert CA.ski == CA.aki
    assert CA.subject == CA.issuer
    assert CA.serial == 0x1234
    assert CA.not_before == NOW - timedelta(hours=1)
    assert CA.not_after == NOW + timedelta(days=730)
    extensions = certificate_of(CA).extensions
    critical = {extension.oid for extension in extensions if extension.critical}
    assert critical == {x509.BasicConstraints.oid, x509.KeyUsage.oid}


def test_no_two_cas_share_a_name() -> None:
    assert CA.common_name == "grpc CA 2026-03-01 0000000000001234"
    other = issue_ca("grpc", CA_POLICY, CA_KEY, NOW, 0x1235)
    assert other.subject != CA.subject


def test_a_long_domain_leaves_the_distinct_part_whole() -> None:
    name = issue_ca("d" * 100, CA_POLICY, CA_KEY, NOW, 0x1234).common_name
    assert name is not None
    assert len(name) == 64
    assert name.endswith(" CA 2026-03-01 0000000000001234")


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [(P256, hashes.SHA256), (P384, hashes.SHA384), (KeyAlgorithm.ECDSA_P521, hashes.SHA512), (RSA, hashes.SHA256)],
)
def test_the_hash_is_as_strong_as_the_key(algorithm: KeyAlgorithm, expected: type[hashes.HashAlgorithm]) -> None:
    made = certificate_of(issue_ca("grpc", CA_POLICY, pooled_key(algorithm, 0), NOW, SERIAL))
    assert isinstance(made.signature_hash_algorithm, expected)


@pytest.mark.parametrize("spec", [CLIENT, SERVER])
@pytest.mark.parametrize("algorithm", [P256, RSA])
def test_a_leaf_follows_rfc_5280(spec: LeafSpec, algorithm: KeyAlgorithm) -> None:
    key = pooled_key(algorithm, 1)
    leaf = issue_leaf(spec, LEAF_POLICY, CA, CA_KEY, key, NOW, SERIAL)
    assert not leaf.is_ca
    assert leaf.common_name == spec.common_name
    assert leaf.dns_names == spec.dns_names
    enciphers = {"keyEncipherment"} if algorithm is RSA else set()
    assert leaf.key_usages == frozenset({"digitalSignature"} | enciphers)
    assert leaf.extended_key_usages == frozenset({"1.3.6.1.5.5.7.3.2" if spec is CLIENT else "1.3.6.1.5.5.7.3.1"})
    assert leaf.issuer == CA.subject
    assert leaf.aki == CA.ski
    assert leaf.ski
    assert leaf.spki == key.spki
    assert leaf.serial == SERIAL
    assert leaf.not_before == NOW - timedelta(hours=1)
    assert leaf.not_after == NOW + timedelta(days=90)
    certificate_of(leaf).verify_directly_issued_by(certificate_of(CA))


def test_a_leaf_lies_within_its_issuers_life() -> None:
    late = issue_leaf(SERVER, LEAF_POLICY, CA, CA_KEY, CA_KEY, CA.not_after - timedelta(days=1), SERIAL)
    assert late.not_after == CA.not_after
    early = issue_leaf(SERVER, LEAF_POLICY, CA, CA_KEY, CA_KEY, CA.not_before + timedelta(minutes=1), SERIAL)
    assert early.not_before == CA.not_before


def test_an_expired_ca_issues_nothing() -> None:
    with pytest.raises(PkiError, match="is valid from"):
        issue_leaf(SERVER, LEAF_POLICY, CA, CA_KEY, CA_KEY, CA.not_after + timedelta(days=2), SERIAL)
    old = Adopted(life=timedelta(days=1)).make(CA_KEY)
    with pytest.raises(PkiError, match="is valid from"):
        cross_sign(CA, old, CA_KEY, SERIAL)


def test_times_are_utc_in_whole_seconds() -> None:
    moment = datetime(2026, 3, 1, 14, 0, 0, 999999, tzinfo=timezone(timedelta(hours=2)))
    made = issue_ca("grpc", CA_POLICY, CA_KEY, moment, SERIAL)
    assert made.not_after == NOW + timedelta(days=730)
    assert made.not_after.tzinfo is UTC


def test_a_short_life_is_not_spent_before_it_begins() -> None:
    short = replace(LEAF_POLICY, duration=timedelta(minutes=3))
    leaf = issue_leaf(SERVER, short, CA, CA_KEY, CA_KEY, NOW, SERIAL)
    assert leaf.not_before == NOW - timedelta(seconds=18)
    assert leaf.renewal_due(2 / 3) > NOW + timedelta(minutes=1)


def test_a_client_of_a_constrained_ca_has_a_common_name_only() -> None:
    constrained = Adopted(constraints=permitted("prometheus-grpc")).make(CA_KEY)
    client = issue_leaf(CLIENT, LEAF_POLICY, constrained, CA_KEY, CA_KEY, NOW, SERIAL)
    server = issue_leaf(SERVER, LEAF_POLICY, constrained, CA_KEY, CA_KEY, NOW, SERIAL)
    assert client.dns_names == ()
    assert server.dns_names == SERVER.dns_names


@pytest.mark.parametrize("kind", sorted(WORKING))
def test_cross_signing_certifies_the_new_ca_by_the_old(kind: str) -> None:
    old_key = pooled_key(RSA, 0)
    old = WORKING[kind].make(old_key)
    cross = cross_sign(CA, old, old_key, SERIAL)
    assert (cross.subject, cross.spki, cross.ski) == (CA.subject, CA.spki, CA.ski)
    assert cross.issuer == old.subject
    assert cross.not_before == max(CA.not_before, old.not_before)
    assert cross.not_after == min(CA.not_after, old.not_after)
    assert cross.is_ca
    assert cross.path_length is None
    assert cross.aki is not None
    assert old.ski is None or cross.aki == old.ski
    assert certificate_of(cross).issuer.public_bytes() == certificate_of(old).subject.public_bytes()
    certificate_of(cross).verify_directly_issued_by(certificate_of(old))
