"""``plan(snapshot, desired, now)``: the whole decision, as a value.

The operator, the tests and the model checks call the same function. Applied again and again it comes to a fixed
point, at which it has no actions.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from monitoring_tls.model.action import Action, DeleteSecret, WriteDerived, WriteDomain
from monitoring_tls.model.annotations import LEAF_SINCE, TRUST_SINCE
from monitoring_tls.model.certificate import Stage
from monitoring_tls.model.desired import Desired, Mode, RestartRules
from monitoring_tls.model.snapshot import Snapshot
from monitoring_tls.planning.certificates import (
    DomainView,
    bundle_action,
    derived_action,
    domain_action,
    unused_copies,
    view_domain,
)
from monitoring_tls.planning.consumers import consumers_of, since
from monitoring_tls.planning.probes import ProbeWish, wishes
from monitoring_tls.planning.proof import Fact, Kind, PodProof, prove
from monitoring_tls.planning.restarts import WorkloadState, assess, next_patches, patches_asleep
from monitoring_tls.planning.waiting import pods_to_remake, remake_at


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that keeps the stack from what is asked for; ``reason`` is a condition's reason (CamelCase)."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now, what is known, and when to look again.

    Attributes:
        actions: in the order in which they are to be made; empty at the fixed point, and in mode Audit.
        withheld: what mode Audit or ``restart.policy: Never`` keeps back.
        next_check: the next moment at which time alone changes the plan; None where only an event can.
    """

    actions: tuple[Action, ...]
    withheld: tuple[Action, ...]
    domains: tuple[DomainView, ...]
    workloads: tuple[WorkloadState, ...]
    proofs: tuple[PodProof, ...]
    probes: tuple[ProbeWish, ...]
    problems: tuple[Problem, ...]
    next_check: datetime | None


def plan(snapshot: Snapshot, desired: Desired, now: datetime) -> Plan:
    """Decide. Pure: the same arguments give the same plan.

    Args:
        snapshot: the cluster as it was seen.
        desired: what is asked for.
        now: the time, with a zone.
    """
    proofs = tuple(
        proof
        for domain in desired.catalogue.domains
        for consumer in consumers_of(snapshot, desired, domain)
        for proof in prove(snapshot, consumer, desired.restart, now)
    )
    domains = tuple(view_domain(snapshot, desired, domain, proofs, now) for domain in desired.catalogue.domains)
    states = assess(snapshot, desired, proofs, now)
    certificates = tuple(_certificate_actions(snapshot, desired, domains, now))
    may_act = desired.mode is Mode.ENFORCE and snapshot.foreign_operator is None
    # In mode Audit the operator only gives back what it had taken; beside another live operator, not even that.
    gives_back = desired.mode is Mode.AUDIT and snapshot.foreign_operator is None
    rewrites = may_act and any(isinstance(action, WriteDomain | WriteDerived) for action in certificates)
    # Pods that wait for Secrets which are about to be made should start with the right settings at once.
    patches = patches_asleep(states) if rewrites else next_patches(states, now)
    waiting = () if rewrites else tuple(pods_to_remake(snapshot, desired, now))
    tidy = () if rewrites else tuple(_tidy(snapshot, domains))
    allowed = patches if desired.restart.automatic else ()
    everything: tuple[Action, ...] = (*certificates, *patches, *waiting, *tidy)
    ordered = (*allowed, *certificates) if rewrites else (*certificates, *allowed)
    actions = (*ordered, *waiting, *tidy) if may_act else allowed if gives_back else ()
    return Plan(
        actions=actions,
        withheld=tuple(action for action in everything if action not in actions),
        domains=domains,
        workloads=states,
        proofs=proofs,
        probes=tuple(wishes(snapshot, desired)),
        problems=tuple(_problems(snapshot, desired, states, proofs)),
        next_check=_next_check(snapshot, desired, domains, states, proofs, now),
    )


