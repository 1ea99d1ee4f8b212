"""The cluster's credentials: its certificate authorities, serving certificates, tokens and kubeconfigs.

What each file is for is described in https://kubernetes.io/docs/setup/best-practices/certificates/. Keys are
ECDSA P-256 throughout, which takes a few milliseconds where RSA would take most of a second.
"""

import base64
import datetime as dt
import ipaddress
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME: Final = dt.timedelta(days=365)
_BACKDATED: Final = dt.timedelta(minutes=5)

ADMIN: Final = "admin"
CONTROLLER_MANAGER: Final = "system:kube-controller-manager"
SCHEDULER: Final = "system:kube-scheduler"
PROXY: Final = "system:kube-proxy"
DNS: Final = "system:coredns"

# The other users get their rights from the roles that every API server makes for them; there is none for DNS.
_GROUPS_BY_USER: Final = {
    ADMIN: "system:masters",
    CONTROLLER_MANAGER: "",
    SCHEDULER: "",
    PROXY: "",
    DNS: "system:masters",
}


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority kept as a pair of PEM files."""

    certificate: Path
    key: Path

    def issue(  # what tells the kinds of leaf apart is exactly these arguments
        self,
        target: Path,
        *,
        common_name: str,
        organizations: Sequence[str] = (),
        server_names: Iterable[str] = (),
        client: bool = False,
    ) -> None:
        """Write a leaf to `target`.crt and its key to `target`.key.

        Args:
            target: Path without suffix.
            common_name: For a client the user's name.
            organizations: For a client the user's groups.
            server_names: DNS names and IP addresses of a server; none for a client alone.
            client: Whether the leaf may be shown by a client.
        """
        names = [_general_name(name) for name in server_names]
        usages = [ExtendedKeyUsageOID.SERVER_AUTH] if names else []
        if client:
            usages.append(ExtendedKeyUsageOID.CLIENT_AUTH)
        authority = x509.load_pem_x509_certificate(self.certificate.read_bytes())
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(
            subject=_name(common_name, organizations),
            issuer=authority.subject,
            public_key=key.public_key(),
            issuer_key=authority.public_key(),
        ).add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = _constrained(builder, ca=False)
        signing_key = serialization.load_pem_private_key(self.key.read_bytes(), password=None)
        if not isinstance(signing_key, ec.EllipticCurvePrivateKey):
            msg = f"{self.key} is not an ECDSA key"
            raise TypeError(msg)
        certificate = builder.sign(signing_key, hashes.SHA256())
        _write_pair(target, certificate, key)


@dataclass(frozen=True, slots=True)
class Pki:
    """The folder with a cluster's credentials."""

    folder: Path

    @property
    def ca(self) -> Authority:
        """The authority of API server, kubelet and client certificates; also signs CertificateSigningRequests."""
        return Authority(self.path("ca.crt"), self.path("ca.key"))

    def path(self, name: str) -> Path:
        """Path of one file, whether it exists or not."""
        return self.folder / name

    @classmethod
    def ensure(cls, folder: Path, *, server_names: Sequence[str], node: str | None = None) -> "Pki":
        """Make the credentials unless the folder already has them.

        The folder appears whole or not at all, so an interrupted start leaves nothing half made.

        Args:
            folder: Where the files go.
            server_names: DNS names and IP addresses at which the API server is reached.
            node: Name of the node, for the kubelet's user; None where there is no kubelet.

        Returns:
            The credentials.
        """
        if not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            work = Path(tempfile.mkdtemp(prefix=".pki-", dir=folder.parent))
            try:
                _fill(work, server_names, node)
                work.rename(folder)
            finally:
                shutil.rmtree(work, ignore_errors=True)
        return cls(folder)

    def token(self, user: str) -> str:
        """The bearer token of one of the cluster's own users.

        Raises:
            KeyError: There is no such user.
        """
        for line in self.path("tokens.csv").read_text().splitlines():
            token, name, *_ = line.split(",")
            if name == user:
                return token
        raise KeyError(user)

    def write_token_kubeconfig(self, target: Path, *, server: str, user: str, token: str | None = None) -> Path:
        """Write a kubeconfig that authenticates with a bearer token.

        Args:
            target: The file to write, readable by its owner only.
            server: URL of the API server.
            user: Name shown in the file; without `token` also the user whose token is taken.
            token: A token from elsewhere, such as a TokenRequest.

        Returns:
            `target`.
        """
        return self._write_kubeconfig(target, server, user, {"token": token or self.token(user)})

    def write_certificate_kubeconfig(self, target: Path, *, server: str, user: str, groups: Sequence[str] = ()) -> Path:
        """Write a kubeconfig of any user with any groups, authenticated by a new client certificate.

        Args:
            target: The file to write, readable by its owner only.
            server: URL of the API server.
            user: The user's name as the API server will see it.
            groups: The user's groups besides `system:authenticated`.

        Returns:
            `target`.
        """
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            leaf = Path(scratch) / "client"
            self.ca.issue(leaf, common_name=user, organizations=groups, client=True)
            credentials = {
                "client-certificate-data": _base64(leaf.with_suffix(".crt")),
                "client-key-data": _base64(leaf.with_suffix(".key")),
            }
        return self._write_kubeconfig(target, server, user, credentials)

    def _write_kubeconfig(self, target: Path, server: str, user: str, credentials: dict[str, str]) -> Path:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "devcluster",
                    "cluster": {"server": server, "certificate-authority-data": _base64(self.path("ca.crt"))},
                }
            ],
            "users": [{"name": user, "user": credentials}],
            "contexts": [{"name": "devcluster", "context": {"cluster": "devcluster", "user": user}}],
            "current-context": "devcluster",
        }
        write_private(target, yaml.safe_dump(config, sort_keys=False).encode())
        return target


