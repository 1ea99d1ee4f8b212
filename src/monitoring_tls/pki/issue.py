"""Making certificates (RFC 5280). All times UTC, whole seconds."""

from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from monitoring_tls.errors import PkiError
from monitoring_tls.model.certificate import CertificateFacts, IssuingPolicy, LeafSpec, LeafUsage
from monitoring_tls.pki.facts import certificate_of, facts
from monitoring_tls.pki.keys import PrivateKey

_COMMON_NAME_LENGTH = 64
"""RFC 5280, appendix A.1: ub-common-name."""

_NAME_BITS = 64
"""How much of a CA's serial number is in its name: enough that two never share one, few enough to read."""

_BACKDATE_SHARE = 10
"""Backdating takes at most this fraction (1/n) of the duration: a short-lived certificate that spent most of its life
before it was made would be due for renewal at once, for ever."""

_EKU = {LeafUsage.SERVER: ExtendedKeyUsageOID.SERVER_AUTH, LeafUsage.CLIENT: ExtendedKeyUsageOID.CLIENT_AUTH}


def issue_ca(domain: str, policy: IssuingPolicy, key: PrivateKey, now: datetime, serial: int) -> CertificateFacts:
    """A new self-signed CA without a path length, whose name no other CA has.

    Peers look a CA up by its name: two of one name, with different keys, would be told apart by some and not by others.
    """
    not_before, not_after = _validity(policy, now)
    suffix = f" CA {not_before:%Y-%m-%d} {serial % (1 << _NAME_BITS):016x}"
    name = _name(domain[: _COMMON_NAME_LENGTH - len(suffix)] + suffix)
    public = key.public_key()
    builder = _as_ca(_builder(name, name, public, serial, (not_before, not_after)))
    authority = x509.SubjectKeyIdentifier.from_public_key(public)
    return facts(
        key.sign(
            builder.add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority), critical=False
            )
        )
    )


def cross_sign(
    new_ca: CertificateFacts,
    old_ca: CertificateFacts,
    old_key: PrivateKey,
    serial: int,
) -> CertificateFacts:
    """The new CA's name and key, certified by the old CA.

    Whoever trusts only the old CA verifies a leaf of the new one through it. It is valid while both CAs are.

    Raises:
        PkiError: they never are.
    """
    new, old = certificate_of(new_ca), certificate_of(old_ca)
    validity = _within((new_ca.not_before, new_ca.not_after), old_ca)
    builder = _as_ca(_builder(new.subject, old.subject, new.public_key(), serial, validity))
    return facts(old_key.sign(builder.add_extension(_authority(old), critical=False)))


def issue_leaf(
    spec: LeafSpec,
    policy: IssuingPolicy,
    issuer: CertificateFacts,
    issuer_key: PrivateKey,
    key: PrivateKey,
    now: datetime,
    serial: int,
) -> CertificateFacts:
    """A leaf for ``key``. Its life lies within its issuer's.

    A client leaf of an issuer with name constraints gets its common name only, as CMO makes it: Go applies such
    constraints to every subject alternative name, a client's too (crypto/x509, ``Certificate.Verify``), and nobody
    looks a client up by one.

    Raises:
        PkiError: the issuer has come to its end.
    """
    ca = certificate_of(issuer)
    validity = _within(_validity(policy, now), issuer)
    public = key.public_key()
    enciphers = isinstance(public, rsa.RSAPublicKey)
    builder = (
        _builder(_name(spec.common_name), ca.subject, public, serial, validity)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False, enciphers_keys=enciphers), critical=True)
        .add_extension(x509.ExtendedKeyUsage([_EKU[spec.usage]]), critical=False)
        .add_extension(_authority(ca), critical=False)
    )
    if spec.dns_names and not (issuer.name_constrained and spec.usage is LeafUsage.CLIENT):
        names = x509.SubjectAlternativeName([x509.DNSName(name) for name in spec.dns_names])
        builder = builder.add_extension(names, critical=False)
    return facts(issuer_key.sign(builder))


def _validity(policy: IssuingPolicy, now: datetime) -> tuple[datetime, datetime]:
    start = now.astimezone(UTC).replace(microsecond=0)
    return start - min(policy.backdate, policy.duration / _BACKDATE_SHARE), start + policy.duration


def _within(validity: tuple[datetime, datetime], issuer: CertificateFacts) -> tuple[datetime, datetime]:
    """As much of a validity as lies within the issuer's: beyond it nobody would accept the certificate."""
    not_before, not_after = max(validity[0], issuer.not_before), min(validity[1], issuer.not_after)
    if not_after <= not_before:
        raise PkiError(f"CA {issuer.subject!r} is valid from {issuer.not_before} to {issuer.not_after} only")
    return not_before, not_after


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: CertificatePublicKeyTypes,
    serial: int,
    validity: tuple[datetime, datetime],
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(validity[0])
        .not_valid_after(validity[1])
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _as_ca(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    return builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).add_extension(
        _usage(signs_certificates=True), critical=True
    )


def _usage(*, signs_certificates: bool, enciphers_keys: bool = False) -> x509.KeyUsage:
    """RFC 5280, 4.2.1.3: a CA signs certificates and CRLs; a leaf signs handshakes, and with RSA enciphers keys."""
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=enciphers_keys,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _authority(ca: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """The issuer's own key identifier, or the one that RFC 5280, 4.2.1.2 would give it where it carries none."""
    try:
        ski = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        ski = x509.SubjectKeyIdentifier.from_public_key(ca.public_key())
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ski)
