"""Worlds to begin with."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from monitoring_tls.catalogue.load import load
from monitoring_tls.model.certificate import DerivedSpec, IssuingPolicy, KeyAlgorithm, TrustDomain
from monitoring_tls.model.component import Catalogue, Component, DomainUse, Endpoint, WorkloadRef
from monitoring_tls.model.desired import Desired, Mode, RestartRules
from monitoring_tls.model.profile import EffectiveProfile
from monitoring_tls.model.snapshot import ProfileState
from monitoring_tls.profile.resolve import resolve
from tests.pki_support import CLIENT, NOW, SERVER, Adopted, adopted_data
from tests.pki_support import domain as grpc_domain
from tests.property.world import operator
from tests.property.world.environment import started_by_hand
from tests.property.world.values import Phase, Pod, Stored, Template, Workload, World

_CLIENT_CA = "the cluster's client CA"

HERE = "openshift-monitoring"
THERE = "openshift-user-workload-monitoring"

K8S = WorkloadRef("Prometheus", HERE, "k8s")
USER = WorkloadRef("Prometheus", THERE, "user-workload")
RULER = WorkloadRef("ThanosRuler", THERE, "user-workload")
QUERIER = WorkloadRef("Deployment", HERE, "thanos-querier")

SECRETS: Mapping[WorkloadRef, str] = {
    K8S: "prometheus-k8s-grpc-tls",
    USER: "prometheus-user-workload-grpc-tls",
    RULER: "thanos-ruler-grpc-tls",
    QUERIER: "thanos-querier-grpc-tls",
}

RULES = RestartRules(
    progress_deadline=timedelta(seconds=150),
    propagation=timedelta(seconds=60),
    probe_deadline=timedelta(seconds=100),
)
"""Deadlines of a few ticks."""


def profile(name: str = "Intermediate") -> ProfileState:
    """A profile by its type."""
    found = resolve({"type": name, name.lower(): {}})
    assert isinstance(found, EffectiveProfile)
    return ProfileState(found)


def trust_domain(refs: tuple[WorkloadRef, ...]) -> TrustDomain:
    """The gRPC domain with a derived Secret for each workload."""
    derived = tuple(
        DerivedSpec(ref.namespace, SECRETS[ref], CLIENT.name, "client.crt", "client.key")
        if ref == QUERIER
        else DerivedSpec(ref.namespace, SECRETS[ref], SERVER.name, "server.crt", "server.key")
        for ref in refs
    )
    return replace(grpc_domain(), derived=derived)


def component(ref: WorkloadRef, *, reloads_leaf: bool = True, blind: bool = True) -> Component:
    """A server with one port for mutual TLS, or the querier, which (where ``blind``) has none."""
    leaf = CLIENT.name if ref == QUERIER else SERVER.name
    use = DomainUse("grpc", "thanos", leaf, reloads_leaf, reloads_trust=False)
    port = Endpoint("grpc", "thanos", 10901, "grpc", leaf, client_certificates=True, follows_profile=False)
    return Component(ref.name, ref, (use,), (), () if ref == QUERIER and blind else (port,))


def desired(
    refs: tuple[WorkloadRef, ...], *, reloads_leaf: bool = True, blind: bool = True, requested: str = ""
) -> Desired:
    """The wish for a stack of these workloads, restarted in this order."""
    components = tuple(component(ref, reloads_leaf=reloads_leaf, blind=blind) for ref in refs)
    catalogue = Catalogue("test", (HERE, THERE), (trust_domain(refs),), (), components)
    return Desired(Mode.ENFORCE, catalogue, profile(), requested, RULES)


def running(
    wish: Desired,
    kind: Adopted | None = None,
    *,
    replicas: int = 2,
    algorithm: KeyAlgorithm = KeyAlgorithm.ECDSA_P256,
) -> World:
    """A stack that has been running for long, with the Secrets of an adopted CA (by default one like ours)."""
    domain = wish.catalogue.domains[0]
    data = adopted_data(kind or Adopted(), algorithm, leaf=KeyAlgorithm.ECDSA_P256)
    source = operator.stored(domain, data, NOW)
    secrets = {source.key: source}
    for number, spec in enumerate(domain.derived):
        held = {"ca.crt": data["ca.crt"]}
        held[spec.certificate_key], held[spec.private_key_key] = data[f"{spec.leaf}.crt"], data[f"{spec.leaf}.key"]
        secret = Stored(spec.namespace, spec.name, spec.name, number + 1, NOW, tuple(sorted(held.items())))
        secrets[secret.key] = secret
    world = replace(bare(wish, replicas=replicas), secrets=secrets)
    for ref in world.workloads:
        for slot in range(replicas):
            world = started_by_hand(world, ref, slot, secrets[ref.namespace, SECRETS[ref]])
    return replace(world, now=NOW + timedelta(hours=3), serial=100)


def bare(wish: Desired, *, replicas: int = 2) -> World:
    """The workloads' objects, taken up by their controllers; no Secrets, no pods."""
    workloads = {}
    for found in wish.catalogue.components:
        containers = sorted({target.container for target in found.settings if target.container is not None})
        args = tuple((name, (f"--secure-listen-address=:{n}", "--v", "3")) for n, name in enumerate(containers))
        fields = tuple((target.path, ()) for target in found.settings if target.path)
        spec = Template(None, (SECRETS[found.workload],), args, fields)
        workloads[found.workload] = Workload(found.workload, replicas, spec, spec)
    return World(NOW, wish, {}, workloads, (), client_ca=_CLIENT_CA)


def waiting(wish: Desired, *, replicas: int = 2) -> World:
    """A stack that was just installed: every pod waits for its Secret."""
    world = bare(wish, replicas=replicas)
    for ref, found in world.workloads.items():
        pods = (
            Pod(f"{ref.name}-{ref.kind}-{slot}", ref, slot, Phase.WAITING, NOW, None, found.spec, None)
            for slot in range(replicas)
        )
        world = replace(world, pods=(*world.pods, *pods))
    return replace(world, now=NOW + timedelta(seconds=20))


def shipped(*, mode: Mode = Mode.ENFORCE, profile_name: str = "Intermediate") -> Desired:
    """The wish for the whole stack of OpenShift, as the catalogue that comes with the operator has it."""
    catalogue = load("openshift-monitoring")
    return Desired(mode, catalogue, profile(profile_name), "", RULES)


def with_policy(wish: Desired, signer: KeyAlgorithm) -> Desired:
    """The same with new CAs of another key type."""
    domain = wish.catalogue.domains[0]
    other = replace(domain, signer=IssuingPolicy(signer, domain.signer.duration))
    return replace(wish, catalogue=replace(wish.catalogue, domains=(other, *wish.catalogue.domains[1:])))


def deaf(world: World, ref: WorkloadRef) -> World:
    """The world in which one workload's processes don't re-read their leaf, although the catalogue says so."""
    return replace(world, workloads={**world.workloads, ref: replace(world.workloads[ref], deaf=True)})
