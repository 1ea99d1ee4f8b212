"""A stand-in for OpenShift's service CA: serving certificates of the stack's Services, which are not the operator's.

On OpenShift the service-ca-operator makes them from annotations of Services. Nothing here is needed there.
"""

import base64
import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from monitoring_tls.kube.resources import Object

PLATFORM: Final = "openshift-monitoring"
USER_WORKLOAD: Final = "openshift-user-workload-monitoring"

SERVING_SECRETS: Final[Mapping[tuple[str, str], str]] = {
    (PLATFORM, "prometheus-k8s-tls"): "prometheus-k8s",
    (PLATFORM, "prometheus-k8s-thanos-sidecar-tls"): "prometheus-k8s-thanos-sidecar",
    (PLATFORM, "thanos-querier-tls"): "thanos-querier",
    (USER_WORKLOAD, "prometheus-user-workload-tls"): "prometheus-user-workload",
    (USER_WORKLOAD, "prometheus-user-workload-thanos-sidecar-tls"): "prometheus-user-workload-thanos-sidecar",
    (USER_WORKLOAD, "thanos-ruler-tls"): "thanos-ruler",
}
"""Namespace and name of each Secret, and the Service whose names its certificate has."""

CA_BUNDLE: Final = "serving-certs-ca-bundle"
_LIFE: Final = dt.timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Issuer:
    """A certificate authority that lives in this process only."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def create(cls, name: str) -> "Issuer":
        """A new self-signed authority of this common name."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = (
            _builder(subject, subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(sign=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key)

    @property
    def pem(self) -> str:
        """The authority's certificate."""
        return self.certificate.public_bytes(Encoding.PEM).decode()

    def leaf(self, common_name: str, dns_names: Iterable[str], *, client: bool = False) -> tuple[str, str]:
        """A certificate and its key, both PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        purpose = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        certificate = (
            _builder(subject, self.certificate.subject, key.public_key())
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in dns_names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(sign=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return certificate.public_bytes(Encoding.PEM).decode(), private.decode()


def serving_objects() -> list[Object]:
    """The Secrets with serving certificates, and the ConfigMaps by which they are verified."""
    issuer = Issuer.create("demo-service-serving-signer")
    objects: list[Object] = []
    for (namespace, name), service in SERVING_SECRETS.items():
        host = f"{service}.{namespace}.svc"
        certificate, key = issuer.leaf(service, [host, f"{host}.cluster.local"])
        objects.append(secret(namespace, name, {"tls.crt": certificate, "tls.key": key}, kind_of="kubernetes.io/tls"))
    objects += [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"namespace": namespace, "name": CA_BUNDLE},
            "data": {"service-ca.crt": issuer.pem},
        }
        for namespace in (PLATFORM, USER_WORKLOAD)
    ]
    return objects


def secret(namespace: str, name: str, data: Mapping[str, str], *, kind_of: str = "Opaque") -> Object:
    """A Secret's object."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"namespace": namespace, "name": name},
        "type": kind_of,
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=sign,
        crl_sign=sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
