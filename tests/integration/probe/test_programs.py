"""What the dialects write, taken by the real programs, and its effect seen by handshakes."""

import subprocess
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from devcluster.build import ensure
from monitoring_tls.compliance.verdict import Result, follows_profile, trusts
from monitoring_tls.model.component import Dialect
from monitoring_tls.model.profile import EffectiveProfile
from monitoring_tls.probe.endpoint import ProbeTarget, examine
from monitoring_tls.profile.dialects import edit_args, settings
from monitoring_tls.profile.resolve import resolve
from tests.probe_support import HOST, Authority, Leaf, free_port

pytestmark = pytest.mark.integration

NOW = datetime(2026, 11, 24, tzinfo=UTC)
PROFILES: Mapping[str, Mapping[str, Any]] = {
    "Old": {"type": "Old"},
    "Intermediate": {"type": "Intermediate"},
    "Modern": {"type": "Modern"},
    "no HTTP/2": {
        "type": "Custom",
        "custom": {"minTLSVersion": "VersionTLS12", "ciphers": ["ECDHE-ECDSA-AES256-GCM-SHA384"]},
    },
    "one group": {
        "type": "Custom",
        "custom": {
            "minTLSVersion": "VersionTLS12",
            "ciphers": ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"],
            "groups": ["secp384r1"],
        },
    },
}
KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters: [{name: nowhere, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: nobody, user: {}}]
contexts: [{name: nowhere, context: {cluster: nowhere, user: nobody}}]
current-context: nowhere
"""

Start = Callable[[list[str], int], subprocess.Popen[bytes]]


@pytest.fixture(scope="session")
def programs() -> Mapping[str, Path]:
    return ensure({"stack"})


def profile(name: str) -> EffectiveProfile:
    result = resolve(PROFILES[name])
    assert isinstance(result, EffectiveProfile)
    return result


def thanos_flags(fields: Mapping[str, object]) -> Iterator[str]:
    """What prometheus-operator ≥ 0.93.1 makes of the custom resource's keys."""
    yield f"--grpc-server-tls-min-version={str(fields['minVersion']).replace('TLS1', '1.')}"
    for flag, key in (("--grpc-server-tls-ciphers", "cipherSuites"), ("--grpc-server-tls-curves", "curves")):
        names = fields[key] or ()
        assert isinstance(names, tuple)
        yield from (f"{flag}={name}" for name in names)


@pytest.mark.parametrize("name", PROFILES)
async def test_kube_rbac_proxy_follows_each_profile(
    name: str, programs: Mapping[str, Path], server_leaf: Leaf, tmp_path: Path, start: Start
) -> None:
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    certificate, key = server_leaf.write(tmp_path, "server")
    port = free_port()
    args = (
        f"--secure-listen-address={HOST}:{port}",
        "--upstream=http://127.0.0.1:1/",
        f"--kubeconfig={tmp_path}/kubeconfig",
        f"--tls-cert-file={certificate}",
        f"--tls-private-key-file={key}",
        "--tls-cipher-suites=TLS_RSA_WITH_AES_128_CBC_SHA",
    )
    written = settings(Dialect.KUBE_RBAC_PROXY_FLAGS, profile(name)).flags
    start([str(programs["kube-rbac-proxy"]), *edit_args(args, written)], port)
    target = ProbeTarget("uid", "pod", HOST, port, "web", leaf=server_leaf.fingerprint, profile=profile(name))
    evidence = await examine(target, NOW)
    assert follows_profile(evidence, profile(name)).result is Result.PASS, evidence
    other = profile("Modern" if name != "Modern" else "Intermediate")
    assert follows_profile(await examine(target, NOW), other).result is Result.FAIL


def test_kube_rbac_proxy_does_not_start_with_http2_and_none_of_its_suites(
    programs: Mapping[str, Path], server_leaf: Leaf, tmp_path: Path
) -> None:
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    certificate, key = server_leaf.write(tmp_path, "server")
    flags = settings(Dialect.GO_FLAGS, profile("no HTTP/2")).flags
    args = edit_args((f"--tls-cert-file={certificate}", f"--tls-private-key-file={key}"), flags)
    listen = f"--secure-listen-address={HOST}:{free_port()}"
    command = [programs["kube-rbac-proxy"], listen, "--upstream=http://127.0.0.1:1/", "--kubeconfig=kubeconfig", *args]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode != 0
    assert "missing an HTTP/2-required AES_128_GCM_SHA256 cipher" in ended.stderr


