"""One API object becomes one value: what reflectors keep in place of the object.

Each function is pure, and takes whatever an API server may hold without raising.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from monitoring_tls.model.annotations import FOUND, RESTART, RESTARTED_AT
from monitoring_tls.model.component import WorkloadRef
from monitoring_tls.model.snapshot import ConfigMapView, ContainerView, Mount, PodView, Rollout
from monitoring_tls.observe.templates import (
    CUSTOM_RESOURCES,
    POD_ANNOTATIONS,
    at,
    containers,
    listed_mounts,
    mounts,
    pod_spec_path,
)
from monitoring_tls.pki.secret_view import written_at

Object = dict[str, Any]

_EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class OwnerView:
    """An object with a pod template, before it is known who owns it and how far its rollout is.

    Attributes:
        owner: the controller that made it; None for a top-most object.
        rollout: what its own status says; None for custom resources, whose StatefulSets tell.
    """

    ref: WorkloadRef
    uid: str
    resource_version: str
    owner: WorkloadRef | None
    restart_hash: str | None
    patched_at: datetime | None
    saved: Mapping[str, object]
    mounts: frozenset[Mount]
    containers: Mapping[str, ContainerView]
    fields: Mapping[tuple[str, ...], Mapping[str, object]]
    present: frozenset[tuple[str, ...]]
    rollout: Rollout | None


def parse_time(text: Any) -> datetime | None:
    """An RFC 3339 time of the API, or None for anything else."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def owner_view(kind: str, paths: frozenset[tuple[str, ...]]) -> Callable[[Object], OwnerView]:
    """A transform for one kind.

    Args:
        kind: of the objects.
        paths: the maps that settings go to (`SettingsTarget.path`), of any kind.
    """

    def transform(obj: Object) -> OwnerView:
        metadata = obj.get("metadata") or {}
        annotations = metadata.get("annotations") or {}
        namespace = metadata.get("namespace", "")
        path = pod_spec_path(kind)
        spec = at(obj, path) or {}
        found = frozenset(mounts(spec, path))
        if kind in CUSTOM_RESOURCES:
            found |= frozenset(listed_mounts(spec))
        maps = {place: value for place in paths if isinstance(value := at(obj, place), Mapping)}
        candidates = {POD_ANNOTATIONS[kind][:n] for n in range(1, len(POD_ANNOTATIONS[kind]) + 1)}
        candidates |= {place[:n] for place in paths for n in range(1, len(place) + 1)}
        candidates.add(("metadata", "annotations"))
        return OwnerView(
            ref=WorkloadRef(kind, namespace, metadata.get("name", "")),
            uid=metadata.get("uid", ""),
            resource_version=metadata.get("resourceVersion", ""),
            owner=_controller(metadata, namespace),
            restart_hash=(at(obj, POD_ANNOTATIONS[kind]) or {}).get(RESTART),
            patched_at=parse_time(annotations.get(RESTARTED_AT)),
            saved=_json_map(annotations.get(FOUND)),
            mounts=found,
            containers=containers(spec, path),
            fields=maps,
            present=frozenset(place for place in candidates if isinstance(at(obj, place), Mapping)),
            rollout=_rollout(kind, obj),
        )

    return transform


