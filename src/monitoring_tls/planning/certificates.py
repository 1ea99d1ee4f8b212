"""What a trust domain's Secrets need next: made, renewed, rotated one stage further, or copied to their consumers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitoring_tls.model.action import DomainStep, WriteConfigMap, WriteDerived, WriteDomain
from monitoring_tls.model.annotations import LEAF_SINCE, RETIRED_AT, ROTATED_FOR, TRUST_SINCE
from monitoring_tls.model.certificate import (
    CertificateFacts,
    DerivedSpec,
    LeafSpec,
    Rotation,
    SecretView,
    Stage,
    TrustDomain,
)
from monitoring_tls.model.component import BundleCopy
from monitoring_tls.model.desired import Desired
from monitoring_tls.model.snapshot import PodView, Snapshot
from monitoring_tls.pki.checks import (
    CAContext,
    Finding,
    LeafContext,
    ca_findings,
    cross_signing_obstacles,
    leaf_findings,
)
from monitoring_tls.pki.state import (
    CA_CERTIFICATE,
    CA_KEY,
    CROSS_CERTIFICATE,
    PREVIOUS_CERTIFICATE,
    parse_rotation,
    parse_time,
)
from monitoring_tls.planning.consumers import (
    Consumer,
    bundle_of,
    consumers_of,
    hashed_copies,
    mounted_names,
    since,
    started,
)
from monitoring_tls.planning.proof import Fact, PodProof, settled, surely_after

# A rotation has to be over before the old CA ends: pods that still verify through it would stand alone. Of a CA that
# lives for hours only (tests, trials), a tenth of its life has to do.
_ROTATION_TAKES = timedelta(days=1)
_ROTATION_TAKES_PART = 0.1

# With such a CA nothing can be issued or verified any more; with any other finding it still serves its rotation.
_CA_IS_LOST = frozenset({"Missing", "Garbled", "KeyMissing", "KeyMismatch", "Expired", "NotCA"})

# Not valid *yet* is a clock that is wrong, here or where it was issued. A new certificate would not mend it.
_CLOCK = "NotYetValid"


@dataclass(frozen=True, slots=True)
class DomainView:
    """One domain as it stands, with all that is proved of those who use it.

    Attributes:
        undelivered: why a pod that starts now may still be given something older, in words; empty when none can.
        delivered_at: from when on no kubelet hands out older copies of the derived Secrets as they are.
    """

    domain: TrustDomain
    secret: SecretView | None
    rotation: Rotation | None
    consumers: tuple[Consumer, ...]
    proofs: tuple[PodProof, ...]
    strangers: tuple[PodView, ...]
    undelivered: tuple[str, ...]
    delivered_at: datetime | None

    @property
    def retired_at(self) -> datetime | None:
        """When a CA last left the bundle: processes that started before may still trust it."""
        return parse_time(self.secret.annotations.get(RETIRED_AT)) if self.secret else None

    @property
    def waits_for(self) -> tuple[str, ...]:
        """What stands between the present stage and the next, in words; empty when nothing does."""
        waiting = list(self.undelivered)
        waiting += [
            f"{c.workload.ref}: {c.workload.rollout.detail if c.workload.rollout else 'no pods made yet'}"
            for c in self.consumers
            if not settled(c)
        ]
        wanted_facts = self._facts_wanted()
        for proof in self.proofs:
            missing = [name for name in wanted_facts if getattr(proof, name) is not Fact.PROVED]
            if missing:
                waiting.append(
                    f"Pod/{proof.pod.namespace}/{proof.pod.name}: {' and '.join(missing)} not proved ({proof.detail})"
                )
        waiting += [
            f"Pod/{pod.namespace}/{pod.name}: not managed or still ending, and may hold what was before"
            for pod in self.strangers
        ]
        return tuple(waiting)

    def _facts_wanted(self) -> tuple[str, ...]:
        introduced = self.rotation is not None and self.rotation.stage is Stage.INTRODUCED
        return ("trusts",) if introduced else ("serves", "trusts")


def view_domain(
    snapshot: Snapshot, desired: Desired, domain: TrustDomain, proofs: Sequence[PodProof], now: datetime
) -> DomainView:
    """Gather what concerns one domain."""
    secret = snapshot.secrets.get((domain.namespace, domain.name))
    rotation = parse_rotation(secret.annotations, secret.certificates) if secret else None
    mine = tuple(proof for proof in proofs if proof.consumer.use.domain == domain.domain)
    consumers = tuple(consumers_of(snapshot, desired, domain))
    copies = [
        (spec, name, snapshot.secrets.get((spec.namespace, name))) for spec, name in derived_targets(snapshot, domain)
    ]
    # Pods are proved by what *their* Secret says; it has to say what the domain's does before that proves anything.
    undelivered = [
        f"Secret/{name} -n {spec.namespace}: not yet written"
        for spec, name, copy in copies
        if secret is not None and not matches(secret, copy, spec)
    ]
    concerned = {spec.namespace for spec in domain.derived}
    undelivered += [f"Namespace/{name}: it can't be read" for name in sorted(snapshot.unseen & concerned)]
    written = [since(copy, name) for _, _, copy in copies if copy is not None for name in (TRUST_SINCE, LEAF_SINCE)]
    delivered_at = max(written) + desired.restart.propagation if written else None
    if delivered_at is not None and now < delivered_at:
        undelivered.append(f"kubelets may hand out older copies until {delivered_at:%H:%M:%S}")
    strangers = _strangers(snapshot, desired, domain)
    return DomainView(domain, secret, rotation, consumers, mine, strangers, tuple(undelivered), delivered_at)


def domain_action(snapshot: Snapshot, desired: Desired, view: DomainView, now: datetime) -> WriteDomain | None:
    """The one change the domain's Secret needs now, if any."""
    if view.domain.namespace not in snapshot.namespaces:
        return None
    secret = view.secret
    if secret is None:
        return _step(view, DomainStep.CREATE, "it was missing", reason=desired.rotation_requested)
    if not view.domain.derived and TRUST_SINCE not in secret.annotations:
        # Somebody else's certificate for a port of ours, for instance OpenShift's service CA's: it is theirs to renew.
        return None
    findings = ca_check(view, secret, now)
    lost = next((finding for finding in findings if finding.reason in _CA_IS_LOST), None)
    if lost is not None:
        return _step(view, DomainStep.CREATE, f"CA: {lost.message}", reason=desired.rotation_requested)
    return _advance(view, secret) or _begin(desired, view, findings, now) or _renew(view, secret, now)


