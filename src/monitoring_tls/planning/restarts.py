"""Which workload is changed or restarted next: only who needs it, one at a time, and never past a failure."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from monitoring_tls.compliance.verdict import Result, Verdict, follows_profile
from monitoring_tls.model.action import MoveMount, PatchWorkload
from monitoring_tls.model.annotations import LEAF_SINCE, TRUST_SINCE
from monitoring_tls.model.component import Component
from monitoring_tls.model.desired import Desired, Mode
from monitoring_tls.model.snapshot import Outcome, PodView, Snapshot, WorkloadView
from monitoring_tls.planning.consumers import bundle_of, components_of, pods_of, since
from monitoring_tls.planning.delivery import Delivery, deliver, give_back
from monitoring_tls.planning.proof import Fact, PodProof

# The same hash asked for again, because pods made with it were proved wrong: after this many times it is a failure.
_ATTEMPTS = 3

NOT_PROBED = Verdict(Result.UNKNOWN, "not yet probed")
"""The verdict on an endpoint that no handshake was tried with."""


@dataclass(frozen=True, slots=True)
class WorkloadState:
    """One workload: what it gets, whether its pods must be made anew, and whether it is done.

    Attributes:
        patch: the change it needs now, or None; whether it may be made now is `next_patches`' decision.
        unfinished: why it isn't done with what was last asked of it, in words; empty when it is.
        failed: a failure that stops every other restart, in words.
        unproved: what handshakes haven't shown yet, in words.
    """

    component: Component
    workload: WorkloadView
    delivery: Delivery
    pods: tuple[PodView, ...]
    patch: PatchWorkload | None
    unfinished: str = ""
    failed: str = ""
    unproved: tuple[str, ...] = ()
    not_before: datetime | None = None

    @property
    def running(self) -> bool:
        """Whether any pod of it has ever started: before that, a change disturbs nobody."""
        return any(not pod.never_started for pod in self.pods)


def assess(
    snapshot: Snapshot, desired: Desired, proofs: Sequence[PodProof], now: datetime
) -> tuple[WorkloadState, ...]:
    """The state of every workload that exists, in restart order."""
    return tuple(
        _assess(snapshot, desired, component, [p for p in proofs if p.consumer.component is component], now)
        for component in components_of(snapshot, desired)
    )


def patches_asleep(states: Sequence[WorkloadState]) -> tuple[PatchWorkload, ...]:
    """Changes of workloads none of whose pods has started: they disturb nobody, so they are made at once."""
    return tuple(s.patch for s in states if s.patch is not None and not s.running)


def next_patches(states: Sequence[WorkloadState], now: datetime) -> tuple[PatchWorkload, ...]:
    """The patches that may be made now, where restarts are automatic.

    Of workloads that run one at a time, and only while nothing that was changed before is unfinished, unproved or
    failed: in the middle of a rotation every mix of old and new pods can talk, so waiting is always safe.
    """
    asleep = patches_asleep(states)
    for state in states:
        if state.patch is None or not state.running:
            continue
        others = [s for s in states if s is not state]
        if any(s.failed or s.unfinished or s.unproved for s in others if s.running or s.workload.restart_hash):
            # The one that it waits for may need a change itself to get on: bad settings taken back, for instance.
            continue
        if state.not_before is not None and now < state.not_before:
            return asleep
        return (*asleep, state.patch)
    return asleep


def restart_hash(component: Component, snapshot: Snapshot, desired: Desired, delivery: Delivery) -> str:
    """A digest of what a process must hold and can't take alive: CAs it must trust, settings, leaves it reads once.

    Retiring a CA doesn't change it, nor does time, nor the operator's version.
    """
    held: dict[str, object] = {"settings": delivery.digest}
    domains = {domain.domain: domain for domain in desired.catalogue.domains}
    for use in component.uses:
        domain = domains[use.domain]
        source = snapshot.secrets.get((domain.namespace, domain.name))
        bundle = bundle_of(source)
        if bundle and not use.reloads_trust:
            held[f"trust/{use.domain}"] = bundle[0].fingerprint
        leaf = source.certificates.get(f"{use.leaf}.crt", ()) if source else ()
        if leaf and not use.reloads_leaf:
            held[f"leaf/{use.domain}/{use.leaf}"] = leaf[0].fingerprint
    return hashlib.sha256(json.dumps(held, sort_keys=True).encode()).hexdigest()[:16]


def _assess(
    snapshot: Snapshot, desired: Desired, component: Component, proofs: list[PodProof], now: datetime
) -> WorkloadState:
    workload = snapshot.workloads[component.workload]
    pods = pods_of(snapshot, workload)
    enforce = desired.mode is Mode.ENFORCE
    if enforce:
        delivery = deliver(component, workload, desired.profile.effective, snapshot.prometheus_operator)
    else:
        delivery = give_back(component, workload)
    stale = [proof for proof in proofs if proof.needs_restart] if enforce else []
    unfinished, failed = _rollout(workload, desired, now)
    wanted = restart_hash(component, snapshot, desired, delivery)
    current = workload.restart_hash or ""
    again = [p for p in stale if current.partition(".")[0] == wanted and p.pod.restart_hash == current]
    rolled = not stale or current.partition(".")[0] == wanted
    why = [f"its settings change ({_edits(delivery)})"] if delivery.changes else []
    if again and not unfinished:
        attempt = int(current.partition(".")[2] or 0) + 1
        if attempt > _ATTEMPTS:
            failed = failed or f"{workload.ref}: restarted {_ATTEMPTS} times and still wrong: {again[0].detail}"
        else:
            wanted = f"{wanted}.{attempt}"
            why.append(
                f"Pod/{again[0].pod.name} was made with the right settings and is proved wrong: {again[0].detail}"
            )
    elif not rolled:
        untrusting = any(p.trusts in {Fact.STALE, Fact.REFUTED} for p in stale)
        why.append(f"its pods must {'trust the new CA' if untrusting else 'serve the new leaf'}, read only at start")
    # Whoever is to be made anew for something newer shows no failure of what was done before.
    telling = [proof for proof in proofs if not proof.needs_restart or proof in again]
    patch = None
    if why and not (failed and again):
        patch = PatchWorkload(
            workload.ref,
            workload.resource_version,
            " and ".join(why),
            wanted,
            delivery.lists,
            delivery.maps,
            _moves(snapshot, desired, component, workload),
            delivery.saved if delivery.changes else None,
        )
    return WorkloadState(
        component,
        workload,
        delivery,
        pods,
        patch,
        unfinished,
        failed,
        _unproved(snapshot, desired, component, workload, pods, telling, now, judged=enforce and not delivery.changes),
        _not_before(proofs, again, desired) if stale else None,
    )


def _rollout(workload: WorkloadView, desired: Desired, now: datetime) -> tuple[str, str]:
    rollout = workload.rollout
    if rollout is None:
        return f"{workload.ref}: its controller has made no pods yet", ""
    if rollout.settled and rollout.restart_hash == workload.restart_hash:
        return "", ""
    text = f"{workload.ref}: {rollout.detail}"
    late = workload.patched_at is not None and now > workload.patched_at + desired.restart.progress_deadline
    return text, text if late else ""


def _unproved(
    snapshot: Snapshot,
    desired: Desired,
    component: Component,
    workload: WorkloadView,
    pods: tuple[PodView, ...],
    proofs: list[PodProof],
    now: datetime,
    *,
    judged: bool,
) -> tuple[str, ...]:
    """What is still to be shown of pods made with the annotation in force; of older pods nothing is expected.

    Args:
        snapshot: as in `assess`, as are ``desired`` and ``now``.
        desired: see ``snapshot``.
        component: what the catalogue says of it.
        workload: the workload.
        pods: its pods.
        proofs: of its pods.
        now: see ``snapshot``.
        judged: whether its pods are to follow the profile by now. Those that still have settings of before are not: if
            each workload waited for the others to follow a profile that none of them was given, none ever would be.
    """
    if workload.restart_hash is None:
        return ()
    new = {pod.uid for pod in pods if pod.restart_hash == workload.restart_hash}
    texts = [
        f"Pod/{p.pod.name}: serves {p.serves}, trusts {p.trusts}"
        for p in proofs
        if p.pod.uid in new and not p.proved and Fact.STALE not in (p.serves, p.trusts)
    ]
    # A component that can't follow the profile is reported, but doesn't keep a rotation from going on for ever.
    if not judged or workload.patched_at is None or now > workload.patched_at + desired.restart.probe_deadline:
        return tuple(texts)
    for pod in pods:
        for endpoint in component.endpoints:
            if pod.uid not in new or not endpoint.follows_profile or endpoint.container not in pod.started:
                continue
            evidence = snapshot.evidence.get((pod.uid, endpoint.name))
            verdict = follows_profile(evidence, desired.profile.effective) if evidence else NOT_PROBED
            if verdict.result is not Result.PASS and (evidence is None or evidence.outcome is not Outcome.UNREACHABLE):
                texts.append(f"Pod/{pod.name} {endpoint.name}: {verdict.message}")
    return tuple(texts)


def _not_before(proofs: list[PodProof], again: list[PodProof], desired: Desired) -> datetime | None:
    """Before this, a restart might be for nothing: a kubelet may still hand an old copy to the new pod.

    Of a process without a TLS port only its start time will be evidence, and one that got an old copy once may get it
    again; any other is restarted at once, as a wrong copy would show.
    """
    margin = desired.restart.propagation
    blind = [p for p in proofs if not p.consumer.component.endpoints_of(p.consumer.use)]
    moments = [
        since(proof.consumer.secret, annotation) + margin
        for proof in (*blind, *again)
        if proof.consumer.secret is not None
        for annotation in (TRUST_SINCE, LEAF_SINCE)
    ]
    return max(moments, default=None)


def _moves(snapshot: Snapshot, desired: Desired, component: Component, workload: WorkloadView) -> tuple[MoveMount, ...]:
    """CMO-style hashed names in the workload's volumes, to be moved to the stable name."""
    used = {use.domain for use in component.uses}
    stable: Mapping[str, str] = {
        view.name: spec.name
        for domain in desired.catalogue.domains
        if domain.domain in used
        for spec in domain.derived
        if (spec.namespace, spec.name) in snapshot.secrets
        for view in snapshot.secrets.values()
        if view.namespace == spec.namespace and view.hashed_from == spec.name and view.name != spec.name
    }
    return tuple(
        MoveMount(mount.pointer, mount.name, stable[mount.name])
        for mount in sorted(workload.mounts, key=lambda m: m.pointer or "")
        if mount.kind == "Secret" and mount.pointer is not None and mount.name in stable
    )


def _edits(delivery: Delivery) -> str:
    places = [edit.pointer for edit in delivery.lists] + [".".join(edit.path) for edit in delivery.maps]
    return ", ".join(places)