def write_private(target: Path, content: bytes) -> None:
    """Put a file that only its owner can read in place, in one step.

    Raises:
        OSError: The folder cannot be written.
    """
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _fill(folder: Path, server_names: Sequence[str], node: str | None) -> None:
    ca = _new_authority(folder / "ca", "devcluster-ca")
    front_proxy = _new_authority(folder / "front-proxy-ca", "devcluster-front-proxy-ca")
    ca.issue(folder / "apiserver", common_name="kube-apiserver", server_names=server_names)
    ca.issue(
        folder / "apiserver-kubelet-client",
        common_name="kube-apiserver-kubelet-client",
        organizations=["system:masters"],
        client=True,
    )
    front_proxy.issue(folder / "front-proxy-client", common_name="front-proxy-client", client=True)
    users = dict(_GROUPS_BY_USER)
    if node:
        ca.issue(folder / "kubelet", common_name=f"system:node:{node}", server_names=[node, *server_names])
        users[f"system:node:{node}"] = "system:nodes"
    lines = (
        f"{secrets.token_urlsafe(32)},{user},{user}" + (f',"{group}"' if group else "") for user, group in users.items()
    )
    write_private(folder / "tokens.csv", "".join(f"{line}\n" for line in lines).encode())
    service_accounts = ec.generate_private_key(ec.SECP256R1())
    write_private(folder / "sa.key", _pem(service_accounts))
    (folder / "sa.pub").write_bytes(
        service_accounts.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


def _new_authority(target: Path, common_name: str) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(common_name)
    builder = _builder(subject=name, issuer=name, public_key=key.public_key(), issuer_key=key.public_key())
    _write_pair(target, _constrained(builder, ca=True).sign(key, hashes.SHA256()), key)
    return Authority(target.with_suffix(".crt"), target.with_suffix(".key"))


def _builder(
    *, subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, issuer_key: object
) -> x509.CertificateBuilder:
    if not isinstance(issuer_key, ec.EllipticCurvePublicKey):
        msg = "the authority's key is not ECDSA"
        raise TypeError(msg)
    now = dt.datetime.now(tz=dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )


def _constrained(builder: x509.CertificateBuilder, *, ca: bool) -> x509.CertificateBuilder:
    usage = x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    return builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True).add_extension(
        usage, critical=True
    )


def _name(common_name: str, organizations: Sequence[str] = ()) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, value) for value in organizations]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(value: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(value))
    except ValueError:
        return x509.DNSName(value)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write_pair(target: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    target.with_suffix(".crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    write_private(target.with_suffix(".key"), _pem(key))


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
