"""What is wrong with a certificate: small pure functions over one certificate in its context, each with one finding.

The same findings make up "is it to be renewed?" and what status says of it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from monitoring_tls.model.certificate import CertificateFacts, IssuingPolicy, LeafSpec, LeafUsage
from monitoring_tls.pki.verify import permits, verifiable_key, verifies


class Severity(StrEnum):
    """How a finding weighs.

    Attributes:
        OK: it is as it should be.
        INFO: it differs from what would be made today; nothing is done about it before the next renewal.
        DUE: it works, and is to be replaced in the ordinary course.
        ERROR: peers refuse it, or will.
    """

    OK = "Ok"
    INFO = "Info"
    DUE = "Due"
    ERROR = "Error"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        reason: for machines: which check, and how it came out.
        message: for people: one clause.
        violated: whether the certificate is to be replaced.
    """

    reason: str
    message: str
    violated: bool
    severity: Severity


@dataclass(frozen=True, slots=True)
class LeafContext:
    """A leaf and everything that it is judged by.

    Attributes:
        chain: ``NAME.crt``, leaf first; empty where it is absent or garbled.
        key: the SPKI digest of ``NAME.key``; None where it is absent or garbled.
        bundle: ``ca.crt``.
        issuer: the CA that leaves are to be of now: while a rotation is only `Stage.INTRODUCED` the previous one,
            else the first of the bundle.
        cross: ``cross-ca.crt``, during a cross-signed rotation.
        renew_at: the part of its life (0..1) after which it is renewed.
        garbled: why the certificate or the key can't be read.
    """

    spec: LeafSpec
    policy: IssuingPolicy
    chain: tuple[CertificateFacts, ...]
    key: str | None
    bundle: tuple[CertificateFacts, ...]
    issuer: CertificateFacts
    cross: CertificateFacts | None
    now: datetime
    renew_at: float
    garbled: str | None = None


@dataclass(frozen=True, slots=True)
class CAContext:
    """A domain's CA: as `LeafContext`; the CA is the first certificate of ``bundle``."""

    bundle: tuple[CertificateFacts, ...]
    key: str | None
    now: datetime
    renew_at: float
    garbled: str | None = None


def leaf_findings(context: LeafContext) -> tuple[Finding, ...]:
    """Every check of a leaf, in the order in which they matter; without a readable leaf, only what that takes."""
    present = _present(context.chain, context.garbled)
    if present.violated:
        return (present,)
    return (present, *(check(context) for check in _LEAF_CHECKS))


def ca_findings(context: CAContext) -> tuple[Finding, ...]:
    """Every check of the CA that issues, in the order in which they matter."""
    present = _present(context.bundle, context.garbled)
    if present.violated:
        return (present,)
    return (present, *(check(context) for check in _CA_CHECKS))


def leaf_needs_renewal(findings: Iterable[Finding]) -> str | None:
    """Why a leaf is to be made again, in words; None where it isn't."""
    return next((finding.message for finding in findings if finding.violated), None)


def cross_signing_obstacles(old: CertificateFacts, now: datetime, needed_until: datetime) -> tuple[str, ...]:
    """Why a chain leaf -> cross-signed CA -> ``old`` would not verify in Go; empty where it would.

    By crypto/x509 of Go: ``Certificate.isValid``, ``CheckSignatureFrom`` and ``checkChainForKeyUsage``. Name
    constraints count as an obstacle whatever they say: which names peers will show meanwhile isn't known here.

    Args:
        old: the CA that would sign the new one.
        now: the moment of signing.
        needed_until: by when the last peer will have come to trust the new CA itself.
    """
    limits = (
        (not old.is_ca, "it is not a CA"),
        (old.path_length == 0, "its path length is 0: no CA may stand between it and a leaf"),
        (old.name_constrained, "it has name constraints"),
        (_may_not_sign(old), "its key usage does not include keyCertSign"),
        (not _permits_both(old), "its extended key usage does not include both serverAuth and clientAuth"),
        (not verifiable_key(old), f"signatures of a key of type {old.key_algorithm} cannot be verified here"),
        (old.not_before > now, f"it is not valid before {old.not_before:%Y-%m-%dT%H:%M:%SZ}"),
        (old.not_after < needed_until, f"it ends at {old.not_after:%Y-%m-%dT%H:%M:%SZ}, before the rotation would"),
    )
    return tuple(obstacle for hit, obstacle in limits if hit)


def _ok(reason: str, message: str) -> Finding:
    return Finding(reason, message, violated=False, severity=Severity.OK)


def _error(reason: str, message: str) -> Finding:
    return Finding(reason, message, violated=True, severity=Severity.ERROR)


def _present(certificates: tuple[CertificateFacts, ...], garbled: str | None) -> Finding:
    if garbled is not None:
        return _error("Garbled", f"it cannot be read: {garbled}")
    if not certificates:
        return _error("Missing", "it is missing")
    return _ok("Present", "it is there and can be read")


def _key_matches(certificate: CertificateFacts, key: str | None) -> Finding:
    if key is None:
        return _error("KeyMissing", "its private key is missing")
    if key != certificate.spki:
        return _error("KeyMismatch", "its private key is another certificate's")
    return _ok("KeyMatches", "its private key is its own")


def _in_time(certificate: CertificateFacts, now: datetime) -> Finding:
    if now < certificate.not_before:
        return _error("NotYetValid", f"it is not valid before {certificate.not_before:%Y-%m-%dT%H:%M:%SZ}")
    if now > certificate.not_after:
        return _error("Expired", f"it expired at {certificate.not_after:%Y-%m-%dT%H:%M:%SZ}")
    return _ok("InTime", f"it is valid until {certificate.not_after:%Y-%m-%dT%H:%M:%SZ}")


