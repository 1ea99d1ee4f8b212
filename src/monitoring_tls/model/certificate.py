"""Certificates as public facts: what is known of one without its private key."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum


class KeyAlgorithm(StrEnum):
    """A key type with its size, as written in ``spec.certificates``."""

    ECDSA_P256 = "ECDSA-P256"
    ECDSA_P384 = "ECDSA-P384"
    ECDSA_P521 = "ECDSA-P521"
    RSA_2048 = "RSA-2048"
    RSA_3072 = "RSA-3072"
    RSA_4096 = "RSA-4096"
    RSA_8192 = "RSA-8192"


class LeafUsage(StrEnum):
    """The side of a connection that a leaf authenticates (RFC 5280, 4.2.1.12)."""

    SERVER = "server"
    CLIENT = "client"


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """One X.509 certificate, read once.

    Attributes:
        fingerprint: SHA-256 of the DER form, lower-case hex.
        pem: the certificate itself (public), one PEM block ending in a newline.
        subject: the subject in RFC 4514 form; ``issuer`` likewise.
        spki: SHA-256 of the SubjectPublicKeyInfo, lower-case hex: equal for a key and every certificate of it.
        key_algorithm: for instance ``ECDSA-P256`` or ``RSA-2048``; not limited to `KeyAlgorithm`, as adopted
            certificates may use others.
        path_length: the pathLenConstraint; None where there is none.
        key_usages: the names of RFC 5280, for instance ``keyCertSign``; None where the extension is absent.
        extended_key_usages: dotted OIDs; None where the extension is absent.
        name_constrained: whether a nameConstraints extension is present.
    """

    fingerprint: str
    pem: bytes = field(repr=False)
    subject: str
    issuer: str
    common_name: str | None
    dns_names: tuple[str, ...]
    serial: int
    not_before: datetime
    not_after: datetime
    is_ca: bool
    path_length: int | None
    spki: str
    ski: str | None
    aki: str | None
    key_algorithm: str
    key_usages: frozenset[str] | None
    extended_key_usages: frozenset[str] | None
    name_constrained: bool

    def renewal_due(self, renew_at: float) -> datetime:
        """The moment from which this certificate is to be replaced: ``renew_at`` (0..1) of its life."""
        return self.not_before + (self.not_after - self.not_before) * renew_at


@dataclass(frozen=True, slots=True)
class LeafSpec:
    """What a leaf of a trust domain must be; ``name`` is its prefix in the domain's Secret (``NAME.crt``)."""

    name: str
    usage: LeafUsage
    common_name: str
    dns_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DerivedSpec:
    """A Secret that holds the bundle and one leaf of a domain, for one consumer."""

    namespace: str
    name: str
    leaf: str
    certificate_key: str
    private_key_key: str


@dataclass(frozen=True, slots=True)
class IssuingPolicy:
    """How certificates of one kind are made.

    Attributes:
        key_algorithm: for new keys.
        duration: from issue to notAfter; ``backdate`` is added before, against clocks that run behind.
    """

    key_algorithm: KeyAlgorithm
    duration: timedelta
    backdate: timedelta = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class TrustDomain:
    """A CA with its leaves: everything that verifies with the same bundle.

    The domain's Secret (``namespace``/``name``) holds the CA, its key and every leaf; the derived Secrets hold what
    one consumer needs.
    """

    domain: str
    namespace: str
    name: str
    leaves: tuple[LeafSpec, ...]
    derived: tuple[DerivedSpec, ...]
    signer: IssuingPolicy
    leaf: IssuingPolicy
    renew_at: float

    def leaf_spec(self, name: str) -> LeafSpec:
        """The leaf called ``name``; a catalogue is checked for dangling names when it is loaded."""
        return next(spec for spec in self.leaves if spec.name == name)


class Stage(StrEnum):
    """Where a rotation stands.

    Attributes:
        STABLE: one CA; nothing is going on.
        INTRODUCED: (the longer way only) bundles hold the new and the old CA, leaves are still the old ones.
        ROLLING: leaves are the new CA's, bundles hold both; processes are brought to trust the new one.
    """

    STABLE = "Stable"
    INTRODUCED = "Introduced"
    ROLLING = "Rolling"


@dataclass(frozen=True, slots=True)
class Rotation:
    """A rotation that is going on, as the domain's Secret says (annotation ``monitoring-tls.dev/rotation``)."""

    id: str
    reason: str
    stage: Stage
    started: datetime


@dataclass(frozen=True, slots=True)
class SecretView:
    """A Secret as far as it may be remembered: certificates as facts, private keys as digests of their public half.

    Attributes:
        certificates: per data key ending in ``.crt``: the certificates in file order.
        keys: per data key ending in ``.key``: the SPKI digest of the private key (see `CertificateFacts.spki`).
        garbled: per data key that can't be read: why.
        annotations: only those of this project.
        hashed_from: the stable name where this is a CMO-style hashed copy (label ``monitoring.openshift.io/name``).
        managers: field managers that own data of this Secret, as managedFields says.
        written_at: when the operator last changed it, as managedFields says; None where it never did.
    """

    namespace: str
    name: str
    uid: str
    resource_version: str
    created: datetime
    certificates: Mapping[str, tuple[CertificateFacts, ...]]
    keys: Mapping[str, str]
    garbled: Mapping[str, str]
    annotations: Mapping[str, str]
    hashed_from: str | None = None
    managers: tuple[str, ...] = ()
    written_at: datetime | None = None
