from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from monitoring_tls.model.certificate import CertificateFacts, KeyAlgorithm, LeafSpec
from monitoring_tls.pki.checks import (
    CAContext,
    LeafContext,
    Severity,
    ca_findings,
    cross_signing_obstacles,
    leaf_findings,
    leaf_needs_renewal,
)
from monitoring_tls.pki.domain import Material, begin_both_trusted, begin_cross_signed, create, renew_leaves, retire
from monitoring_tls.pki.keys import PrivateKey
from tests.pki_support import (
    BROKEN,
    CLIENT,
    NOW,
    SERVER,
    WORKING,
    Adopted,
    PooledEntropy,
    adopted_material,
    domain,
    pooled_key,
)

DOMAIN = domain()
STABLE = create(DOMAIN, NOW, PooledEntropy())
CROSSED = begin_cross_signed(STABLE, DOMAIN, "reason", NOW, PooledEntropy())
SOON = NOW + timedelta(hours=1)


def _context(material: Material, spec: LeafSpec, now: datetime = NOW) -> LeafContext:
    leaf = material.leaves[spec.name]
    return LeafContext(
        spec=spec,
        policy=DOMAIN.leaf,
        chain=leaf.chain,
        key=leaf.key.spki,
        bundle=material.bundle,
        issuer=material.bundle[0],
        cross=material.cross,
        now=now,
        renew_at=DOMAIN.renew_at,
    )


def _violated(context: LeafContext) -> list[str]:
    findings = leaf_findings(context)
    reason = leaf_needs_renewal(findings)
    violated = [finding for finding in findings if finding.violated]
    assert reason == (violated[0].message if violated else None)
    assert all(finding.severity in {Severity.DUE, Severity.ERROR} for finding in violated)
    return [finding.reason for finding in violated]


@pytest.mark.parametrize("spec", [CLIENT, SERVER])
@pytest.mark.parametrize("material", [STABLE, CROSSED, retire(CROSSED, DOMAIN, NOW)])
def test_our_own_leaves_are_right(material: Material, spec: LeafSpec) -> None:
    findings = leaf_findings(_context(material, spec))
    assert leaf_needs_renewal(findings) is None
    assert {finding.severity for finding in findings} == {Severity.OK}
    assert len({finding.reason for finding in findings}) == len(findings) == 9


@pytest.mark.parametrize("spec", [CLIENT, SERVER])
@pytest.mark.parametrize("kind", sorted(WORKING))
def test_cmos_leaves_are_right(kind: str, spec: LeafSpec) -> None:
    findings = leaf_findings(_context(adopted_material(WORKING[kind]), spec))
    assert leaf_needs_renewal(findings) is None
    assert [finding.reason for finding in findings if finding.severity is Severity.INFO] == ["OtherAlgorithm"]


def test_leaves_of_the_old_ca_are_right_while_introduced() -> None:
    begun = begin_both_trusted(STABLE, DOMAIN, "reason", NOW, PooledEntropy())
    context = _context(begun, SERVER)
    assert _violated(replace(context, issuer=begun.bundle[1])) == []
    assert _violated(context) == ["WrongIssuer"]


SERVER_CONTEXT = _context(STABLE, SERVER)
CLIENT_CONTEXT = _context(STABLE, CLIENT)
LEAF = SERVER_CONTEXT.chain[0]
OTHER_CA = create(DOMAIN, NOW, PooledEntropy())


@pytest.mark.parametrize(
    ("context", "reasons"),
    [
        (replace(SERVER_CONTEXT, chain=()), ["Missing"]),
        (replace(SERVER_CONTEXT, chain=(), garbled="not PEM"), ["Garbled"]),
        (replace(SERVER_CONTEXT, key=None), ["KeyMissing"]),
        (replace(SERVER_CONTEXT, key="00"), ["KeyMismatch"]),
        (replace(SERVER_CONTEXT, now=LEAF.not_before - timedelta(seconds=1)), ["NotYetValid"]),
        (replace(SERVER_CONTEXT, now=LEAF.not_after + timedelta(seconds=1)), ["Expired", "RenewalDue"]),
        (replace(SERVER_CONTEXT, now=LEAF.renewal_due(2 / 3)), ["RenewalDue"]),
        (replace(SERVER_CONTEXT, now=LEAF.renewal_due(2 / 3) - timedelta(seconds=1)), []),
        (replace(SERVER_CONTEXT, issuer=OTHER_CA.bundle[0], bundle=OTHER_CA.bundle), ["WrongIssuer"]),
        (replace(SERVER_CONTEXT, bundle=OTHER_CA.bundle), ["IssuerNotTrusted"]),
        (replace(SERVER_CONTEXT, spec=replace(SERVER, dns_names=("prometheus-grpc", "other"))), ["WrongName"]),
        (replace(CLIENT_CONTEXT, spec=replace(CLIENT, common_name="other")), ["WrongName"]),
        (replace(CLIENT_CONTEXT, spec=replace(CLIENT, dns_names=("other",))), ["WrongName"]),
        (replace(CLIENT_CONTEXT, spec=replace(SERVER, dns_names=())), ["WrongIssuer", "WrongUsage"]),
        (
            replace(SERVER_CONTEXT, chain=(replace(LEAF, key_usages=frozenset({"keyEncipherment"})),)),
            ["WrongUsage"],
        ),
    ],
)
def test_what_is_wrong_is_named(context: LeafContext, reasons: list[str]) -> None:
    assert _violated(context) == reasons


