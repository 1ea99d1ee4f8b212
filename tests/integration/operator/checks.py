"""What holds of the Secrets and the pods at a fixed point."""

import uuid
from collections.abc import Mapping

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from demo.serving import PLATFORM, USER_WORKLOAD
from monitoring_tls.operator.keyring import decode
from monitoring_tls.probe.handshake import handshake
from tests.integration.operator.stack import PODS, World, now

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


class Rotation:
    """One rotation, from its request to what must hold at its end, however often the operator died in between."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.reason = uuid.uuid4().hex
        self.begun = now()
        self._old = bundle(world)
        self._generations = world.generations()
        self._answered = world.kubelet.traffic.answered
        self._starts = len(world.kubelet.starts)
        self._bundles = len(world.kubelet.bundles)
        world.ask(rotation={"requested": self.reason})

    def over(self) -> bool:
        return self.world.rotated(self.reason)

    def check(self) -> None:
        """The end of every rotation: one new CA, one rollout, and nobody turned away on the way."""
        self.check_certificates()
        world = self.world
        assert world.starts(self._starts) == PODS
        assert world.generations() == {name: number + 1 for name, number in self._generations.items()}

    def check_certificates(self) -> None:
        """The same without a word on restarts."""
        world, new = self.world, bundle(self.world)
        assert len(new) == 1
        assert new != self._old
        seen = [fingerprints(pem) for pem in world.kubelet.bundles[self._bundles :]]
        assert seen == [[*new, *self._old], new], "exactly one CA was ever made"
        assert consistent(world)
        assert set(served(world)) == {leaf(world, "prometheus-server")}
        assert world.kubelet.traffic.failures == []
        assert world.kubelet.traffic.answered > self._answered
