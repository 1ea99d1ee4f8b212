import datetime as dt
import stat
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from devcluster.pki import ADMIN, Pki


@pytest.fixture(scope="module")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki.ensure(tmp_path_factory.mktemp("state") / "pki", server_names=["kubernetes", "10.99.0.2"], node="node1")


def _certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


@pytest.mark.parametrize("leaf", ["apiserver", "kubelet"])
def test_servers_verify_by_name_and_address(credentials: Pki, leaf: str) -> None:
    policy = PolicyBuilder().store(Store([_certificate(credentials.path("ca.crt"))]))
    certificate = _certificate(credentials.path(f"{leaf}.crt"))
    assert policy.build_server_verifier(x509.DNSName("kubernetes")).verify(certificate, [])
    with pytest.raises(VerificationError):
        policy.build_server_verifier(x509.DNSName("elsewhere")).verify(certificate, [])


def test_authorities_do_not_vouch_for_each_other(credentials: Pki) -> None:
    policy = PolicyBuilder().store(Store([_certificate(credentials.path("front-proxy-ca.crt"))]))
    verifier = policy.build_server_verifier(x509.DNSName("kubernetes"))
    with pytest.raises(VerificationError):
        verifier.verify(_certificate(credentials.path("apiserver.crt")), [])


def test_every_private_file_is_its_owners_alone(credentials: Pki) -> None:
    private = [path for path in credentials.folder.iterdir() if path.suffix in {".key", ".csv"}]
    assert len(private) == 8
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}


def test_existing_credentials_stay(credentials: Pki) -> None:
    before = credentials.path("ca.crt").read_bytes()
    assert Pki.ensure(credentials.folder, server_names=["other"]).path("ca.crt").read_bytes() == before


def test_kubeconfig_of_any_user(credentials: Pki, tmp_path: Path) -> None:
    server = "https://10.99.0.2:6443"
    path = credentials.write_certificate_kubeconfig(tmp_path / "kubeconfig", server=server, user="me", groups=["a"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    config = yaml.safe_load(path.read_text())
    assert config["clusters"][0]["cluster"]["server"] == server
    assert set(config["users"][0]["user"]) == {"client-certificate-data", "client-key-data"}
    assert sorted(file.name for file in tmp_path.iterdir()) == ["kubeconfig"]


def test_client_certificate_names_user_and_groups(credentials: Pki, tmp_path: Path) -> None:
    credentials.ca.issue(tmp_path / "client", common_name="me", organizations=["a", "b"], client=True)
    certificate = _certificate(tmp_path / "client.crt")
    subject = certificate.subject
    assert [name.value for name in subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["me"]
    assert [name.value for name in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] == ["a", "b"]
    assert certificate.not_valid_before_utc < dt.datetime.now(dt.UTC)
    key = serialization.load_pem_private_key((tmp_path / "client.key").read_bytes(), password=None)
    assert key.public_key() == certificate.public_key()


def test_tokens_differ_and_unknown_users_have_none(credentials: Pki) -> None:
    tokens = {credentials.token(user) for user in (ADMIN, "system:node:node1", "system:kube-proxy")}
    assert len(tokens) == 3
    with pytest.raises(KeyError):
        credentials.token("system:node:other")