def pod_view(obj: Object) -> PodView:
    """A pod. Its workload is its controller (for a ReplicaSet's pod: the Deployment behind it)."""
    metadata = obj.get("metadata") or {}
    status = obj.get("status") or {}
    spec = obj.get("spec") or {}
    namespace = metadata.get("namespace", "")
    running = {
        s["name"]: begun
        for s in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))
        if (begun := parse_time(at(s, ("state", "running", "startedAt")))) is not None
    }
    return PodView(
        namespace=namespace,
        name=metadata.get("name", ""),
        uid=metadata.get("uid", ""),
        resource_version=metadata.get("resourceVersion", ""),
        workload=_pod_owner(metadata, namespace),
        owned=any(ref.get("controller") for ref in metadata.get("ownerReferences") or ()),
        ip=status.get("podIP"),
        ready=any(c.get("type") == "Ready" and c.get("status") == "True" for c in status.get("conditions") or ()),
        # A pod that was evicted stays as an object until somebody cleans up, and will never run again.
        terminating="deletionTimestamp" in metadata or status.get("phase") in {"Failed", "Succeeded"},
        never_started=_never_started(spec, status),
        created=parse_time(metadata.get("creationTimestamp")) or _EPOCH,
        started=running,
        restart_hash=(metadata.get("annotations") or {}).get(RESTART),
        mounts=frozenset(mounts(spec, ("spec",))),
    )


def configmap_view(keys: Mapping[tuple[str, str], str], own_manager: str = "") -> Callable[[Object], ConfigMapView]:
    """A transform for ConfigMaps.

    Args:
        keys: (namespace, name) to data key: of no others is data kept.
        own_manager: our field manager.
    """

    def transform(obj: Object) -> ConfigMapView:
        metadata = obj.get("metadata") or {}
        place = (metadata.get("namespace", ""), metadata.get("name", ""))
        value = (obj.get("data") or {}).get(keys.get(place))
        return ConfigMapView(
            *place,
            resource_version=metadata.get("resourceVersion", "") if place in keys else "",
            created=parse_time(metadata.get("creationTimestamp")) or _EPOCH,
            data={keys[place]: value} if isinstance(value, str) else {},
            written_at=written_at(metadata, own_manager) if place in keys else None,
        )

    return transform


def _controller(metadata: Mapping[str, Any], namespace: str) -> WorkloadRef | None:
    for ref in metadata.get("ownerReferences") or ():
        if ref.get("controller"):
            return WorkloadRef(ref.get("kind", ""), namespace, ref.get("name", ""))
    return None


def _pod_owner(metadata: Mapping[str, Any], namespace: str) -> WorkloadRef | None:
    owner = _controller(metadata, namespace)
    if owner is None or owner.kind != "ReplicaSet":
        return owner
    # A ReplicaSet is called DEPLOYMENT-HASH, and its pods carry the hash as a label.
    suffix = f"-{(metadata.get('labels') or {}).get('pod-template-hash', '')}"
    if len(suffix) > 1 and owner.name.endswith(suffix):
        return WorkloadRef("Deployment", namespace, owner.name.removesuffix(suffix))
    return owner


def _json_map(text: Any) -> Mapping[str, object]:
    try:
        value = json.loads(text) if isinstance(text, str) else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _never_started(spec: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    if status.get("phase") != "Pending" or not spec.get("nodeName"):
        return False
    statuses = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    waits = {"ContainerCreating", "PodInitializing"}
    return all(at(s, ("state", "waiting", "reason")) in waits and not s.get("restartCount") for s in statuses)


def _rollout(kind: str, obj: Object) -> Rollout | None:
    if kind in CUSTOM_RESOURCES:
        return None
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    generation = at(obj, ("metadata", "generation")) or 0
    if kind == "DaemonSet":
        wanted = status.get("desiredNumberScheduled", 0)
        updated, ready = status.get("updatedNumberScheduled", 0), status.get("numberReady", 0)
        present = status.get("currentNumberScheduled", 0)
    else:
        wanted = spec.get("replicas", 1)
        updated, ready = status.get("updatedReplicas", 0), status.get("readyReplicas", 0)
        present = status.get("replicas", 0)
    current = status.get("observedGeneration", 0) >= generation
    detail = f"{updated} of {wanted} updated, {ready} ready" + ("" if current else ", its change not yet taken up")
    return Rollout(
        restart_hash=(at(obj, POD_ANNOTATIONS[kind]) or {}).get(RESTART),
        settled=current and updated == ready == wanted == present,
        replicas=wanted,
        detail=detail,
    )
