"""Caches joined to a snapshot: who owns whom, how far rollouts are, who else is in charge."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from monitoring_tls.model.annotations import RESTART
from monitoring_tls.model.component import WorkloadRef
from monitoring_tls.model.snapshot import Mount
from monitoring_tls.observe.objects import OwnerView, owner_view
from monitoring_tls.observe.observer import _joined, _rollouts, _top, _workload

PROMETHEUS = WorkloadRef("Prometheus", "monitoring", "k8s")


def owner(kind: str, name: str, *, of: WorkloadRef | None = None, restart: str | None = None, **more: Any) -> OwnerView:
    metadata: dict[str, Any] = {"namespace": "monitoring", "name": name, "generation": 1}
    if of is not None:
        metadata["ownerReferences"] = [{"kind": of.kind, "name": of.name, "controller": True}]
    template = {
        "metadata": {"annotations": {RESTART: restart} if restart else {}},
        "spec": {"volumes": [{"secret": {"secretName": more.get("mounts", "made-by-the-operator")}}]},
    }
    ready = more.get("ready", 2)
    status = {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": ready}
    obj = {"metadata": metadata, "spec": {"replicas": 2, "template": template}, "status": status}
    return owner_view(kind, frozenset())(obj)


def custom(**spec: Any) -> OwnerView:
    metadata = {"namespace": "monitoring", "name": "k8s"}
    return owner_view("Prometheus", frozenset())({"metadata": metadata, "spec": spec})


def known(*views: OwnerView) -> Mapping[WorkloadRef, OwnerView]:
    return {view.ref: view for view in views}


def test_the_top_most_owner_that_is_known_counts() -> None:
    stateful = owner("StatefulSet", "prometheus-k8s", of=PROMETHEUS)
    assert _top(known(custom(), stateful), stateful.ref) == PROMETHEUS
    assert _top(known(stateful), stateful.ref) == stateful.ref
    unknown = WorkloadRef("Job", "monitoring", "x")
    assert _top(known(stateful), unknown) == unknown


def test_a_custom_resources_rollout_is_that_of_its_stateful_set() -> None:
    view = custom(podMetadata={"annotations": {RESTART: "new"}}, volumes=[{"secret": {"secretName": "own"}}])
    stateful = owner("StatefulSet", "prometheus-k8s", of=PROMETHEUS, restart="old")
    owners = known(view, stateful)
    found = _workload(view, _rollouts(owners)[PROMETHEUS], owners)
    assert found.restart_hash == "new"
    assert found.rollout is not None
    assert found.rollout.restart_hash == "old"
    assert {mount.name for mount in found.mounts} == {"own", "made-by-the-operator"}
    movable = {mount.name for mount in found.mounts if mount.pointer is not None}
    assert movable == {"own"}
    assert Mount("Secret", "made-by-the-operator") in found.mounts


def test_without_a_stateful_set_there_is_no_rollout_yet() -> None:
    view = custom()
    assert _workload(view, (), known(view)).rollout is None


@pytest.mark.parametrize(
    ("hashes", "ready", "restart", "settled"),
    [(("a", "a"), (2, 2), "a", True), (("a", "b"), (2, 2), "", True), (("a", "a"), (2, 1), "a", False)],
)
def test_shards_are_one_rollout(hashes: tuple[str, str], ready: tuple[int, int], restart: str, settled: bool) -> None:  # noqa: FBT001 - a parameter of the test
    shards = tuple(
        rollout
        for hash_, count in zip(hashes, ready, strict=True)
        if (rollout := owner("StatefulSet", "x", restart=hash_, ready=count).rollout) is not None
    )
    found = _joined(shards)
    assert found is not None
    assert (found.restart_hash, found.settled, found.replicas) == (restart, settled, 4)


def test_saved_values_are_read_from_the_annotation() -> None:
    value: dict[str, object] = {"go-flags:proxy": {"flags": {}}}
    annotations = {"monitoring-tls.dev/found": json.dumps(value)}
    view = owner_view("Deployment", frozenset())({"metadata": {"name": "x", "annotations": annotations}})
    assert _workload(view, (), {}).saved == value
