"""API objects as they become values."""

import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from monitoring_tls.model.annotations import FOUND, RESTART, RESTARTED_AT
from monitoring_tls.model.component import WorkloadRef
from monitoring_tls.observe.objects import configmap_view, owner_view, parse_time, pod_view

GRPC = ("spec", "thanos", "grpcServerTlsConfig")
START = "2026-03-01T12:00:00Z"

DEPLOYMENT: dict[str, Any] = {
    "metadata": {
        "namespace": "monitoring",
        "name": "querier",
        "uid": "u1",
        "resourceVersion": "7",
        "generation": 3,
        "annotations": {FOUND: '{"go-flags:query":{"flags":{}}}', RESTARTED_AT: START},
    },
    "spec": {
        "replicas": 2,
        "template": {
            "metadata": {"annotations": {RESTART: "abc"}},
            "spec": {
                "volumes": [{"secret": {"secretName": "grpc"}}],
                "containers": [{"name": "query", "args": ["query"]}],
            },
        },
    },
    "status": {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2},
}

POD: dict[str, Any] = {
    "metadata": {
        "namespace": "monitoring",
        "name": "querier-5f7-abcde",
        "uid": "u2",
        "resourceVersion": "9",
        "creationTimestamp": START,
        "labels": {"pod-template-hash": "5f7"},
        "annotations": {RESTART: "abc"},
        "ownerReferences": [{"kind": "ReplicaSet", "name": "querier-5f7", "controller": True}],
    },
    "spec": {"nodeName": "node", "volumes": [{"secret": {"secretName": "grpc"}}], "containers": []},
    "status": {
        "phase": "Running",
        "podIP": "10.0.0.1",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"name": "query", "state": {"running": {"startedAt": "2026-03-01T12:00:05Z"}}}],
    },
}


