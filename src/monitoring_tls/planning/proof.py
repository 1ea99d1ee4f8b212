"""The two facts that are proved of every pod: it *serves* the intended leaf, and it *trusts* the issuing CA.

They differ: a process may re-read its leaf while it runs and still hold the bundle it started with.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from monitoring_tls.model.annotations import LEAF_SINCE, TRUST_SINCE
from monitoring_tls.model.certificate import SecretView
from monitoring_tls.model.component import Endpoint
from monitoring_tls.model.desired import RestartRules
from monitoring_tls.model.snapshot import Evidence, Outcome, PodView, Snapshot
from monitoring_tls.planning.consumers import (
    CLOCK_SKEW,
    Consumer,
    bundle_of,
    created_with,
    pods_of,
    since,
    started,
)

# One look may meet a process between two files; a second look that sees the same is believed.
_BELIEVED_AFTER = 2


class Fact(StrEnum):
    """What is known of one fact of one pod.

    Attributes:
        PROVED: by a handshake, or (without a TLS port) by when the process started.
        PENDING: not yet; nothing speaks against it.
        STALE: the process started before what it must hold was written and can't take it alive.
        REFUTED: handshakes keep showing something else, past the deadline.
        BLOCKED: it can't be reached, past the deadline.
    """

    PROVED = "Proved"
    PENDING = "Pending"
    STALE = "Stale"
    REFUTED = "Refuted"
    BLOCKED = "Blocked"


class Kind(StrEnum):
    """The kind of evidence, for status."""

    HANDSHAKE = "Handshake"
    START_TIME = "StartTime"
    RELOADS = "Reloads"


@dataclass(frozen=True, slots=True)
class PodProof:
    """Both facts of one pod's use of one domain."""

    pod: PodView
    consumer: Consumer
    serves: Fact
    trusts: Fact
    kind: Kind
    detail: str = ""

    @property
    def proved(self) -> bool:
        """Both facts are proved."""
        return self.serves is Fact.PROVED and self.trusts is Fact.PROVED

    @property
    def needs_restart(self) -> bool:
        """The pod can't come to hold what it must without a new process."""
        return {self.serves, self.trusts} & {Fact.STALE, Fact.REFUTED} != set()


def prove(snapshot: Snapshot, consumer: Consumer, rules: RestartRules, now: datetime) -> tuple[PodProof, ...]:
    """What is known of each pod of one consumer."""
    return tuple(_prove_pod(snapshot, consumer, pod, rules, now) for pod in pods_of(snapshot, consumer.workload))


def settled(consumer: Consumer) -> bool:
    """The workload's own controller says that its rollout is done, with the annotation last asked for."""
    rollout = consumer.workload.rollout
    return rollout is not None and rollout.settled and rollout.restart_hash == consumer.workload.restart_hash


def _prove_pod(snapshot: Snapshot, consumer: Consumer, pod: PodView, rules: RestartRules, now: datetime) -> PodProof:
    secret = consumer.secret
    bundle = bundle_of(secret)
    chain = secret.certificates.get(consumer.spec.certificate_key, ()) if secret else ()
    begun = started(pod, consumer.use.container)
    endpoint = next(iter(consumer.component.endpoints_of(consumer.use)), None)
    if secret is None or not bundle or not chain or begun is None:
        kind = Kind.START_TIME if endpoint is None else Kind.HANDSHAKE
        return PodProof(pod, consumer, Fact.PENDING, Fact.PENDING, kind, "waits for its Secret or to start")
    if endpoint is None:
        return _prove_by_start(consumer, secret, pod, begun, rules, now)
    evidence = snapshot.evidence.get((pod.uid, endpoint.name))
    leaf_since, trust_since = since(secret, LEAF_SINCE), since(secret, TRUST_SINCE)
    serves = _serves(consumer, evidence, chain[0].fingerprint, begun, leaf_since, rules, now)
    trusts = _trusts(consumer, endpoint, evidence, bundle[0].fingerprint, begun, trust_since, rules, now)
    return PodProof(pod, consumer, serves, trusts, Kind.HANDSHAKE, evidence.detail if evidence else "not yet probed")


def _serves(
    consumer: Consumer,
    evidence: Evidence | None,
    wanted: str,
    begun: datetime,
    leaf_since: datetime,
    rules: RestartRules,
    now: datetime,
) -> Fact:
    if evidence is not None and evidence.leaf == wanted and evidence.outcome is not Outcome.UNREACHABLE:
        return Fact.PROVED
    if not consumer.use.reloads_leaf and begun < leaf_since - CLOCK_SKEW:
        return Fact.STALE
    return _doubt(evidence, max(begun, leaf_since), rules, now)


def _trusts(
    consumer: Consumer,
    endpoint: Endpoint,
    evidence: Evidence | None,
    wanted: str,
    begun: datetime,
    trust_since: datetime,
    rules: RestartRules,
    now: datetime,
) -> Fact:
    if evidence is not None and wanted in evidence.trusts:
        return Fact.PROVED
    if not consumer.use.reloads_trust:
        refused = evidence is not None and wanted in evidence.refuses and evidence.seen >= _BELIEVED_AFTER
        if begun < trust_since - CLOCK_SKEW or (refused and begun < trust_since + rules.propagation):
            return Fact.STALE
    if not endpoint.client_certificates:
        return Fact.PROVED
    if evidence is not None and evidence.outcome is not Outcome.UNREACHABLE and wanted not in evidence.refuses:
        return Fact.PENDING
    return _doubt(evidence, max(begun, trust_since), rules, now)


def _doubt(evidence: Evidence | None, fresh: datetime, rules: RestartRules, now: datetime) -> Fact:
    # What was seen before a kubelet had to be done says nothing, however long ago that is by now.
    if evidence is None or now < fresh + rules.probe_deadline or evidence.at < fresh + rules.propagation:
        return Fact.PENDING
    if evidence.outcome is Outcome.UNREACHABLE:
        return Fact.BLOCKED
    return Fact.REFUTED if evidence.seen >= _BELIEVED_AFTER else Fact.PENDING


def _prove_by_start(
    consumer: Consumer, secret: SecretView, pod: PodView, begun: datetime, rules: RestartRules, now: datetime
) -> PodProof:
    leaf_since, trust_since = since(secret, LEAF_SINCE), since(secret, TRUST_SINCE)
    margin = rules.propagation
    if consumer.use.reloads_trust:
        trusts = Fact.PROVED if now >= trust_since + margin else Fact.PENDING
    elif surely_after(secret, begun, trust_since, margin):
        trusts = Fact.PROVED if pod.ready else Fact.PENDING
    else:
        trusts = Fact.STALE
    if surely_after(secret, begun, leaf_since, margin) or (consumer.use.reloads_leaf and now >= leaf_since + margin):
        serves = Fact.PROVED
    else:
        serves = Fact.PENDING if consumer.use.reloads_leaf else Fact.STALE
    kind = Kind.RELOADS if consumer.use.reloads_leaf else Kind.START_TIME
    return PodProof(pod, consumer, serves, trusts, kind, f"started {begun:%H:%M:%S}, no TLS port of its own to ask")


def surely_after(secret: SecretView, begun: datetime, moment: datetime, margin: timedelta) -> bool:
    """Whether a process that began then has what was written at ``moment``.

    Started within the margin, a pod may have been given the kubelet's copy from before, and nothing can tell.
    """
    return begun >= moment + margin or (created_with(secret, moment) and begun >= moment - CLOCK_SKEW)
