from pathlib import Path
from typing import Any, cast

import pytest

from demo.errors import DemoError
from demo.place import DEMO_LABEL, named_place, reason_to_refuse
from devcluster.controlplane import ControlPlane
from monitoring_tls.errors import NotFoundError
from monitoring_tls.kube.client import KubeClient
from monitoring_tls.kube.resources import Resource
from monitoring_tls.kube.selection import Page


class Cluster:
    """A cluster as far as the question goes: which namespaces, kinds and Prometheus objects there are."""

    def __init__(
        self,
        *,
        openshift: bool = False,
        namespaces: dict[str, dict[str, str]] | None = None,
        prometheuses: list[tuple[str, str]] | None = None,
    ) -> None:
        self._openshift = openshift
        self._namespaces = namespaces or {}
        self._prometheuses = prometheuses

    async def get(self, resource: Resource, _namespace: str | None, name: str, **_: Any) -> dict[str, Any]:
        if resource.kind == "CustomResourceDefinition" and self._openshift:
            return {"metadata": {"name": name}}
        if resource.kind == "Namespace" and name in self._namespaces:
            return {"metadata": {"name": name, "labels": self._namespaces[name]}}
        raise NotFoundError(404, "NotFound", name, "GET", resource.plural)

    async def list(self, resource: Resource) -> Page:
        if self._prometheuses is None:
            raise NotFoundError(404, "NotFound", "", "GET", resource.plural)
        return Page([{"metadata": {"namespace": where, "name": name}} for where, name in self._prometheuses], "1")


OURS = {"openshift-monitoring": {DEMO_LABEL: "true"}, "openshift-user-workload-monitoring": {DEMO_LABEL: "true"}}


@pytest.mark.parametrize(
    ("cluster", "reason"),
    [
        (Cluster(openshift=True), "OpenShift"),
        (Cluster(namespaces={"openshift-monitoring": {}}), "namespace openshift-monitoring"),
        (Cluster(prometheuses=[("monitoring", "k8s")]), "Prometheus/k8s in namespace monitoring"),
        (Cluster(namespaces=OURS, prometheuses=[("openshift-monitoring", "k8s"), ("x", "y")]), "Prometheus/y"),
    ],
)
async def test_a_cluster_that_somebody_relies_on_is_refused(cluster: Cluster, reason: str) -> None:
    refused = await reason_to_refuse(cast("KubeClient", cluster))
    assert refused is not None
    assert reason in refused


@pytest.mark.parametrize(
    "cluster",
    [
        Cluster(),
        Cluster(prometheuses=[]),
        Cluster(namespaces=OURS, prometheuses=[("openshift-monitoring", "k8s")]),
    ],
)
async def test_an_empty_cluster_or_one_with_the_demo_may_be_used(cluster: Cluster) -> None:
    assert await reason_to_refuse(cast("KubeClient", cluster)) is None


@pytest.mark.integration
async def test_without_an_answer_another_cluster_is_not_used(control_plane: ControlPlane) -> None:
    def ask(_question: str) -> str:
        pytest.fail("nobody is there to be asked")

    with pytest.raises(DemoError, match="nobody agreed"):
        await named_place(Path(control_plane.kubeconfig), "localhost", ask)