def _due(certificate: CertificateFacts, renew_at: float, now: datetime) -> Finding:
    due = certificate.renewal_due(renew_at)
    if now < due:
        return _ok("NotDue", f"its renewal is due at {due:%Y-%m-%dT%H:%M:%SZ}")
    message = f"its renewal has been due since {due:%Y-%m-%dT%H:%M:%SZ}"
    return Finding("RenewalDue", message, violated=True, severity=Severity.DUE)


def _leaf_key(context: LeafContext) -> Finding:
    return _key_matches(context.chain[0], context.key)


def _leaf_in_time(context: LeafContext) -> Finding:
    return _in_time(context.chain[0], context.now)


def _leaf_issuer(context: LeafContext) -> Finding:
    leaf, issuer = context.chain[0], context.issuer
    # Whether the leaf itself is in time is another check's finding.
    at = min(max(context.now, leaf.not_before), leaf.not_after)
    if not verifies((leaf,), (issuer,), context.spec.usage, None, at):
        return _error("WrongIssuer", f"it does not verify by the CA that issues now, {issuer.subject}")
    if not any(trusted.fingerprint == issuer.fingerprint for trusted in context.bundle):
        return _error("IssuerNotTrusted", f"its CA, {issuer.subject}, is not in the bundle")
    return _ok("IssuerTrusted", f"it verifies by {issuer.subject}")


def _leaf_names(context: LeafContext) -> Finding:
    leaf, spec = context.chain[0], context.spec
    missing = sorted(set(spec.dns_names) - set(leaf.dns_names))
    if spec.usage is LeafUsage.CLIENT:
        if leaf.common_name != spec.common_name:
            return _error("WrongName", f"its common name is {leaf.common_name!r}, not {spec.common_name!r}")
        # CMO's client certificate has a common name only; Go compares no name of a client.
        missing = missing if leaf.dns_names else []
    if missing:
        return _error("WrongName", f"it does not name {', '.join(missing)}")
    return _ok("Names", "it has the names that are wanted")


def _leaf_usage(context: LeafContext) -> Finding:
    leaf, usage = context.chain[0], context.spec.usage
    if not permits(leaf.extended_key_usages, usage):
        return _error("WrongUsage", f"its extended key usage does not include {usage}Auth")
    if leaf.key_usages is not None and "digitalSignature" not in leaf.key_usages:
        return _error("WrongUsage", "its key usage does not include digitalSignature")
    return _ok("Usage", f"it may be used as a {usage}'s")


def _leaf_algorithm(context: LeafContext) -> Finding:
    found, wanted = context.chain[0].key_algorithm, context.policy.key_algorithm
    if found == wanted:
        return _ok("Algorithm", f"its key is {found}")
    message = f"its key is {found}; from its next renewal it will be {wanted}"
    return Finding("OtherAlgorithm", message, violated=False, severity=Severity.INFO)


def _leaf_due(context: LeafContext) -> Finding:
    leaf = context.chain[0]
    if leaf.not_after >= context.issuer.not_after:
        # A new one would end at the same moment: renewing it would go on for ever. The CA's own renewal comes first.
        return _ok("EndsWithIssuer", "it is valid as long as its CA is")
    return _due(leaf, context.renew_at, context.now)


def _leaf_chain(context: LeafContext) -> Finding:
    if context.cross is None:
        return _ok("ChainComplete", "it needs nothing beside it")
    leaf = context.chain[0]
    at = min(max(context.now, leaf.not_before), leaf.not_after)
    old = (trusted for trusted in context.bundle if trusted.subject == context.cross.issuer)
    for root in (context.issuer, *old):
        if not verifies(context.chain, (root,), context.spec.usage, None, at):
            return _error("ChainIncomplete", f"who trusts only {root.subject} could not verify it")
    return _ok("ChainComplete", "it verifies by the new CA and by the old one")


def _ca_key(context: CAContext) -> Finding:
    return _key_matches(context.bundle[0], context.key)


def _ca_in_time(context: CAContext) -> Finding:
    return _in_time(context.bundle[0], context.now)


def _ca_is_ca(context: CAContext) -> Finding:
    ca = context.bundle[0]
    if not ca.is_ca:
        return _error("NotCA", "its basic constraints do not make it a CA")
    if _may_not_sign(ca):
        return _error("NotCA", "its key usage does not include keyCertSign")
    return _ok("CA", "it may sign certificates")


def _ca_fit(context: CAContext) -> Finding:
    """Whether leaves of both kinds could be renewed from it: an adopted CA that can't is replaced while all is well."""
    ca = context.bundle[0]
    if not _permits_both(ca):
        return _error("CannotIssue", "its extended key usage does not include both serverAuth and clientAuth")
    if not verifiable_key(ca):
        return _error("CannotIssue", f"signatures of a key of type {ca.key_algorithm} cannot be verified here")
    return _ok("CanIssue", "it can issue server and client certificates")


def _ca_due(context: CAContext) -> Finding:
    return _due(context.bundle[0], context.renew_at, context.now)


def _may_not_sign(ca: CertificateFacts) -> bool:
    return ca.key_usages is not None and "keyCertSign" not in ca.key_usages


def _permits_both(ca: CertificateFacts) -> bool:
    return all(permits(ca.extended_key_usages, usage) for usage in LeafUsage)


_LEAF_CHECKS: tuple[Callable[[LeafContext], Finding], ...] = (
    _leaf_key,
    _leaf_in_time,
    _leaf_issuer,
    _leaf_names,
    _leaf_usage,
    _leaf_chain,
    _leaf_due,
    _leaf_algorithm,
)
_CA_CHECKS: tuple[Callable[[CAContext], Finding], ...] = (_ca_key, _ca_in_time, _ca_is_ca, _ca_fit, _ca_due)
