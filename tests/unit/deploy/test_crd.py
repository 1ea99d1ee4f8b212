"""The kind MonitoringTLS: complete, and refused by a real API server where it makes no sense."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from devcluster.controlplane import ControlPlane
from monitoring_tls.errors import ApiError, NotFoundError
from monitoring_tls.kube.client import KubeClient
from monitoring_tls.kube.resources import CRDS, MONITORINGTLSES
from monitoring_tls.model.certificate import KeyAlgorithm
from monitoring_tls.observe.spec import Wishes, parse_wishes

DEPLOY = Path(__file__).parents[3] / "deploy"
CRD = yaml.safe_load((DEPLOY / "crds" / "monitoring-tls.dev_monitoringtlses.yaml").read_text())
SCHEMA = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def fields(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, child in schema.get("properties", {}).items():
        yield f"{path}.{name}", child
        yield from fields(child, f"{path}.{name}")
        yield from fields(child.get("items", {}), f"{path}.{name}[]")


def test_every_field_is_described() -> None:
    silent = [path for path, schema in fields(SCHEMA) if not schema.get("description") and path != ".metadata"]
    assert silent == []


def test_key_algorithms_are_those_that_can_be_made() -> None:
    enums = [schema["enum"] for path, schema in fields(SCHEMA) if path.endswith(".keyAlgorithm")]
    assert len(enums) == 2
    for enum in enums:
        assert set(enum) == set(KeyAlgorithm)


def test_the_chart_has_the_same_kinds() -> None:
    ours = {path.name: path.read_text() for path in (DEPLOY / "crds").glob("*.yaml")}
    charts = {path.name: path.read_text() for path in (DEPLOY / "chart" / "crds").glob("*.yaml")}
    assert ours == charts


def test_defaults_are_those_of_the_operator() -> None:
    spec = defaults(SCHEMA["properties"]["spec"])
    wishes = parse_wishes(spec)
    # A percentage: two thirds are 67 of 100.
    assert round(wishes.renew_at, 2) == round(Wishes().renew_at, 2)
    for name in ("mode", "catalogue", "signer", "leaf", "rotation_requested", "restart"):
        assert getattr(wishes, name) == getattr(Wishes(), name)


def defaults(schema: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for name, child in schema.get("properties", {}).items():
        inner = defaults(child)
        if inner or "default" in child:
            found[name] = inner or child["default"]
    return found


@pytest.fixture(scope="module")
def known(control_plane: ControlPlane) -> ControlPlane:
    async def define() -> None:
        async with KubeClient.from_kubeconfig(control_plane.kubeconfig) as client, asyncio.timeout(60):
            await client.apply(CRDS, CRD)
            while True:
                try:
                    await client.list(MONITORINGTLSES)
                except NotFoundError:
                    await asyncio.sleep(0.05)
                else:
                    return

    asyncio.run(define())
    return control_plane


async def applied(control_plane: ControlPlane, spec: dict[str, Any], name: str = "cluster") -> dict[str, Any]:
    async with KubeClient.from_kubeconfig(control_plane.kubeconfig) as client:
        made = await client.apply(MONITORINGTLSES, {"metadata": {"name": name}, "spec": spec})
        await client.delete(MONITORINGTLSES, None, name)
        return made


def grpc(**kinds: dict[str, str]) -> dict[str, Any]:
    return {"certificates": {"grpc": kinds}}


@pytest.mark.integration
async def test_an_empty_spec_is_filled_in(known: ControlPlane) -> None:
    made = await applied(known, {})
    assert made["spec"] == defaults(SCHEMA["properties"]["spec"])


@pytest.mark.integration
@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (grpc(leaf={"duration": "17520h"}), "leaf.duration must be shorter"),
        (grpc(leaf={"duration": "30m"}), "at least 1h"),
        (grpc(leaf={"duration": "90d"}), "leaf.duration"),
        (grpc(signer={"duration": ""}), "signer.duration"),
        (grpc(signer={"keyAlgorithm": "DSA-1024"}), "keyAlgorithm"),
        ({"mode": "enforce"}, "spec.mode"),
        ({"rotation": {"renewAt": 100}}, "renewAt"),
        ({"rotation": {"requested": "x" * 257}}, "requested"),
        ({"restart": {"policy": "Manual"}}, "policy"),
    ],
)
async def test_nonsense_is_refused_by_name(known: ControlPlane, spec: dict[str, Any], said: str) -> None:
    with pytest.raises(ApiError, match=re.escape(said)):
        await applied(known, spec)


@pytest.mark.integration
async def test_there_is_one_object_and_its_name_is_cluster(known: ControlPlane) -> None:
    with pytest.raises(ApiError, match='its name is "cluster"'):
        await applied(known, {}, name="second")


@pytest.mark.integration
async def test_a_duration_in_hours_and_minutes_is_taken(known: ControlPlane) -> None:
    made = await applied(known, grpc(leaf={"duration": "1h30m"}, signer={"duration": "2h0m1s"}))
    assert made["spec"]["certificates"]["grpc"]["leaf"] == {"duration": "1h30m", "keyAlgorithm": "ECDSA-P256"}
