"""A cluster as values: Secrets, workloads, pods and what their processes hold in memory. No Kubernetes, no clock."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from monitoring_tls.model.action import Action
from monitoring_tls.model.certificate import CertificateFacts
from monitoring_tls.model.component import Component, WorkloadRef
from monitoring_tls.model.desired import Desired
from monitoring_tls.model.snapshot import Evidence, Snapshot
from monitoring_tls.pki.domain import Material

TICK = timedelta(seconds=61)
"""One step of time: longer than a kubelet may hand out an old copy, so that all lateness happens within one."""

Pairs = tuple[tuple[str, object], ...]
"""A mapping that can be compared and hashed."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A Secret as the API server has it. ``data`` is sorted."""

    namespace: str
    name: str
    uid: str
    version: int
    created: datetime
    data: tuple[tuple[str, bytes], ...] = field(repr=False)
    annotations: tuple[tuple[str, str], ...] = ()
    hashed_from: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        return (self.namespace, self.name)


@dataclass(frozen=True, slots=True)
class Template:
    """What pods are made of: restart annotation, mounted Secrets, arguments per container, fields per path."""

    restart_hash: str | None
    mounts: tuple[str, ...]
    args: tuple[tuple[str, tuple[str, ...]], ...] = ()
    fields: tuple[tuple[tuple[str, ...], Pairs], ...] = ()


@dataclass(frozen=True, slots=True)
class Workload:
    """A top-most owner.

    Attributes:
        rolled: what the controller beneath it has taken up (a StatefulSet's own template).
        broken: its new pods start and never get ready.
        deaf: its processes don't re-read their leaf, whatever the catalogue says.
    """

    ref: WorkloadRef
    replicas: int
    spec: Template
    rolled: Template | None
    version: int = 1
    patched_at: datetime | None = None
    saved: str | None = None
    broken: bool = False
    deaf: bool = False


class Phase(StrEnum):
    """Of a pod."""

    WAITING = "Waiting"
    RUNNING = "Running"
    TERMINATING = "Terminating"


@dataclass(frozen=True, slots=True)
class Process:
    """What a process holds in memory: the bundle it read at start, and the leaf it serves or shows."""

    bundle: tuple[CertificateFacts, ...]
    chain: tuple[CertificateFacts, ...]


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod with one process that matters."""

    uid: str
    ref: WorkloadRef | None
    slot: int
    phase: Phase
    created: datetime
    started: datetime | None
    template: Template
    process: Process | None
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    reachable: bool = True
    ready: bool = True
    stubborn: bool = False


@dataclass(frozen=True, slots=True)
class Pass:
    """What is left of a plan that is being carried out: whole actions, and derived Secrets of the action begun."""

    snapshot: Snapshot
    actions: tuple[Action, ...]
    domain: str = ""
    material: Material | None = None
    derived: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class World:
    """Everything there is.

    Attributes:
        superseded: versions of Secrets that a kubelet may still hand to a pod that starts now.
        rollouts: per workload: how often its running pods were made anew since the last rotation began.
        late_starts: per workload: how often a pod was given an old copy since then.
        crashes: how many the operator may still have; ``losses`` likewise of derived Secrets, ``jumps`` of time.
        requests: rotations that will be asked for at some moment.
    """

    now: datetime
    desired: Desired
    secrets: Mapping[tuple[str, str], Stored]
    workloads: Mapping[WorkloadRef, Workload]
    pods: tuple[Pod, ...]
    superseded: tuple[Stored, ...] = ()
    passing: Pass | None = None
    deleted_pods: frozenset[str] = frozenset()
    rollouts: Mapping[WorkloadRef, int] = field(default_factory=dict)
    late_starts: Mapping[WorkloadRef, int] = field(default_factory=dict)
    crashes: int = 0
    losses: int = 0
    jumps: int = 0
    requests: tuple[str, ...] = ()
    serial: int = 1
    foreign: str | None = None
    client_ca: str | None = None
    configmaps: Mapping[tuple[str, str], tuple[str, str, datetime]] = field(default_factory=dict)

    def component(self, ref: WorkloadRef) -> Component:
        """What the catalogue says of a workload."""
        return next(c for c in self.desired.catalogue.components if c.workload == ref)

    def with_pod(self, pod: Pod) -> "World":
        """The world with one pod replaced, by its uid."""
        return replace(self, pods=tuple(pod if other.uid == pod.uid else other for other in self.pods))

    def with_secret(self, secret: Stored) -> "World":
        """The world with one Secret put in place; what was there may still be handed out by a kubelet."""
        old = self.secrets.get(secret.key)
        superseded = (*self.superseded, old) if old is not None else self.superseded
        return replace(self, secrets={**self.secrets, secret.key: secret}, superseded=superseded)

    def of(self, ref: WorkloadRef) -> tuple[Pod, ...]:
        """The pods of a workload."""
        return tuple(pod for pod in self.pods if pod.ref == ref)
