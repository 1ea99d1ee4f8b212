"""Rotations seen from the pods: which files each may have at which moment, and who can talk to whom."""

import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitoring_tls.model.certificate import CertificateFacts, KeyAlgorithm, LeafSpec, LeafUsage
from monitoring_tls.pki.domain import (
    Leaf,
    Material,
    begin_both_trusted,
    begin_cross_signed,
    issue_leaves,
    renew_leaves,
    retire,
)
from monitoring_tls.pki.verify import verifies
from tests.pki_support import (
    CLIENT,
    NOW,
    SERVER,
    SERVER_NAME,
    WORKING,
    PooledEntropy,
    adopted_material,
    domain,
)

LATER = timedelta(minutes=10)


@dataclass(frozen=True)
class Pod:
    """A process: the material whose leaves it serves, and the one whose bundle it has in memory.

    They differ where it re-reads one alive and not the other.
    """

    serves: Material
    trusts: Material


@dataclass(frozen=True)
class Way:
    """A way from one CA to another: per stage, the Secret as written, and again after a renewal of all leaves."""

    stages: tuple[tuple[Material, ...], ...]

    @property
    def phases(self) -> Iterator[tuple[Material, ...]]:
        """Per step, what pods can have while it reaches them: the step after waits until it has reached them all."""
        for before, after in itertools.pairwise(self.stages):
            yield (*before, *after)


@functools.cache
def way(
    kind: str, *, longer: bool, old: KeyAlgorithm = KeyAlgorithm.RSA_2048, new: KeyAlgorithm = KeyAlgorithm.ECDSA_P384
) -> Way:
    """A whole rotation of an adopted CA of a kind in `WORKING`."""
    wanted = domain(signer=new)
    entropy = PooledEntropy()
    names = (CLIENT.name, SERVER.name)

    def renewed(material: Material) -> tuple[Material, ...]:
        return material, renew_leaves(material, wanted, names, NOW + LATER, entropy)

    stages = [renewed(adopted_material(WORKING[kind], old))]
    if longer:
        stages.append(renewed(begin_both_trusted(stages[-1][-1], wanted, "test", NOW, entropy)))
        stages.append(renewed(issue_leaves(stages[-1][-1], wanted, NOW, entropy)))
    else:
        stages.append(renewed(begin_cross_signed(stages[-1][-1], wanted, "test", NOW, entropy)))
    stages.append(renewed(retire(stages[-1][-1], wanted, NOW)))
    return Way(tuple(stages))


def can_talk(client: Pod, server: Pod, at: datetime = NOW + LATER) -> bool:
    """Whether mutual TLS between two pods comes about."""
    shown, served = client.serves.leaves[CLIENT.name], server.serves.leaves[SERVER.name]
    return _accepts(client.trusts.bundle, served, SERVER, at) and _accepts(server.trusts.bundle, shown, CLIENT, at)


def _accepts(roots: tuple[CertificateFacts, ...], leaf: Leaf, spec: LeafSpec, at: datetime) -> bool:
    name = SERVER_NAME if spec.usage is LeafUsage.SERVER else None
    return verifies(leaf.chain, roots, spec.usage, name, at)