def _certificate_actions(
    snapshot: Snapshot, desired: Desired, domains: tuple[DomainView, ...], now: datetime
) -> Iterator[Action]:
    for view in domains:
        change = domain_action(snapshot, desired, view, now)
        # A change of the domain's Secret writes the derived ones in the same breath.
        derived = None if change is not None else derived_action(snapshot, view)
        if change is not None:
            yield change
        if derived is not None:
            yield derived
    for copy in desired.catalogue.bundles:
        if (write := bundle_action(snapshot, copy)) is not None:
            yield write


def _tidy(snapshot: Snapshot, domains: tuple[DomainView, ...]) -> Iterator[DeleteSecret]:
    for view in domains:
        for copy in unused_copies(snapshot, view):
            why = f"no pod mounts it any more; its place is taken by {copy.hashed_from}"
            yield DeleteSecret(copy.namespace, copy.name, copy.uid, copy.resource_version, why)


def _problems(
    snapshot: Snapshot,
    desired: Desired,
    states: tuple[WorkloadState, ...],
    proofs: tuple[PodProof, ...],
) -> Iterator[Problem]:
    if snapshot.foreign_operator is not None and desired.mode is Mode.ENFORCE:
        text = f"{snapshot.foreign_operator} is running and manages the same objects; mode stays Audit until it is gone"
        yield Problem("ForeignOperator", text)
    for state in states:
        if state.failed:
            yield Problem("RolloutStuck", f"{state.failed}; nothing else is restarted until it is done")
    for proof in proofs:
        where = f"Pod/{proof.pod.namespace}/{proof.pod.name}"
        facts = (proof.serves, proof.trusts)
        if Fact.BLOCKED in facts:
            text = (
                f"{where} can't be reached for a handshake ({proof.detail}); look for a NetworkPolicy that selects it"
            )
            yield Problem("ProbeBlocked", text)
        elif Fact.REFUTED in facts:
            yield Problem("ServesOther", f"{where} doesn't serve or trust what its Secret says: {proof.detail}")
    if snapshot.client_ca is None and desired.catalogue.bundles:
        text = "ConfigMap kube-system/extension-apiserver-authentication has no readable client-ca-file"
        yield Problem("ClientCAUnreadable", text)


def _next_check(
    snapshot: Snapshot,
    desired: Desired,
    domains: tuple[DomainView, ...],
    states: tuple[WorkloadState, ...],
    proofs: tuple[PodProof, ...],
    now: datetime,
) -> datetime | None:
    rules = desired.restart
    moments: list[datetime] = []
    for view in domains:
        if view.delivered_at is not None:
            moments.append(view.delivered_at)
        for key, chain in (view.secret.certificates if view.secret else {}).items():
            if key == "ca.crt" and view.rotation is not None and view.rotation.stage is not Stage.STABLE:
                continue
            moments += [chain[0].renewal_due(view.domain.renew_at), chain[0].not_after] if chain else []
    moments += [moment for proof in proofs for moment in _proof_moments(proof, rules, now)]
    for state in states:
        if state.unfinished and state.workload.patched_at is not None:
            moments.append(state.workload.patched_at + rules.progress_deadline)
        if state.not_before is not None:
            moments.append(state.not_before)
    moments += [moment for pod in snapshot.pods if (moment := remake_at(snapshot, desired, pod)) is not None]
    return min((moment for moment in moments if moment > now), default=None)


def _proof_moments(proof: PodProof, rules: RestartRules, now: datetime) -> Iterator[datetime]:
    """When time alone may say more of a pod that isn't proved."""
    if proof.proved or proof.consumer.secret is None:
        return
    for annotation in (LEAF_SINCE, TRUST_SINCE):
        written = since(proof.consumer.secret, annotation)
        yield written + rules.propagation
        yield written + rules.probe_deadline
    for begun in proof.pod.started.values():
        yield begun + rules.probe_deadline
    if proof.kind is Kind.HANDSHAKE:
        # A deadline may pass between two looks, and the look after it is no news.
        yield now + rules.propagation
