"""The cluster as it was seen: what `plan` is given."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from monitoring_tls.model.certificate import SecretView
from monitoring_tls.model.component import WorkloadRef
from monitoring_tls.model.profile import EffectiveProfile


@dataclass(frozen=True, slots=True)
class Mount:
    """A reference of a pod template to a Secret or ConfigMap, found in volumes, projected volumes or envFrom.

    Attributes:
        pointer: the JSON pointer (RFC 6901) of the name in the owner's object, where it can be moved to another name.
        optional: whether a pod starts without it too.
    """

    kind: str
    name: str
    pointer: str | None = None
    optional: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class ContainerView:
    """A container of a workload's own object: its arguments and where they stand.

    Attributes:
        pointer: the JSON pointer of its ``args`` list, which may not exist yet.
    """

    name: str
    args: tuple[str, ...] | None
    pointer: str


@dataclass(frozen=True, slots=True)
class Rollout:
    """How far the controller that makes the pods has come.

    Attributes:
        restart_hash: the restart annotation in its own pod template (the StatefulSet's, not the custom resource's).
        settled: its status is about the current generation, and updated = ready = wanted replicas.
        detail: in words, for status.
    """

    restart_hash: str | None
    settled: bool
    replicas: int
    detail: str


@dataclass(frozen=True, slots=True)
class WorkloadView:
    """A workload's object.

    Attributes:
        restart_hash: the restart annotation in the object's pod template or pod metadata.
        saved: the values found before the operator changed them (annotation ``monitoring-tls.dev/found``), as JSON.
        fields: the maps named by the catalogue's `SettingsTarget.path`, absent ones empty.
        rollout: None while no StatefulSet or Deployment exists yet.
        patched_at: when the restart annotation was last written.
        present: paths of maps that exist in the object, of those that a patch may have to make.
    """

    ref: WorkloadRef
    uid: str
    resource_version: str
    restart_hash: str | None
    patched_at: datetime | None
    saved: Mapping[str, object]
    mounts: frozenset[Mount]
    containers: Mapping[str, ContainerView]
    fields: Mapping[tuple[str, ...], Mapping[str, object]]
    present: frozenset[tuple[str, ...]]
    rollout: Rollout | None


@dataclass(frozen=True, slots=True)
class PodView:
    """A pod of a managed workload.

    Attributes:
        started: per container that runs: since when.
        terminating: it is on its way out, or has run its course (evicted, for instance).
        never_started: no container of it has ever run: it waits for its volumes (``ContainerCreating``).
        restart_hash: the restart annotation it was made with.
        mounts: the Secrets and ConfigMaps it refers to.
    """

    namespace: str
    name: str
    uid: str
    resource_version: str
    workload: WorkloadRef | None
    owned: bool
    ip: str | None
    ready: bool
    terminating: bool
    never_started: bool
    created: datetime
    started: Mapping[str, datetime]
    restart_hash: str | None
    mounts: frozenset[Mount]


class Outcome(StrEnum):
    """What a probe saw. `UNREACHABLE` never leads to a restart and never counts as done."""

    SERVES = "Serves"
    SERVES_OTHER = "ServesOther"
    UNREACHABLE = "Unreachable"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What handshakes with one endpoint of one pod showed.

    Attributes:
        leaf: fingerprint of the served leaf.
        trusts: fingerprints of CAs of which a client certificate was accepted; ``refuses`` those refused.
        refused_versions: protocol versions that were refused, ``accepted_versions`` those that were accepted.
        refused_ciphers: whether suites outside the profile were refused (None: not tried).
        seen: how many times in a row the same was seen.
        since: when this was first seen; ``at`` when last.
    """

    outcome: Outcome
    at: datetime
    since: datetime
    seen: int
    leaf: str | None = None
    trusts: frozenset[str] = frozenset()
    refuses: frozenset[str] = frozenset()
    accepted_versions: frozenset[str] = frozenset()
    refused_versions: frozenset[str] = frozenset()
    refused_ciphers: bool | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ConfigMapView:
    """A ConfigMap: of the catalogue's, the data under the catalogue's key, and when the operator last changed it."""

    namespace: str
    name: str
    resource_version: str
    created: datetime
    data: Mapping[str, str] = field(repr=False)
    written_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything `plan` may know of the cluster.

    Attributes:
        namespaces: the managed ones that exist and are known.
        unseen: managed namespaces that exist and can't be read (yet): what uses a domain there is unknown, so nothing
            that anybody may still need is removed meanwhile.
        evidence: per (pod uid, endpoint name).
        client_ca: the cluster's client CA bundle (PEM), None where it can't be read.
        foreign_operator: name of a live operator that manages the same objects, for instance
            ``cluster-monitoring-operator``.
        prometheus_operator: its version, as the CRDs say; None where they say nothing.
        deleted_pods: uids of pods that were deleted by us in this process, so that a late watch event doesn't lead
            to a second delete.
    """

    namespaces: frozenset[str]
    secrets: Mapping[tuple[str, str], SecretView]
    configmaps: Mapping[tuple[str, str], ConfigMapView]
    workloads: Mapping[WorkloadRef, WorkloadView]
    pods: tuple[PodView, ...]
    evidence: Mapping[tuple[str, str], Evidence]
    client_ca: str | None
    foreign_operator: str | None = None
    deleted_pods: frozenset[str] = frozenset()
    unseen: frozenset[str] = frozenset()
    prometheus_operator: str | None = None


@dataclass(frozen=True, slots=True)
class ProfileState:
    """The central profile as it stands: what is followed, and what is wrong with what was asked for."""

    effective: EffectiveProfile
    valid: bool = True
    message: str = ""