def ca_check(view: DomainView, secret: SecretView, now: datetime) -> tuple[Finding, ...]:
    """Everything that is found of the domain's CA."""
    garbled = secret.garbled.get(CA_CERTIFICATE) or secret.garbled.get(CA_KEY)
    bundle = bundle_of(secret)
    return ca_findings(CAContext(bundle, secret.keys.get(CA_KEY), now, view.domain.renew_at, garbled))


def leaf_check(view: DomainView, secret: SecretView, spec: LeafSpec, now: datetime) -> tuple[Finding, ...]:
    """Everything that is found of one leaf of the domain."""
    bundle = bundle_of(secret)
    previous = secret.certificates.get(PREVIOUS_CERTIFICATE, ())
    introduced = view.rotation is not None and view.rotation.stage is Stage.INTRODUCED
    cross = secret.certificates.get(CROSS_CERTIFICATE, ())
    return leaf_findings(
        LeafContext(
            spec=spec,
            policy=view.domain.leaf,
            chain=secret.certificates.get(f"{spec.name}.crt", ()),
            key=secret.keys.get(f"{spec.name}.key"),
            bundle=bundle,
            issuer=previous[0] if introduced and previous else bundle[0],
            cross=cross[0] if cross else None,
            now=now,
            renew_at=view.domain.renew_at,
            garbled=secret.garbled.get(f"{spec.name}.crt") or secret.garbled.get(f"{spec.name}.key"),
        )
    )


def derived_action(snapshot: Snapshot, view: DomainView) -> WriteDerived | None:
    """The derived Secrets that are missing or differ from the domain's Secret, hashed copies in use included."""
    if view.secret is None or not bundle_of(view.secret):
        return None
    targets = [
        (spec.namespace, name)
        for spec, name in derived_targets(snapshot, view.domain)
        if not matches(view.secret, snapshot.secrets.get((spec.namespace, name)), spec)
    ]
    if not targets:
        return None
    return WriteDerived(view.domain.domain, tuple(targets), "they differ from it", view.secret.resource_version)


def derived_targets(snapshot: Snapshot, domain: TrustDomain) -> Iterator[tuple[DerivedSpec, str]]:
    """Every Secret that is to hold a part of the domain: the stable names, and hashed copies for as long as in use."""
    for spec in domain.derived:
        if spec.namespace not in snapshot.namespaces:
            continue
        in_use = mounted_names(snapshot, spec.namespace)
        copies = [copy.name for copy in hashed_copies(snapshot, spec) if copy.name in in_use]
        for name in (spec.name, *sorted(copies)):
            yield spec, name


def unused_copies(snapshot: Snapshot, view: DomainView) -> tuple[SecretView, ...]:
    """Hashed copies that no pod and no workload mounts any more, once the stable name is in place."""
    return tuple(
        copy
        for spec in view.domain.derived
        if (spec.namespace, spec.name) in snapshot.secrets
        for copy in hashed_copies(snapshot, spec)
        if copy.name not in mounted_names(snapshot, spec.namespace)
    )


