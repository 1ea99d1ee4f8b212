"""Settings are taken in other people's objects and given back: through the very patch that the API server gets."""

import copy
import string
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring_tls.kube.patches import workload_patch
from monitoring_tls.model.action import ListEdit, MapEdit, MoveMount, PatchWorkload
from monitoring_tls.model.annotations import FOUND, RESTART, RESTARTED_AT
from monitoring_tls.model.component import Component, Dialect, SettingsTarget, WorkloadRef
from monitoring_tls.model.snapshot import WorkloadView
from monitoring_tls.observe.objects import owner_view
from monitoring_tls.observe.observer import _workload
from monitoring_tls.observe.templates import POD_ANNOTATIONS
from monitoring_tls.planning.delivery import Delivery, deliver, give_back
from tests.property.world.json_patch import PatchError, applied
from tests.property.world.stacks import profile

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FIELD = ("spec", "thanos", "grpcServerTlsConfig")
PROMETHEUS = Component(
    "prometheus",
    WorkloadRef("Prometheus", "monitoring", "k8s"),
    (),
    (
        SettingsTarget(Dialect.PROMETHEUS_CR_GRPC, path=FIELD),
        SettingsTarget(Dialect.KUBE_RBAC_PROXY_FLAGS, container="proxy"),
    ),
    (),
)
QUERIER = Component(
    "querier",
    WorkloadRef("Deployment", "monitoring", "querier"),
    (),
    (
        SettingsTarget(Dialect.THANOS_CLIENT_FLAGS, container="query"),
        SettingsTarget(Dialect.KUBE_RBAC_PROXY_FLAGS, container="proxy"),
    ),
    (),
)
BOTH = Component(
    "querier",
    QUERIER.workload,
    (),
    tuple(SettingsTarget(dialect, "query") for dialect in (Dialect.THANOS_CLIENT_FLAGS, Dialect.KUBE_RBAC_PROXY_FLAGS)),
    (),
)

WORDS = st.text(string.ascii_lowercase, min_size=1, max_size=5)
OURS = st.sampled_from(
    (
        "--tls-min-version=VersionTLS10",
        "--tls-min-version",
        "--tls-cipher-suites=A,B",
        "--tls-cipher-suites",
        "--http2-disable=true",
        "--grpc-client-tls-min-version=1.0",
        "VersionTLS11",
    )
)
THEIRS = st.one_of(WORDS, WORDS.map("--{}".format), st.builds("--{}={}".format, WORDS, WORDS), st.just("--"))
ARGS = st.none() | st.lists(st.one_of(THEIRS, OURS), max_size=8)
FIELDS = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "minVersion": st.just("TLS10"),
        "cipherSuites": st.just(["A"]),
        "curves": st.just(["X25519"]),
        "certFile": st.just("/etc/tls/server.crt"),
    },
)
PROFILES = ("Old", "Intermediate", "Modern")


def view(kind: str, obj: dict[str, Any]) -> WorkloadView:
    return _workload(owner_view(kind, frozenset({FIELD}))(obj), (), {})


def patched(kind: str, obj: dict[str, Any], delivery: Delivery) -> dict[str, Any]:
    """What the API server makes of a delivery, with the annotation of its restart."""
    seen = view(kind, obj)
    action = PatchWorkload(
        seen.ref, seen.resource_version, "", "abc", delivery.lists, delivery.maps, (), delivery.saved
    )
    operations = workload_patch(action, POD_ANNOTATIONS[kind], seen.present, NOW)
    after = applied(obj, operations)
    after["metadata"]["resourceVersion"] = str(int(seen.resource_version) + 1)
    return after


def bare(kind: str, obj: dict[str, Any]) -> dict[str, Any]:
    """The object without versions and restart annotations."""
    result = copy.deepcopy(obj)
    del result["metadata"]["resourceVersion"]
    result["metadata"].get("annotations", {}).pop(RESTARTED_AT, None)
    pods: Any = result
    for key in POD_ANNOTATIONS[kind]:
        pods = pods.get(key, {})
    pods.pop(RESTART, None)
    return dict(_pruned(result))


