"""Certificates for tests: a trust domain, CAs as somebody else may have made them, keys that are quick to come by."""

import functools
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from monitoring_tls.model.certificate import (
    CertificateFacts,
    DerivedSpec,
    IssuingPolicy,
    KeyAlgorithm,
    LeafSpec,
    LeafUsage,
    TrustDomain,
)
from monitoring_tls.pki.domain import Material, parse
from monitoring_tls.pki.facts import certificate_of, facts
from monitoring_tls.pki.keys import PrivateKey

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
CLIENT = LeafSpec("thanos-querier-client", LeafUsage.CLIENT, "thanos-querier", ("thanos-querier",))
SERVER = LeafSpec("prometheus-server", LeafUsage.SERVER, "prometheus-grpc", ("prometheus-grpc",))
SERVER_NAME = "prometheus-grpc"


def domain(
    signer: KeyAlgorithm = KeyAlgorithm.ECDSA_P256,
    leaf: KeyAlgorithm = KeyAlgorithm.ECDSA_P256,
    *,
    ca_days: float = 730,
    leaf_days: float = 90,
) -> TrustDomain:
    """The gRPC domain of openshift-monitoring."""
    return TrustDomain(
        domain="grpc",
        namespace="openshift-monitoring",
        name="grpc-tls",
        leaves=(CLIENT, SERVER),
        derived=(
            DerivedSpec("openshift-monitoring", "prometheus-k8s-grpc-tls", SERVER.name, "server.crt", "server.key"),
            DerivedSpec("openshift-monitoring", "thanos-querier-grpc-tls", CLIENT.name, "client.crt", "client.key"),
        ),
        signer=IssuingPolicy(signer, timedelta(days=ca_days)),
        leaf=IssuingPolicy(leaf, timedelta(days=leaf_days)),
        renew_at=2 / 3,
    )


@functools.cache
def pooled_key(algorithm: KeyAlgorithm, number: int) -> PrivateKey:
    """The ``number``-th key of a kind, made once a process: RSA takes long."""
    return PrivateKey.generate(algorithm)


class PooledEntropy:
    """As `SystemEntropy`, but RSA keys come from a pool; within one instance no key comes twice."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._serials = itertools.count(1000)

    def key(self, algorithm: KeyAlgorithm) -> PrivateKey:
        if algorithm.startswith("RSA"):
            return pooled_key(algorithm, next(self._numbers))
        return PrivateKey.generate(algorithm)

    def serial(self) -> int:
        return x509.random_serial_number() + next(self._serials)


@dataclass(frozen=True)
class Adopted:
    """A CA as somebody else made it; everything in it can be otherwise than ours."""

    path_length: int | None = None
    constraints: x509.NameConstraints | None = None
    usages: tuple[x509.ObjectIdentifier, ...] | None = None
    signs: bool = True
    is_ca: bool = True
    has_ski: bool = True
    has_key_usage: bool = True
    subject: x509.Name | None = None
    start: timedelta = timedelta(days=-30)
    life: timedelta = timedelta(days=365)

    def make(self, key: PrivateKey) -> CertificateFacts:
        name = self.subject or x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, "openshift-cluster-monitoring@1772366400")]
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(NOW + self.start)
            .not_valid_after(NOW + self.start + self.life)
            .add_extension(x509.BasicConstraints(self.is_ca, self.path_length), critical=True)
        )
        if self.has_key_usage:
            builder = builder.add_extension(key_usage(self.signs), critical=True)
        if self.has_ski:
            ski = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
            builder = builder.add_extension(ski, critical=False)
        if self.constraints is not None:
            builder = builder.add_extension(self.constraints, critical=True)
        if self.usages is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage(list(self.usages)), critical=False)
        return facts(key.sign(builder))


def key_usage(signs: bool) -> x509.KeyUsage:  # noqa: FBT001 - one flag, named by every caller's context
    """The key usage of library-go's CAs and leaves."""
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=True,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def permitted(*names: str) -> x509.NameConstraints:
    return x509.NameConstraints([x509.DNSName(name) for name in names], None)


def printable(oid: x509.ObjectIdentifier) -> x509.NameAttribute[str]:
    """A part of a name in another string type than ours (the library offers it by a private name only)."""
    return x509.NameAttribute(oid, "Old CA", x509.name._ASN1Type.PrintableString)


