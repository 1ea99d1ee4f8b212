"""What holds of the Secrets and the pods at a fixed point."""

from collections.abc import Mapping

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from demo.serving import PLATFORM, USER_WORKLOAD
from monitoring_tls.operator.keyring import decode
from monitoring_tls.probe.handshake import handshake
from tests.integration.operator.stack import World

DERIVED: Mapping[str, tuple[str, str, str]] = {
    "prometheus-k8s-grpc-tls": (PLATFORM, "prometheus-server", "server"),
    "thanos-querier-grpc-tls": (PLATFORM, "thanos-querier-client", "client"),
    "prometheus-user-workload-grpc-tls": (USER_WORKLOAD, "prometheus-server", "server"),
    "thanos-ruler-grpc-tls": (USER_WORKLOAD, "prometheus-server", "server"),
}
"""Derived Secret: its namespace, the leaf in it, and the name of the leaf's keys."""


def fingerprints(pem: bytes) -> list[str]:
    """SHA-256 of each certificate; empty where the text is no certificate."""
    try:
        found = x509.load_pem_x509_certificates(pem)
    except ValueError:
        return []
    return [certificate.fingerprint(hashes.SHA256()).hex() for certificate in found]


def bundle(world: World) -> list[str]:
    """The trusted CAs."""
    return fingerprints(decode(world.secret("grpc-tls"))["ca.crt"])


def leaf(world: World, name: str) -> str:
    """One leaf of the domain's Secret; empty where it is garbled."""
    return next(iter(fingerprints(decode(world.secret("grpc-tls"))[f"{name}.crt"])), "")


def consistent(world: World) -> bool:
    """Whether each derived Secret holds what the domain's Secret says."""
    grpc = decode(world.secret("grpc-tls"))
    for name, (namespace, leaf_name, key) in DERIVED.items():
        wanted = {
            "ca.crt": grpc["ca.crt"],
            f"{key}.crt": grpc[f"{leaf_name}.crt"],
            f"{key}.key": grpc[f"{leaf_name}.key"],
        }
        if decode(world.secret(name, namespace)) != wanted:
            return False
    return True


def served(world: World) -> list[str]:
    """The leaf that each gRPC server serves, seen by a handshake."""
    servers = [s for s in world.kubelet.servers() if s.program.args[0] in {"sidecar", "rule"}]
    return [world.run(handshake(s.address, s.port, grace=0)).leaf or "" for s in servers]
