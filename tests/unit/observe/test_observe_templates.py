"""Mounts are found wherever a pod template may name a Secret or a ConfigMap."""

from typing import Any

import pytest

from monitoring_tls.model.snapshot import Mount
from monitoring_tls.observe.templates import at, containers, listed_mounts, mounts, pointer

SPEC: dict[str, Any] = {
    "volumes": [
        {"name": "a", "secret": {"secretName": "plain"}},
        {"name": "b", "configMap": {"name": "settings", "optional": True}},
        {
            "name": "c",
            "projected": {
                "sources": [
                    {"secret": {"name": "projected"}},
                    {"configMap": {"name": "more-settings"}},
                    {"serviceAccountToken": {"path": "token"}},
                ]
            },
        },
        {"name": "d", "emptyDir": {}},
    ],
    "initContainers": [{"name": "init", "envFrom": [{"secretRef": {"name": "environment"}}]}],
    "containers": [
        {
            "name": "main",
            "args": ["--port=1"],
            "envFrom": [{"configMapRef": {"name": "all"}}],
            "env": [
                {"name": "A", "value": "1"},
                {"name": "B", "valueFrom": {"secretKeyRef": {"name": "one", "key": "k", "optional": True}}},
                {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "two", "key": "k"}}},
                {"name": "D", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            ],
        },
        {"name": "bare"},
    ],
}


def test_every_place_is_found_with_its_pointer() -> None:
    assert set(mounts(SPEC, ("spec",))) == {
        Mount("Secret", "plain", "/spec/volumes/0/secret/secretName"),
        Mount("ConfigMap", "settings", "/spec/volumes/1/configMap/name"),
        Mount("Secret", "projected", "/spec/volumes/2/projected/sources/0/secret/name"),
        Mount("ConfigMap", "more-settings", "/spec/volumes/2/projected/sources/1/configMap/name"),
        Mount("Secret", "environment", "/spec/initContainers/0/envFrom/0/secretRef/name"),
        Mount("ConfigMap", "all", "/spec/containers/0/envFrom/0/configMapRef/name"),
        Mount("Secret", "one", "/spec/containers/0/env/1/valueFrom/secretKeyRef/name"),
        Mount("ConfigMap", "two", "/spec/containers/0/env/2/valueFrom/configMapKeyRef/name"),
    }


def test_what_a_pod_can_do_without_is_marked() -> None:
    assert {mount.name for mount in mounts(SPEC, ()) if mount.optional} == {"settings", "one"}


@pytest.mark.parametrize("mount", list(mounts(SPEC, ())), ids=lambda mount: mount.name)
def test_a_pointer_leads_to_the_name(mount: Mount) -> None:
    assert mount.pointer is not None
    found: Any = SPEC
    for part in mount.pointer.split("/")[1:]:
        found = found[int(part)] if isinstance(found, list) else found[part]
    assert found == mount.name


def test_one_secret_in_two_places_is_two_mounts() -> None:
    spec = {"volumes": [{"secret": {"secretName": "one"}}, {"secret": {"secretName": "one"}}]}
    assert len(frozenset(mounts(spec, ()))) == 2


def test_lists_of_custom_resources_have_no_pointer() -> None:
    spec = {"secrets": ["a"], "configMaps": ["b", 3]}
    found = list(listed_mounts(spec))
    assert found == [Mount("Secret", "a"), Mount("ConfigMap", "b")]
    assert all(mount.pointer is None for mount in found)
    assert list(listed_mounts(None)) == []


def test_containers_and_where_their_arguments_stand() -> None:
    found = containers(SPEC, ("spec", "template", "spec"))
    assert found["main"].args == ("--port=1",)
    assert found["main"].pointer == "/spec/template/spec/containers/0/args"
    assert found["bare"].args is None


@pytest.mark.parametrize(
    "spec", [None, [], "text", {"volumes": "text"}, {"volumes": [None, {"secret": 3}]}, {"containers": [{"env": {}}]}]
)
def test_whatever_an_api_server_may_hold_is_read(spec: Any) -> None:
    assert list(mounts(spec, ())) == []
    assert containers(spec, ()) == {}


def test_paths() -> None:
    assert at({"a": {"b": 1}}, ("a", "b")) == 1
    assert at({"a": [1]}, ("a", "b")) is None
    assert pointer(("metadata", "annotations", "a/b~c")) == "/metadata/annotations/a~1b~0c"