WORKING: Mapping[str, Adopted] = {
    "plain": Adopted(),
    "path length 1": Adopted(path_length=1),
    "path length 0": Adopted(path_length=0),
    "constrained to all our names": Adopted(constraints=permitted("prometheus-grpc", "thanos-querier")),
    "constrained to the server's name": Adopted(constraints=permitted("prometheus-grpc")),
    "a foreign name excluded": Adopted(constraints=x509.NameConstraints(None, [x509.DNSName("example.com")])),
    "both usages": Adopted(usages=(ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)),
    "any usage": Adopted(usages=(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)),
    "no key identifier": Adopted(has_ski=False),
    "no key usage": Adopted(has_key_usage=False),
    "printable multi-valued name": Adopted(
        subject=x509.Name(
            [x509.RelativeDistinguishedName([printable(NameOID.ORGANIZATION_NAME), printable(NameOID.COMMON_NAME)])]
        )
    ),
}
"""CAs whose own leaves are accepted by Go."""

BROKEN: Mapping[str, Adopted] = {
    "server usage only": Adopted(usages=(ExtendedKeyUsageOID.SERVER_AUTH,)),
    "client usage only": Adopted(usages=(ExtendedKeyUsageOID.CLIENT_AUTH,)),
    "foreign usage only": Adopted(usages=(ExtendedKeyUsageOID.CODE_SIGNING,)),
    "does not sign": Adopted(signs=False),
    "not a CA": Adopted(is_ca=False),
    "expired": Adopted(life=timedelta(days=29)),
}
"""CAs of which Go refuses some leaf."""


def cmo_leaf(spec: LeafSpec, ca: CertificateFacts, ca_key: PrivateKey, key: PrivateKey) -> CertificateFacts:
    """A leaf as library-go makes it: the client's with a common name only."""
    issuer = certificate_of(ca)
    extended = ExtendedKeyUsageOID.SERVER_AUTH if spec.usage is LeafUsage.SERVER else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, spec.common_name)]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(2 if spec.usage is LeafUsage.SERVER else 3)
        .not_valid_before(ca.not_before)
        .not_valid_after(ca.not_before + timedelta(days=90))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([extended]), critical=False)
    )
    if spec.usage is LeafUsage.SERVER:
        names = x509.SubjectAlternativeName([x509.DNSName(name) for name in spec.dns_names])
        builder = builder.add_extension(names, critical=False)
    return facts(ca_key.sign(builder))


def adopted_data(
    kind: Adopted, algorithm: KeyAlgorithm = KeyAlgorithm.RSA_2048, leaf: KeyAlgorithm = KeyAlgorithm.RSA_2048
) -> dict[str, bytes]:
    """A domain's Secret as CMO leaves it: the CA behind each leaf, no annotations."""
    ca_key = pooled_key(algorithm, 100)
    ca = kind.make(ca_key)
    data = {"ca.crt": ca.pem, "ca.key": ca_key.pem()}
    for number, spec in enumerate((CLIENT, SERVER)):
        key = pooled_key(leaf, 101 + number)
        data[f"{spec.name}.crt"] = cmo_leaf(spec, ca, ca_key, key).pem + ca.pem
        data[f"{spec.name}.key"] = key.pem()
    return data


def adopted_material(kind: Adopted, algorithm: KeyAlgorithm = KeyAlgorithm.RSA_2048) -> Material:
    """The same, read."""
    return parse(adopted_data(kind, algorithm), {}, domain())


def secrets_of(*keys: PrivateKey) -> list[str]:
    """What must never be seen of these keys: their PEM, line by line, and their private numbers in hex and decimal."""
    found: list[str] = []
    for key in keys:
        found += [line for line in key.pem().decode().splitlines() if not line.startswith("-")]
        private = key._key
        if isinstance(private, ec.EllipticCurvePrivateKey):
            numbers = [private.private_numbers().private_value]
        elif isinstance(private, rsa.RSAPrivateKey):
            inner = private.private_numbers()
            numbers = [inner.d, inner.p, inner.q]
        else:
            numbers = []
        found += [form for number in numbers for form in (f"{number:x}", str(number))]
    return found