def test_a_chain_without_the_cross_signed_certificate_is_incomplete() -> None:
    context = _context(CROSSED, SERVER)
    assert _violated(replace(context, chain=context.chain[:1])) == ["ChainIncomplete"]


def test_a_leaf_of_the_old_ca_is_wrong_while_rolling() -> None:
    context = _context(replace(CROSSED, leaves=STABLE.leaves), SERVER)
    assert _violated(context) == ["WrongIssuer", "ChainIncomplete"]


def test_a_leaf_that_ends_with_its_ca_is_not_renewed_for_ever() -> None:
    late = STABLE.bundle[0].not_after - timedelta(days=3)
    renewed = renew_leaves(STABLE, DOMAIN, (SERVER.name,), late, PooledEntropy())
    context = _context(renewed, SERVER, STABLE.bundle[0].not_after - timedelta(minutes=1))
    assert _violated(context) == []
    assert "EndsWithIssuer" in {finding.reason for finding in leaf_findings(context)}


def test_a_renewed_leaf_is_right_at_once() -> None:
    now = LEAF.renewal_due(2 / 3)
    renewed = renew_leaves(STABLE, DOMAIN, (CLIENT.name, SERVER.name), now, PooledEntropy())
    assert _violated(_context(STABLE, SERVER, now)) == ["RenewalDue"]
    assert _violated(_context(renewed, SERVER, now)) == []


@pytest.mark.parametrize("days", [0.001, 0.01, 1, 90])
def test_a_fresh_leaf_is_never_due(days: float) -> None:
    made = create(domain(leaf_days=days), NOW, PooledEntropy())
    assert _violated(_context(made, SERVER)) == []


def _ca_context(ca: CertificateFacts, now: datetime = NOW) -> CAContext:
    return CAContext(bundle=(ca,), key=ca.spki, now=now, renew_at=2 / 3)


def _ca_violated(context: CAContext) -> list[str]:
    return [finding.reason for finding in ca_findings(context) if finding.violated]


CA = STABLE.bundle[0]


@pytest.mark.parametrize(
    ("context", "reasons"),
    [
        (_ca_context(CA), []),
        (replace(_ca_context(CA), bundle=()), ["Missing"]),
        (replace(_ca_context(CA), bundle=(), garbled="not PEM"), ["Garbled"]),
        (replace(_ca_context(CA), key=None), ["KeyMissing"]),
        (replace(_ca_context(CA), key="00"), ["KeyMismatch"]),
        (_ca_context(CA, CA.not_before - timedelta(seconds=1)), ["NotYetValid"]),
        (_ca_context(CA, CA.not_after + timedelta(seconds=1)), ["Expired", "RenewalDue"]),
        (_ca_context(CA, CA.renewal_due(2 / 3)), ["RenewalDue"]),
        (_ca_context(LEAF), ["NotCA", "CannotIssue"]),
    ],
)
def test_ca_findings(context: CAContext, reasons: list[str]) -> None:
    assert _ca_violated(context) == reasons


@pytest.mark.parametrize("kind", sorted(WORKING))
def test_adopted_cas_that_work_are_right(kind: str) -> None:
    assert _ca_violated(_ca_context(adopted_material(WORKING[kind]).bundle[0])) == []


@pytest.mark.parametrize("kind", sorted(BROKEN))
def test_adopted_cas_that_do_not_work_are_found(kind: str) -> None:
    assert _ca_violated(_ca_context(BROKEN[kind].make(pooled_key(KeyAlgorithm.ECDSA_P256, 0))))


def test_a_ca_of_a_type_that_is_not_verified_here_is_replaced_the_longer_way() -> None:
    ca = Adopted().make(PrivateKey(ed25519.Ed25519PrivateKey.generate()))
    assert _ca_violated(_ca_context(ca)) == ["CannotIssue"]
    assert cross_signing_obstacles(ca, NOW, SOON) == ("signatures of a key of type Ed25519 cannot be verified here",)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("plain", []),
        ("path length 1", []),
        ("both usages", []),
        ("any usage", []),
        ("no key usage", []),
        ("path length 0", ["path length is 0"]),
        ("constrained to all our names", ["name constraints"]),
        ("server usage only", ["extended key usage"]),
        ("client usage only", ["extended key usage"]),
        ("foreign usage only", ["extended key usage"]),
        ("does not sign", ["keyCertSign"]),
        ("not a CA", ["not a CA"]),
        ("expired", ["it ends at 2026-02-28T12:00:00Z"]),
    ],
)
def test_cross_signing_obstacles(kind: str, expected: list[str]) -> None:
    ca = {**WORKING, **BROKEN}[kind].make(pooled_key(KeyAlgorithm.ECDSA_P256, 0))
    obstacles = cross_signing_obstacles(ca, NOW, SOON)
    assert len(obstacles) == len(expected)
    assert all(part in obstacle for part, obstacle in zip(expected, obstacles, strict=True))


def test_the_old_ca_has_to_last_as_long_as_it_is_needed() -> None:
    assert cross_signing_obstacles(CA, NOW, CA.not_after) == ()
    assert len(cross_signing_obstacles(CA, NOW, CA.not_after + timedelta(seconds=1))) == 1
    assert len(cross_signing_obstacles(CA, CA.not_before - timedelta(seconds=1), SOON)) == 1


def test_several_obstacles_are_all_named() -> None:
    ca = Adopted(path_length=0, signs=False).make(pooled_key(KeyAlgorithm.ECDSA_P256, 0))
    assert len(cross_signing_obstacles(ca, NOW, SOON)) == 2