def changed(obj: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with one thing different; None removes it."""
    result = copy.deepcopy(obj)
    *parents, last = path.split(".")
    place = result
    for key in parents:
        place = place.setdefault(key, {})
    if value is None:
        place.pop(last, None)
    else:
        place[last] = value
    return result


def test_a_deployment() -> None:
    found = owner_view("Deployment", frozenset({GRPC}))(DEPLOYMENT)
    assert found.ref == WorkloadRef("Deployment", "monitoring", "querier")
    assert (found.uid, found.resource_version, found.owner) == ("u1", "7", None)
    assert found.restart_hash == "abc"
    assert found.patched_at == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert found.saved == {"go-flags:query": {"flags": {}}}
    assert {mount.name for mount in found.mounts} == {"grpc"}
    assert found.containers["query"].pointer == "/spec/template/spec/containers/0/args"
    assert found.fields == {}
    assert found.rollout is not None
    assert found.rollout.settled
    assert found.rollout.restart_hash == "abc"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("status.observedGeneration", 2),
        ("status.updatedReplicas", 1),
        ("status.readyReplicas", 1),
        ("status.replicas", 3),
        ("spec.replicas", 3),
        ("status", None),
        ("status.readyReplicas", None),
    ],
)
def test_a_rollout_is_settled_only_when_everything_says_so(path: str, value: Any) -> None:
    found = owner_view("Deployment", frozenset())(changed(DEPLOYMENT, path, value))
    assert found.rollout is not None
    assert not found.rollout.settled


def test_a_daemon_set_counts_in_its_own_words() -> None:
    status = {
        "observedGeneration": 3, "desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberReady": 2,
        "currentNumberScheduled": 2,
    }  # fmt: skip
    view = owner_view("DaemonSet", frozenset())
    done, busy = (view(changed(DEPLOYMENT, "status", {**status, "numberReady": n})).rollout for n in (2, 1))
    assert done is not None
    assert busy is not None
    assert done.settled
    assert not busy.settled
    assert busy.detail == "2 of 2 updated, 1 ready"


def test_a_custom_resource_has_no_rollout_of_its_own() -> None:
    prometheus = {
        "metadata": {"namespace": "monitoring", "name": "k8s"},
        "spec": {
            "secrets": ["listed"],
            "volumes": [{"secret": {"secretName": "grpc"}}],
            "containers": [{"name": "kube-rbac-proxy", "args": ["--v=1"]}],
            "thanos": {"grpcServerTlsConfig": {"minVersion": "TLS12"}},
            "podMetadata": {"annotations": {RESTART: "def"}},
        },
    }
    found = owner_view("Prometheus", frozenset({GRPC}))(prometheus)
    assert found.rollout is None
    assert found.restart_hash == "def"
    assert {mount.name for mount in found.mounts} == {"listed", "grpc"}
    assert found.containers["kube-rbac-proxy"].pointer == "/spec/containers/0/args"
    assert found.fields == {GRPC: {"minVersion": "TLS12"}}
    assert {GRPC, GRPC[:2], ("spec", "podMetadata", "annotations")} <= found.present
    assert ("metadata", "annotations") not in found.present


@pytest.mark.parametrize("text", ["not json", "[1]", "3", None])
def test_an_annotation_that_somebody_garbled_counts_as_none(text: str | None) -> None:
    garbled = changed(DEPLOYMENT, "metadata.annotations", {FOUND: text, RESTARTED_AT: "yesterday"})
    found = owner_view("Deployment", frozenset())(garbled)
    assert found.saved == {}
    assert found.patched_at is None


def test_a_running_pod_of_a_deployment() -> None:
    found = pod_view(POD)
    assert found.workload == WorkloadRef("Deployment", "monitoring", "querier")
    assert found.owned
    assert found.ready
    assert not found.terminating
    assert not found.never_started
    assert found.started == {"query": datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC)}
    assert found.restart_hash == "abc"
    assert {mount.name for mount in found.mounts} == {"grpc"}


def test_a_pod_whose_replica_set_is_called_otherwise_keeps_it_as_owner() -> None:
    odd = changed(POD, "metadata.labels", {"pod-template-hash": "other"})
    assert pod_view(odd).workload == WorkloadRef("ReplicaSet", "monitoring", "querier-5f7")


def test_a_pod_of_nobody() -> None:
    found = pod_view(changed(POD, "metadata.ownerReferences", None))
    assert found.workload is None
    assert not found.owned


@pytest.mark.parametrize(
    ("path", "value"),
    [("metadata.deletionTimestamp", START), ("status.phase", "Failed"), ("status.phase", "Succeeded")],
)
def test_a_pod_that_is_ending_or_was_evicted_counts_for_nothing(path: str, value: str) -> None:
    assert pod_view(changed(POD, path, value)).terminating


def waits(reason: str, **more: Any) -> dict[str, Any]:
    return {"name": "query", "state": {"waiting": {"reason": reason}}, **more}


@pytest.mark.parametrize(
    ("statuses", "node", "never"),
    [
        ([waits("ContainerCreating")], "node", True),
        ([waits("PodInitializing"), waits("ContainerCreating")], "node", True),
        ([], "node", True),
        ([waits("ContainerCreating")], None, False),
        ([waits("ContainerCreating", restartCount=1)], "node", False),
        ([waits("ErrImagePull")], "node", False),
        ([waits("ContainerCreating"), {"name": "x", "state": {"running": {"startedAt": START}}}], "node", False),
        ([{"name": "x", "state": {"terminated": {}}}], "node", False),
    ],
)
def test_whether_a_pod_has_ever_started(statuses: list[dict[str, Any]], node: str | None, never: bool) -> None:  # noqa: FBT001 - a parameter of the test
    pod = changed(changed(POD, "spec.nodeName", node), "status", {"phase": "Pending", "containerStatuses": statuses})
    assert pod_view(pod).never_started is never


def test_an_empty_pod_is_read() -> None:
    assert pod_view({}).workload is None


def test_only_the_named_key_of_the_named_config_map_is_kept() -> None:
    view = configmap_view({("a", "b"): "key"})
    obj = {"metadata": {"namespace": "a", "name": "b", "resourceVersion": "5"}, "data": {"key": "v", "more": "w"}}
    assert dict(view(obj).data) == {"key": "v"}
    other = view({**obj, "metadata": {"namespace": "a", "name": "c", "resourceVersion": "5"}})
    assert dict(other.data) == {}
    assert other.resource_version == ""
    assert dict(view({**obj, "data": None}).data) == {}


@pytest.mark.parametrize("text", [None, 3, "", "soon"])
def test_what_is_no_time_is_none(text: Any) -> None:
    assert parse_time(text) is None


def test_a_time_without_zone_is_utc() -> None:
    assert parse_time("2026-03-01T12:00:00") == datetime(2026, 3, 1, 12, tzinfo=UTC)
