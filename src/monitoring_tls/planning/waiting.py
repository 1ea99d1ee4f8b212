"""Pods that wait in FailedMount for something that exists by now.

The kubelet retries a failed mount with a delay that doubles up to two minutes (kubernetes pkg/volume/util/
nestedpendingoperations), so a pod that never started is made anew: once, and only such a pod. Whether it was done
already needs no memory: the pod that comes instead is younger than what it waited for.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from monitoring_tls.model.action import DeletePod
from monitoring_tls.model.desired import Desired
from monitoring_tls.model.snapshot import PodView, Snapshot

# The kubelet's first retries come within this time by themselves.
GRACE = timedelta(seconds=3)

# Kinds whose controller may wait for an old pod before it makes a new one. prometheus-operator's StatefulSets make all
# of their pods at once (podManagementPolicy Parallel).
_IN_ORDER = frozenset({"StatefulSet", "DaemonSet"})


def pods_to_remake(snapshot: Snapshot, desired: Desired, now: datetime) -> Iterator[DeletePod]:
    """Pods that never started, although everything of ours that they waited for has been there for `GRACE`."""
    for pod in snapshot.pods:
        moment = remake_at(snapshot, desired, pod)
        if moment is not None and now >= moment:
            why = "it waits for a mount that is there by now"
            yield DeletePod(pod.namespace, pod.name, pod.uid, pod.resource_version, why)


def remake_at(snapshot: Snapshot, desired: Desired, pod: PodView) -> datetime | None:
    """When a waiting pod is to be made anew; None where that would not help or not be ours to do."""
    if not pod.never_started or pod.terminating or not pod.owned or pod.uid in snapshot.deleted_pods:
        return None
    owner = snapshot.workloads.get(pod.workload) if pod.workload else None
    if owner is not None and owner.ref.kind not in _IN_ORDER and pod.restart_hash != owner.restart_hash:
        # Its template has changed since; its controller puts another pod in its place by itself.
        return None
    ours = _created_by_us(snapshot, desired)
    needed = [mount for mount in pod.mounts if not mount.optional]
    waited_for = [ours[key] for key in ((m.kind, pod.namespace, m.name) for m in needed) if key in ours]
    newest = max(waited_for, default=None)
    if newest is None or newest <= pod.created:
        return None
    for mount in needed:
        store = snapshot.secrets if mount.kind == "Secret" else snapshot.configmaps
        if (pod.namespace, mount.name) not in store:
            return None
    return newest + GRACE


def _created_by_us(snapshot: Snapshot, desired: Desired) -> dict[tuple[str, str, str], datetime]:
    made: dict[tuple[str, str, str], datetime] = {}
    for domain in desired.catalogue.domains:
        for spec in domain.derived:
            if (view := snapshot.secrets.get((spec.namespace, spec.name))) is not None:
                made["Secret", spec.namespace, spec.name] = view.created
    for copy in desired.catalogue.bundles:
        if (config := snapshot.configmaps.get((copy.namespace, copy.name))) is not None:
            made["ConfigMap", copy.namespace, copy.name] = config.created
    return made
