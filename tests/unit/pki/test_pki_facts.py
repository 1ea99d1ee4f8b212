import hashlib
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from monitoring_tls.errors import GarbledCertificateError
from monitoring_tls.model.certificate import KeyAlgorithm
from monitoring_tls.pki.facts import bundle_pem, certificate_of, facts, parse_certificates
from tests.pki_support import SERVER, WORKING, Adopted, cmo_leaf, permitted, pooled_key

CA_KEY = pooled_key(KeyAlgorithm.ECDSA_P256, 0)
CA = WORKING["path length 1"].make(CA_KEY)
LEAF = cmo_leaf(SERVER, CA, CA_KEY, pooled_key(KeyAlgorithm.ECDSA_P384, 0))
EC_PUBLIC_KEY = bytes.fromhex("06072a8648ce3d0201")
"""The OID id-ecPublicKey (RFC 5480), DER."""


def test_facts_of_a_ca() -> None:
    (read,) = parse_certificates(CA.pem)
    assert read == CA
    assert read.is_ca
    assert read.path_length == 1
    assert read.key_usages == frozenset({"digitalSignature", "keyEncipherment", "keyCertSign"})
    assert read.extended_key_usages is None
    assert read.spki == CA_KEY.spki
    assert read.key_algorithm == "ECDSA-P256"
    assert read.common_name == "openshift-cluster-monitoring@1772366400"
    assert not read.name_constrained


def test_facts_of_a_leaf() -> None:
    (read,) = parse_certificates(LEAF.pem)
    assert not read.is_ca
    assert read.dns_names == ("prometheus-grpc",)
    assert read.extended_key_usages == frozenset({ExtendedKeyUsageOID.SERVER_AUTH.dotted_string})
    assert read.issuer == CA.subject
    assert read.key_algorithm == "ECDSA-P384"
    der = certificate_of(read).public_bytes(serialization.Encoding.DER)
    assert read.fingerprint == hashlib.sha256(der).hexdigest()
    assert read.pem.startswith(b"-----BEGIN CERTIFICATE-----\n")
    assert read.pem.endswith(b"-----END CERTIFICATE-----\n")


def test_limits_are_seen() -> None:
    assert Adopted(constraints=permitted("x")).make(CA_KEY).name_constrained
    assert Adopted(has_ski=False).make(CA_KEY).ski is None
    assert Adopted(has_key_usage=False).make(CA_KEY).key_usages is None
    assert not Adopted(is_ca=False).make(CA_KEY).is_ca


def test_key_agreement_usages_are_named() -> None:
    certificate = certificate_of(CA)
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=True,
        key_encipherment=False,
        data_encipherment=True,
        key_agreement=True,
        key_cert_sign=False,
        crl_sign=True,
        encipher_only=True,
        decipher_only=True,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(certificate.subject)
        .issuer_name(certificate.subject)
        .public_key(certificate.public_key())
        .serial_number(1)
        .not_valid_before(CA.not_before)
        .not_valid_after(CA.not_after)
        .add_extension(usage, critical=True)
    )
    found = facts(CA_KEY.sign(builder)).key_usages
    assert found == frozenset(
        {"nonRepudiation", "dataEncipherment", "keyAgreement", "cRLSign", "encipherOnly", "decipherOnly"}
    )


def test_a_bundle_is_read_in_order_past_text_around_it() -> None:
    text = b"# the CA\n" + CA.pem + b"subject=x\r\n" + LEAF.pem + b"\n\n"
    assert parse_certificates(text) == (CA, LEAF)
    assert parse_certificates(bundle_pem((LEAF, CA))) == (LEAF, CA)


@pytest.mark.parametrize("content", [b"", b"not PEM", b"\x00\xff", CA_KEY.pem()])
def test_without_a_certificate(content: bytes) -> None:
    with pytest.raises(GarbledCertificateError, match="holds no certificate"):
        parse_certificates(content)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (CA.pem + LEAF.pem[:200], "certificate 2 of 2"),
        (LEAF.pem[:200] + CA.pem, "certificate 1 of 2"),
        (CA.pem.replace(b"MII", b"!!!", 1), "certificate 1 of 1"),
        (CA.pem.replace(b"MII", b"AAA", 1), "certificate 1 of 1"),
        (CA.pem + b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", "certificate 2 of 2"),
    ],
)
def test_the_garbled_certificate_is_named(content: bytes, problem: str) -> None:
    with pytest.raises(GarbledCertificateError, match=problem):
        parse_certificates(content)


def test_an_unreadable_extension_is_an_error_of_ours() -> None:
    certificate = certificate_of(CA)
    broken = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, b"\x30\x03\xff")
    builder = (
        x509.CertificateBuilder()
        .subject_name(certificate.subject)
        .issuer_name(certificate.subject)
        .public_key(certificate.public_key())
        .serial_number(1)
        .not_valid_before(CA.not_before)
        .not_valid_after(CA.not_after)
        .add_extension(broken, critical=False)
    )
    pem = CA_KEY.sign(builder).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(GarbledCertificateError, match="certificate 2 of 2 has a field or an extension"):
        parse_certificates(CA.pem + pem)


def test_an_unknown_key_type_is_described() -> None:
    der = certificate_of(LEAF).public_bytes(serialization.Encoding.DER)
    assert der.count(EC_PUBLIC_KEY) == 1
    odd = x509.load_der_x509_certificate(der.replace(EC_PUBLIC_KEY, EC_PUBLIC_KEY[:-1] + b"\x09"))
    read = facts(odd)
    assert read.key_algorithm == "unknown (1.2.840.10045.2.9)"
    spki = (
        certificate_of(LEAF)
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    assert read.spki == hashlib.sha256(spki.replace(EC_PUBLIC_KEY, EC_PUBLIC_KEY[:-1] + b"\x09")).hexdigest()


def test_facts_do_not_show_the_pem() -> None:
    assert "BEGIN" not in repr(CA)


def test_the_digest_is_openssls() -> None:
    """`openssl x509 -pubkey | openssl pkey -pubin -outform der | sha256sum`."""
    public = subprocess.run(
        ["openssl", "x509", "-noout", "-pubkey"], input=LEAF.pem, capture_output=True, check=True
    ).stdout
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-outform", "der"], input=public, capture_output=True, check=True
    ).stdout
    assert hashlib.sha256(der).hexdigest() == LEAF.spki