def _pruned(value: Any) -> Any:
    """Without what is empty: the API leaves it out itself (omitempty)."""
    if isinstance(value, list):
        return [_pruned(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: kept for key, item in value.items() if (kept := _pruned(item)) not in ({}, [], None)}


def container(name: str, args: list[str] | None) -> dict[str, Any]:
    return {
        "name": name,
        "image": f"registry/{name}:1",
        "volumeMounts": [{"name": "tls", "mountPath": "/etc/tls"}],
        **({"args": args} if args is not None else {}),
    }


def deployment(query: list[str] | None, proxy: list[str] | None, annotations: dict[str, str] | None) -> dict[str, Any]:
    metadata = {"namespace": "monitoring", "name": "querier", "resourceVersion": "1"}
    spec = {
        "volumes": [{"name": "tls", "secret": {"secretName": "grpc"}}],
        "containers": [
            container("query", query),
            container("proxy", proxy),
            container("other", ["--tls-min-version=x"]),
        ],
    }
    if annotations is not None:
        return {"metadata": {**metadata, "annotations": annotations}, "spec": {"template": {"spec": spec}}}
    return {"metadata": metadata, "spec": {"template": {"spec": spec}}}


def prometheus(fields: dict[str, Any] | None, proxy: list[str] | None) -> dict[str, Any]:
    metadata = {"namespace": "monitoring", "name": "k8s", "resourceVersion": "1"}
    spec: dict[str, Any] = {"replicas": 2, "containers": [container("proxy", proxy)]}
    if fields is not None:
        spec["thanos"] = {"version": "0.42", "grpcServerTlsConfig": fields}
    return {"metadata": metadata, "spec": spec}


def round_trip(component: Component, obj: dict[str, Any], names: list[str]) -> None:
    """Follow one profile after the other, then give everything back."""
    kind = component.workload.kind
    taken = obj
    for name in names:
        delivery = deliver(component, view(kind, taken), profile(name).effective)
        if delivery.changes:
            taken = patched(kind, taken, delivery)
        assert not deliver(component, view(kind, taken), profile(name).effective).changes
    back = give_back(component, view(kind, taken))
    if not back.changes:
        # It came back to what it was by itself; the note of what was found stays, and is true.
        taken = copy.deepcopy(taken)
        taken["metadata"].get("annotations", {}).pop(FOUND, None)
        assert bare(kind, taken) == bare(kind, obj)
        return
    given = patched(kind, taken, back)
    assert bare(kind, given) == bare(kind, obj)
    assert not give_back(component, view(kind, given)).changes
    assert FOUND not in given["metadata"]["annotations"]


@settings(max_examples=150, deadline=None)
@given(
    query=ARGS,
    proxy=ARGS,
    annotations=st.none() | st.dictionaries(WORDS, WORDS, max_size=2),
    names=st.lists(st.sampled_from(PROFILES), min_size=1, max_size=3),
)
def test_a_deployments_arguments_come_back_exactly(
    query: list[str] | None, proxy: list[str] | None, annotations: dict[str, str] | None, names: list[str]
) -> None:
    round_trip(QUERIER, deployment(query, proxy, annotations), names)


@settings(max_examples=150, deadline=None)
@given(query=ARGS, names=st.lists(st.sampled_from(PROFILES), min_size=1, max_size=3))
def test_what_two_dialects_change_in_one_list_comes_back_exactly(query: list[str] | None, names: list[str]) -> None:
    round_trip(BOTH, deployment(query, [], None), names)


@settings(max_examples=150, deadline=None)
@given(fields=FIELDS, proxy=ARGS, names=st.lists(st.sampled_from(PROFILES), min_size=1, max_size=3))
def test_a_custom_resources_fields_come_back_exactly(
    fields: dict[str, Any] | None, proxy: list[str] | None, names: list[str]
) -> None:
    round_trip(PROMETHEUS, prometheus(fields, proxy), names)


@settings(max_examples=100, deadline=None)
@given(query=ARGS, proxy=ARGS)
def test_taking_changes_nothing_but_our_flags(query: list[str] | None, proxy: list[str] | None) -> None:
    before = deployment(query, proxy, None)
    delivery = deliver(QUERIER, view("Deployment", before), profile("Modern").effective)
    after = patched("Deployment", before, delivery)
    for old, new in zip(
        before["spec"]["template"]["spec"]["containers"], after["spec"]["template"]["spec"]["containers"], strict=True
    ):
        assert {key: value for key, value in old.items() if key != "args"} == {
            key: value for key, value in new.items() if key != "args"
        }
        if old["name"] == "other":
            assert old == new
    assert before["spec"]["template"]["spec"]["volumes"] == after["spec"]["template"]["spec"]["volumes"]


def test_a_container_that_is_not_there_is_named() -> None:
    obj = deployment([], [], None)
    del obj["spec"]["template"]["spec"]["containers"][1]
    delivery = deliver(QUERIER, view("Deployment", obj), profile().effective)
    assert delivery.missing == ("proxy",)


def test_the_digest_changes_with_the_settings_only() -> None:
    one, other = deployment([], ["--a"], None), deployment(["--b"], ["--c"], {"x": "y"})
    digests = [deliver(QUERIER, view("Deployment", obj), profile().effective).digest for obj in (one, other)]
    assert digests[0] == digests[1]
    assert deliver(QUERIER, view("Deployment", one), profile("Modern").effective).digest != digests[0]


# --- the patch itself ---------------------------------------------------------------------------------------------

REF = WorkloadRef("Deployment", "monitoring", "querier")
ANNOTATIONS = POD_ANNOTATIONS["Deployment"]


def patch(obj: dict[str, Any], **parts: Any) -> dict[str, Any]:
    seen = view("Deployment", obj)
    action = PatchWorkload(REF, seen.resource_version, "", parts.pop("restart_hash", None), **parts)
    return applied(obj, workload_patch(action, ANNOTATIONS, seen.present, NOW))


def test_parents_are_made_where_they_are_missing() -> None:
    after = patch(deployment([], [], None), restart_hash="abc", saved={"a": 1})
    assert after["spec"]["template"]["metadata"]["annotations"] == {RESTART: "abc"}
    assert after["metadata"]["annotations"] == {FOUND: '{"a":1}', RESTARTED_AT: "2026-03-01T12:00:00+00:00"}


def test_other_annotations_stay() -> None:
    obj = deployment([], [], {"theirs": "1"})
    obj["spec"]["template"]["metadata"] = {"labels": {"app": "x"}, "annotations": {"theirs/too": "2"}}
    after = patch(obj, restart_hash="abc")
    assert after["metadata"]["annotations"]["theirs"] == "1"
    assert after["spec"]["template"]["metadata"] == {
        "labels": {"app": "x"},
        "annotations": {"theirs/too": "2", RESTART: "abc"},
    }


def test_without_a_restart_the_pod_template_stays_as_it_is() -> None:
    after = patch(deployment([], [], None), maps=(MapEdit(("metadata", "labels"), {"a": "b", "c": None}),))
    assert "metadata" not in after["spec"]["template"]
    assert after["metadata"]["labels"] == {"a": "b"}


def test_a_mount_is_moved_and_its_neighbours_are_not() -> None:
    obj = deployment([], [], None)
    volumes = obj["spec"]["template"]["spec"]["volumes"]
    volumes.append({"name": "hashed", "secret": {"secretName": "grpc-4bf7h2", "defaultMode": 420}})
    move = MoveMount("/spec/template/spec/volumes/1/secret/secretName", "grpc-4bf7h2", "grpc")
    after = patch(obj, mounts=(move,))["spec"]["template"]["spec"]["volumes"]
    assert after == [volumes[0], {"name": "hashed", "secret": {"secretName": "grpc", "defaultMode": 420}}]


@pytest.mark.parametrize(
    "part",
    [
        {"lists": (ListEdit("/spec/template/spec/containers/0/args", ("--seen",), ("--new",)),)},
        {"mounts": (MoveMount("/spec/template/spec/volumes/0/secret/secretName", "seen", "new"),)},
    ],
)
def test_what_changed_since_it_was_seen_refuses_the_whole_patch(part: dict[str, Any]) -> None:
    with pytest.raises(PatchError, match="test failed"):
        patch(deployment(["--other"], [], None), **part)


def test_another_version_refuses_the_whole_patch() -> None:
    obj = deployment([], [], None)
    action = PatchWorkload(REF, "0", "", "abc")
    operations = workload_patch(action, ANNOTATIONS, view("Deployment", obj).present, NOW)
    with pytest.raises(PatchError, match="resourceVersion"):
        applied(obj, operations)
