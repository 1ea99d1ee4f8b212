"""What a plan consists of: writes, each carrying the reason and the precondition that makes it safe to repeat."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from monitoring_tls.model.component import WorkloadRef


class DomainStep(StrEnum):
    """A change of a trust domain's Secret. Each is one update, after which every running pair can still talk.

    Attributes:
        CREATE: a new CA and all leaves, where there is nothing to go on from.
        RENEW_LEAVES: new keys and certificates for some leaves, from the CA that issues now.
        BEGIN_CROSS_SIGNED: a new CA, cross-signed by the old; all leaves from it; bundles [new, old].
        BEGIN_BOTH_TRUSTED: a new CA; bundles [new, old]; leaves unchanged (the longer way, first half).
        ISSUE: all leaves from the new CA (the longer way, second half).
        RETIRE: the old CA, its key and the cross-signed certificate are removed.
    """

    CREATE = "Create"
    RENEW_LEAVES = "RenewLeaves"
    BEGIN_CROSS_SIGNED = "BeginCrossSigned"
    BEGIN_BOTH_TRUSTED = "BeginBothTrusted"
    ISSUE = "Issue"
    RETIRE = "Retire"


@dataclass(frozen=True, slots=True)
class WriteDomain:
    """Change a trust domain's Secret; its derived Secrets follow in the same breath.

    Attributes:
        resource_version: of the Secret that was looked at; None where it must not exist.
        reason: of a rotation: the text of ``spec.rotation.requested``, or why it was due.
    """

    domain: str
    step: DomainStep
    why: str
    resource_version: str | None
    leaves: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class WriteDerived:
    """Bring derived Secrets to what the domain's Secret says.

    Attributes:
        targets: (namespace, name) of each.
        source_version: resourceVersion of the domain's Secret that they are to follow.
    """

    domain: str
    targets: tuple[tuple[str, str], ...]
    why: str
    source_version: str


@dataclass(frozen=True, slots=True)
class WriteConfigMap:
    """Create or update a ConfigMap of the catalogue."""

    namespace: str
    name: str
    data: Mapping[str, str] = field(repr=False)
    created: bool


@dataclass(frozen=True, slots=True)
class ListEdit:
    """New arguments for one container: the whole list, in which only our flags differ from what was read."""

    pointer: str
    before: tuple[str, ...] | None
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MapEdit:
    """New values for keys of one map; None removes the key."""

    path: tuple[str, ...]
    values: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class MoveMount:
    """Let a volume name the stable Secret in place of a hashed copy."""

    pointer: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class PatchWorkload:
    """Change a workload's settings and restart annotation in one patch.

    Attributes:
        restart_hash: the new value of the restart annotation; None leaves it as it is.
        saved: the values found before, to be kept in ``monitoring-tls.dev/found``; None where nothing changes.
    """

    ref: WorkloadRef
    resource_version: str
    why: str
    restart_hash: str | None
    lists: tuple[ListEdit, ...] = ()
    maps: tuple[MapEdit, ...] = ()
    mounts: tuple[MoveMount, ...] = ()
    saved: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class DeletePod:
    """Let a pod's controller make it again.

    Attributes:
        resource_version: of the pod that was looked at: one that has started meanwhile is left alone.
    """

    namespace: str
    name: str
    uid: str
    resource_version: str
    why: str


@dataclass(frozen=True, slots=True)
class DeleteSecret:
    """Remove a hashed copy that no pod and no workload mounts any more."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    why: str


Action = WriteDomain | WriteDerived | WriteConfigMap | PatchWorkload | DeletePod | DeleteSecret
