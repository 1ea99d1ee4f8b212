"""Certificates in PEM or as objects -> `CertificateFacts`."""

from collections.abc import Iterator
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from monitoring_tls.errors import GarbledCertificateError
from monitoring_tls.model.certificate import CertificateFacts
from monitoring_tls.pki.keys import algorithm_name, public_der, spki_digest

_BEGIN = b"-----BEGIN CERTIFICATE-----"
_UNREADABLE = (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, UnsupportedAlgorithm)
_LONG_LENGTH = 0x80
_EXPLICIT_VERSION = 0xA0

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)

_KEY_USAGES = {
    "digital_signature": "digitalSignature",
    "content_commitment": "nonRepudiation",
    "key_encipherment": "keyEncipherment",
    "data_encipherment": "dataEncipherment",
    "key_agreement": "keyAgreement",
    "key_cert_sign": "keyCertSign",
    "crl_sign": "cRLSign",
}


def parse_certificates(pem: bytes) -> tuple[CertificateFacts, ...]:
    """Read every certificate of a PEM file, in file order. Text around the blocks is skipped, as RFC 7468 allows.

    Raises:
        GarbledCertificateError: there is none, or one of them can't be read; names which.
    """
    blocks = pem.split(_BEGIN)[1:]
    if not blocks:
        raise GarbledCertificateError("holds no certificate in PEM")
    found = []
    for number, block in enumerate(blocks, start=1):
        try:
            # One by one: the loader of whole files passes over a block that was cut off.
            found.append(facts(x509.load_pem_x509_certificate(_BEGIN + block)))
        except ValueError:
            raise GarbledCertificateError(f"certificate {number} of {len(blocks)} is not X.509 in PEM") from None
        except GarbledCertificateError as error:
            raise GarbledCertificateError(f"certificate {number} of {len(blocks)} {error.problem}") from None
    return tuple(found)


def facts(certificate: x509.Certificate) -> CertificateFacts:
    """What is known of one certificate.

    Raises:
        GarbledCertificateError: a name, a time or an extension in it can't be read.
    """
    try:
        return _facts(certificate)
    except _UNREADABLE:
        raise GarbledCertificateError("has a field or an extension that cannot be read") from None


def certificate_of(known: CertificateFacts) -> x509.Certificate:
    """The certificate itself, to sign or verify with."""
    return x509.load_pem_x509_certificate(known.pem)


def bundle_pem(certificates: tuple[CertificateFacts, ...]) -> bytes:
    """Certificates as one PEM file."""
    return b"".join(certificate.pem for certificate in certificates)


def _facts(certificate: x509.Certificate) -> CertificateFacts:
    extensions = certificate.extensions
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    basic = _extension(extensions, x509.BasicConstraints)
    alternative = _extension(extensions, x509.SubjectAlternativeName)
    extended = _extension(extensions, x509.ExtendedKeyUsage)
    usage = _extension(extensions, x509.KeyUsage)
    ski = _extension(extensions, x509.SubjectKeyIdentifier)
    aki = _extension(extensions, x509.AuthorityKeyIdentifier)
    key_algorithm, spki = _key(certificate)
    return CertificateFacts(
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
        pem=certificate.public_bytes(serialization.Encoding.PEM),
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        common_name=str(names[0].value) if names else None,
        dns_names=tuple(alternative.get_values_for_type(x509.DNSName)) if alternative else (),
        serial=certificate.serial_number,
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        is_ca=basic is not None and basic.ca,
        path_length=basic.path_length if basic else None,
        spki=spki,
        ski=ski.digest.hex() if ski else None,
        aki=aki.key_identifier.hex() if aki and aki.key_identifier else None,
        key_algorithm=key_algorithm,
        key_usages=frozenset(_usages(usage)) if usage else None,
        extended_key_usages=frozenset(oid.dotted_string for oid in extended) if extended else None,
        name_constrained=_extension(extensions, x509.NameConstraints) is not None,
    )


def _extension(extensions: x509.Extensions, kind: type[_Extension]) -> _Extension | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _usages(usage: x509.KeyUsage) -> Iterator[str]:
    for attribute, name in _KEY_USAGES.items():
        if getattr(usage, attribute):
            yield name
    if usage.key_agreement:
        # The library lets these two be asked for only where keyAgreement is set, as RFC 5280, 4.2.1.3 gives them sense.
        if usage.encipher_only:
            yield "encipherOnly"
        if usage.decipher_only:
            yield "decipherOnly"


def _key(certificate: x509.Certificate) -> tuple[str, str]:
    """A key's algorithm and digest; of a type that is not known, its OID."""
    try:
        public = certificate.public_key()
    except (UnsupportedAlgorithm, ValueError):
        return (
            f"unknown ({certificate.public_key_algorithm_oid.dotted_string})",
            spki_digest(_raw_spki(certificate.tbs_certificate_bytes)),
        )
    return algorithm_name(public), spki_digest(public_der(public))


def _raw_spki(tbs: bytes) -> bytes:
    """The SubjectPublicKeyInfo as it stands in a TBSCertificate (RFC 5280, 4.1): the sixth field after the version."""
    start, _ = _element(tbs, 0)
    if tbs[start] == _EXPLICIT_VERSION:
        _, start = _element(tbs, start)
    for _ in ("serialNumber", "signature", "issuer", "validity", "subject"):
        _, start = _element(tbs, start)
    _, end = _element(tbs, start)
    return tbs[start:end]


def _element(der: bytes, start: int) -> tuple[int, int]:
    """Where the content of the DER element at ``start`` begins, and where the element ends (X.690, 8.1.3)."""
    first = der[start + 1]
    if first < _LONG_LENGTH:
        content = start + 2
        return content, content + first
    octets = first - _LONG_LENGTH
    content = start + 2 + octets
    return content, content + int.from_bytes(der[start + 2 : content], "big")