def bundle_action(snapshot: Snapshot, copy: BundleCopy) -> WriteConfigMap | None:
    """The ConfigMap that must be made or changed to equal the cluster's client CA."""
    if snapshot.client_ca is None or copy.namespace not in snapshot.namespaces:
        return None
    found = snapshot.configmaps.get((copy.namespace, copy.name))
    if found is not None and found.data.get(copy.key) == snapshot.client_ca:
        return None
    return WriteConfigMap(copy.namespace, copy.name, {copy.key: snapshot.client_ca}, created=found is None)


def matches(source: SecretView, derived: SecretView | None, spec: DerivedSpec) -> bool:
    """Whether a derived Secret holds what the domain's Secret says: bundle, leaf with its chain, and the leaf's key."""
    if derived is None:
        return False
    leaf = source.certificates.get(f"{spec.leaf}.crt")
    return (
        bundle_of(derived) == bundle_of(source)
        and derived.certificates.get(spec.certificate_key) == leaf
        and derived.keys.get(spec.private_key_key) == source.keys.get(f"{spec.leaf}.key")
    )


def _advance(view: DomainView, secret: SecretView) -> WriteDomain | None:
    # A bundle that was adopted stays as it is; one that we wrote is trimmed once nobody needs the rest.
    kept = view.rotation is None and len(bundle_of(secret)) > 1 and TRUST_SINCE in secret.annotations
    if (view.rotation is None and not kept) or view.waits_for:
        return None
    if view.rotation is not None and view.rotation.stage is Stage.INTRODUCED:
        return _step(view, DomainStep.ISSUE, "every pod trusts the new CA")
    return _step(view, DomainStep.RETIRE, "every pod serves the new leaf and trusts the new CA")


def _begin(desired: Desired, view: DomainView, findings: tuple[Finding, ...], now: datetime) -> WriteDomain | None:
    secret = view.secret
    if view.rotation is not None or secret is None:
        return None
    asked = desired.rotation_requested
    due = next((f for f in findings if f.violated and f.reason != _CLOCK), None)
    # A request is about what peers trust; a domain that nothing is derived from has no peers of ours.
    if asked and view.domain.derived and asked != secret.annotations.get(ROTATED_FOR):
        reason, why = asked, f"requested: {asked}"
    elif due is not None:
        # It has no reason of its own, so that the one that was asked for last stays acted on.
        reason, why = "", f"CA: {due.message}"
    else:
        return None
    issuer = bundle_of(secret)[0]
    obstacles = cross_signing_obstacles(issuer, now, now + _needed(issuer))
    step = DomainStep.BEGIN_BOTH_TRUSTED if obstacles else DomainStep.BEGIN_CROSS_SIGNED
    why += f"; the longer way, as of the old CA {' and '.join(obstacles)}" if obstacles else ""
    return _step(view, step, why, reason=reason)


def _needed(issuer: CertificateFacts) -> timedelta:
    return min(_ROTATION_TAKES, (issuer.not_after - issuer.not_before) * _ROTATION_TAKES_PART)


def _renew(view: DomainView, secret: SecretView, now: datetime) -> WriteDomain | None:
    problems = {}
    for spec in view.domain.leaves:
        findings = leaf_check(view, secret, spec, now)
        found = next((f.message for f in findings if f.violated and f.reason != _CLOCK), None)
        if found is not None:
            problems[spec.name] = found
    if not problems:
        return None
    why = "; ".join(f"{name}: {problem}" for name, problem in problems.items())
    return _step(view, DomainStep.RENEW_LEAVES, why, leaves=tuple(problems))


def _step(
    view: DomainView, step: DomainStep, why: str, *, reason: str = "", leaves: tuple[str, ...] = ()
) -> WriteDomain:
    version = view.secret.resource_version if view.secret else None
    return WriteDomain(view.domain.domain, step, why, version, leaves, reason)


def _strangers(snapshot: Snapshot, desired: Desired, domain: TrustDomain) -> tuple[PodView, ...]:
    """Pods that use the domain and that nobody will restart: on their way out, or of no workload that is known.

    One that is ending soon is gone, so it is waited for wherever it may have started with a kubelet's older copy.
    """
    found = []
    for spec, name in derived_targets(snapshot, domain):
        secret = snapshot.secrets.get((spec.namespace, name))
        if secret is None:
            continue
        moments = [since(secret, annotation) for annotation in (TRUST_SINCE, LEAF_SINCE)]
        for pod in snapshot.pods:
            known = pod.workload is not None and pod.workload in snapshot.workloads
            margin = desired.restart.propagation if pod.terminating else timedelta(0)
            if (
                pod.namespace == spec.namespace
                and (pod.terminating or not known)
                and any(mount.kind == "Secret" and mount.name == name for mount in pod.mounts)
                and (begun := started(pod, "")) is not None
                and not all(surely_after(secret, begun, moment, margin) for moment in moments)
            ):
                found.append(pod)
    return tuple(found)