@pytest.mark.parametrize("name", PROFILES)
async def test_a_thanos_grpc_server_follows_each_profile(
    name: str,
    programs: Mapping[str, Path],
    server_leaf: Leaf,
    authority: Authority,
    stranger: Authority,
    tmp_path: Path,
    start: Start,
) -> None:
    certificate, key = server_leaf.write(tmp_path, "server")
    (tmp_path / "ca.crt").write_bytes(authority.pem)
    port = free_port()
    server = (
        f"--grpc-server-tls-cert={certificate}",
        f"--grpc-server-tls-key={key}",
        f"--grpc-server-tls-client-ca={tmp_path}/ca.crt",
        *thanos_flags(settings(Dialect.PROMETHEUS_CR_GRPC, profile(name)).fields),
    )
    # The querier's own server is the same code as the sidecar's and the ruler's, and needs no Prometheus.
    client = edit_args(
        ("--grpc-client-tls-secure", f"--grpc-client-tls-ca={tmp_path}/ca.crt"),
        settings(Dialect.THANOS_CLIENT_FLAGS, profile(name)).flags,
    )
    listen = (f"--grpc-address={HOST}:{port}", f"--http-address={HOST}:{free_port()}")
    start([str(programs["thanos"]), "query", *listen, *server, *client], port)
    wanted = {"server_name": "prometheus-grpc", "leaf": server_leaf.fingerprint, "profile": profile(name)}
    known, unknown = authority.issue("thanos-querier").identity, stranger.issue("thanos-querier").identity
    target = ProbeTarget("uid", "pod", HOST, port, "grpc", identity=known, ca=authority.fingerprint, **wanted)
    evidence = await examine(target, NOW)
    assert follows_profile(evidence, profile(name)).result is Result.PASS, evidence
    assert trusts(evidence, authority.fingerprint).result is Result.PASS, evidence
    target = ProbeTarget("uid", "pod", HOST, port, "grpc", identity=unknown, ca=stranger.fingerprint, **wanted)
    refusal = await examine(target, NOW)
    assert refusal.refuses == {stranger.fingerprint}
    # Neither the version nor the suites are hidden behind the refused certificate.
    assert follows_profile(refusal, profile(name)).result is Result.PASS, refusal


def shakes_hands_with(group: str, port: int) -> bool:
    command = ["openssl", "s_client", "-connect", f"{HOST}:{port}", "-groups", group, "-tls1_3"]
    output = subprocess.run(command, input=b"", capture_output=True, timeout=60, check=False).stdout
    return b"New, TLSv1.3, Cipher is TLS_" in output


def test_a_thanos_grpc_server_has_the_groups_of_the_profile_and_no_others(
    programs: Mapping[str, Path], server_leaf: Leaf, tmp_path: Path, start: Start
) -> None:
    certificate, key = server_leaf.write(tmp_path, "server")
    port = free_port()
    listen = (f"--grpc-address={HOST}:{port}", f"--http-address={HOST}:{free_port()}")
    server = (f"--grpc-server-tls-cert={certificate}", f"--grpc-server-tls-key={key}")
    flags = thanos_flags(settings(Dialect.PROMETHEUS_CR_GRPC, profile("one group")).fields)
    start([str(programs["thanos"]), "query", *listen, *server, *flags], port)
    assert shakes_hands_with("P-384", port)
    assert not shakes_hands_with("P-256", port)
    assert not shakes_hands_with("X25519", port)


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        (
            "--grpc-server-tls-ciphers=TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            "invalid cipher suite",
        ),
        ("--grpc-server-tls-ciphers=TLS_RSA_WITH_AES_128_CBC_SHA", "invalid cipher suite"),
        ("--grpc-server-tls-curves=X25519,CurveP256", "invalid curve"),
        ("--grpc-client-tls-min-version=TLS12", "must be one of 1.0,1.1,1.2,1.3"),
    ],
)
def test_thanos_ends_on_what_the_dialect_avoids(
    flag: str, said: str, programs: Mapping[str, Path], server_leaf: Leaf, tmp_path: Path
) -> None:
    certificate, key = server_leaf.write(tmp_path, "server")
    listen = (f"--grpc-address={HOST}:{free_port()}", f"--http-address={HOST}:{free_port()}")
    server = (f"--grpc-server-tls-cert={certificate}", f"--grpc-server-tls-key={key}")
    command = [programs["thanos"], "query", *listen, *server, flag]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode != 0
    assert said in ended.stderr
