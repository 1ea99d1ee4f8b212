"""What the chart renders, by the real helm."""

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from demo import manifests
from devcluster import build

CHART = Path(__file__).parents[3] / "deploy" / "chart"
MANAGED = {"openshift-monitoring", "openshift-user-workload-monitoring"}
NAME = "monitoring-tls-operator"

Rendering = Callable[..., list[dict[str, Any]]]


def helm(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = build.ensure({"tools"})["helm"]
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


def render(*values: str, namespace: str = "openshift-monitoring") -> subprocess.CompletedProcess[str]:
    flags = [f"--set={value}" for value in ("image.repository=registry.example/operator", *values)]
    return helm("template", "any-release", CHART, f"--namespace={namespace}", *flags)


@pytest.fixture(scope="module")
def rendered() -> Rendering:
    def rendering(*values: str, namespace: str = "openshift-monitoring") -> list[dict[str, Any]]:
        done = render(*values, namespace=namespace)
        assert done.returncode == 0, done.stderr
        return [obj for obj in yaml.safe_load_all(done.stdout) if obj]

    return rendering


def of_kind(objects: Sequence[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [obj for obj in objects if obj["kind"] == kind]


def rules(objects: Sequence[dict[str, Any]], kind: str) -> list[tuple[str, dict[str, Any]]]:
    return [(role["metadata"].get("namespace", ""), rule) for role in of_kind(objects, kind) for rule in role["rules"]]


def test_the_chart_has_no_fault_that_helm_knows() -> None:
    done = helm("lint", CHART, "--strict", "--set=image.repository=registry.example/operator")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_kind_is_one_that_the_demo_can_apply(rendered: Rendering) -> None:
    for obj in rendered("networkPolicy.admitProbes.enabled=true"):
        assert manifests.resource_of(obj).kind == obj["kind"]


def test_no_rule_has_a_wildcard(rendered: Rendering) -> None:
    objects = rendered()
    for _, rule in [*rules(objects, "Role"), *rules(objects, "ClusterRole")]:
        assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]], rule


def test_nothing_is_granted_cluster_wide_but_reading_cluster_scoped_kinds_and_its_own_status(
    rendered: Rendering,
) -> None:
    granted = {
        resource: set(rule["verbs"]) for _, rule in rules(rendered(), "ClusterRole") for resource in rule["resources"]
    }
    assert granted.pop("monitoringtlses/status") == {"get", "patch", "update"}
    assert set(granted) == {
        "monitoringtlses",
        "apiservers",
        "clusterversions",
        "namespaces",
        "customresourcedefinitions",
    }
    for verbs in granted.values():
        assert verbs <= {"get", "list", "watch"}


@pytest.mark.parametrize("namespace", ["openshift-monitoring", "elsewhere"])
def test_secrets_are_reached_in_managed_namespaces_only(rendered: Rendering, namespace: str) -> None:
    for where, rule in rules(rendered(namespace=namespace), "Role"):
        if "secrets" not in rule["resources"] or where in MANAGED:
            continue
        assert where == "elsewhere"
        # Its own certificate; a request to create has no name yet.
        assert rule["verbs"] == ["create"] or rule["resourceNames"] == [f"{NAME}-tls"]


def test_in_kube_system_only_the_client_ca_is_read(rendered: Rendering) -> None:
    assert [rule for where, rule in rules(rendered(), "Role") if where == "kube-system"] == [
        {
            "apiGroups": [""],
            "resources": ["configmaps"],
            "resourceNames": ["extension-apiserver-authentication"],
            "verbs": ["get", "list", "watch"],
        }
    ]


def test_pods_are_seen_and_deleted_never_made_or_entered(rendered: Rendering) -> None:
    for _, rule in [*rules(rendered(), "Role"), *rules(rendered(), "ClusterRole")]:
        for resource in rule["resources"]:
            assert not resource.startswith("pods/")
            if resource == "pods":
                assert set(rule["verbs"]) == {"get", "list", "watch", "delete"}


def test_each_managed_namespace_gets_its_own_role(rendered: Rendering) -> None:
    roles = of_kind(rendered("managedNamespaces={monitoring}", namespace="monitoring"), "Role")
    assert {role["metadata"]["namespace"] for role in roles} == {"monitoring", "kube-system"}


def test_the_account_of_every_binding_is_the_operators(rendered: Rendering) -> None:
    objects = rendered()
    for binding in [*of_kind(objects, "RoleBinding"), *of_kind(objects, "ClusterRoleBinding")]:
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": NAME, "namespace": "openshift-monitoring"}]


def test_the_pod_is_as_restricted_as_pod_security_knows(rendered: Rendering) -> None:
    (deployment,) = of_kind(rendered(), "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    # There is nothing to write on: no key can reach a disk.
    assert "volumes" not in pod
    assert deployment["spec"]["replicas"] == 2


def test_the_default_mode_changes_nothing(rendered: Rendering) -> None:
    (obj,) = of_kind(rendered(), "MonitoringTLS")
    assert obj["metadata"]["name"] == "cluster"
    assert obj["spec"] == {"mode": "Audit"}
    assert of_kind(rendered("monitoringTLS.create=false"), "MonitoringTLS") == []


def test_one_replica_has_no_disruption_budget_that_would_block_a_drain(rendered: Rendering) -> None:
    assert of_kind(rendered("replicas=1"), "PodDisruptionBudget") == []
    assert len(of_kind(rendered(), "PodDisruptionBudget")) == 1


def test_probes_are_admitted_where_asked(rendered: Rendering) -> None:
    assert len(of_kind(rendered(), "NetworkPolicy")) == 1
    policies = of_kind(rendered("networkPolicy.admitProbes.enabled=true"), "NetworkPolicy")
    assert {policy["metadata"]["namespace"] for policy in policies if policy["metadata"]["name"] != NAME} == MANAGED
    (deployment,) = of_kind(rendered(), "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    for policy in policies:
        for rule in policy["spec"]["ingress"]:
            for peer in rule.get("from", []):
                assert peer["podSelector"]["matchLabels"].items() <= labels.items()


def test_uninstalling_removes_no_secret(rendered: Rendering) -> None:
    # Helm deletes what a release has rendered, and nothing else: certificates are never among it.
    assert not {"Secret", "CustomResourceDefinition"} & {obj["kind"] for obj in rendered()}


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("monitoringTLS.spec.mode=Yes", "mode"),
        ("replicas=two", "replicas"),
        ("managedNamespaces={}", "managedNamespaces"),
        ("managedNamespaces={Not_A_Name}", "managedNamespaces"),
        ("logFormat=xml", "logFormat"),
        ("image.pullPolicy=Sometimes", "pullPolicy"),
        ("networkPolicy.enable=true", "networkPolicy"),
        ("unknown=1", "unknown"),
    ],
)
def test_a_bad_value_is_refused_by_name(value: str, named: str) -> None:
    done = render(value)
    assert done.returncode != 0
    assert named in done.stderr


def test_an_image_must_be_named() -> None:
    done = helm("template", "any-release", CHART)
    assert done.returncode != 0
    assert "image.repository" in done.stderr


def test_the_schema_knows_every_value() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert set(values) == set(schema["properties"]) - {"global"}
