"""Where the demo takes place: the clone's own local cluster, or one that was named, if it may be used."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from demo.errors import DemoError
from demo.manifests import LOCAL_PREFIX
from demo.serving import PLATFORM, USER_WORKLOAD
from demo.stage import Stage
from devcluster import build, images
from devcluster.cluster import Cluster
from monitoring_tls.errors import NotFoundError
from monitoring_tls.kube.client import KubeClient
from monitoring_tls.kube.resources import CRDS, NAMESPACES, PROMETHEUSES

DEMO_LABEL: Final = "monitoring-tls.dev/demo"


@dataclass(frozen=True, slots=True)
class Place:
    """A cluster for the demo.

    Attributes:
        images: what stands before the images' names.
        local: the local cluster; None for another one, of which there is no audit log and no look into the node.
    """

    kubeconfig: Path
    images: str
    local: Cluster | None = field(default=None)

    @property
    def audit_log(self) -> Path | None:
        """The API server's audit log, where it can be read."""
        return self.local.audit_log if self.local else None


def local_place(root: Path, stage: Stage) -> Place:
    """Bring the clone's local cluster up, with every image that the demo needs.

    Raises:
        DevClusterError: it cannot be had.
    """
    cluster = Cluster(root)
    cluster.up(1, stage.progress)
    project = Path(__file__).parents[1]
    tars = {**images.stack_images(stage.progress), **images.operator_image(project, stage.progress)}
    build.ensure({"tools"}, stage.progress)
    with stage.step("Giving the node its images"):
        cluster.import_images(tars.values())
    return Place(cluster.kubeconfig, LOCAL_PREFIX, cluster)


async def named_place(kubeconfig: Path, prefix: str, ask: Callable[[str], str] = input) -> Place:
    """Use another cluster, if it is none that somebody relies on.

    Raises:
        DemoError: it has an OpenShift, or a monitoring that the demo did not make, or nobody agreed.
    """
    async with KubeClient.from_kubeconfig(kubeconfig) as client:
        reason = await reason_to_refuse(client)
        if reason:
            raise DemoError(f"{client.server} is not used: {reason}", "name a cluster that may be changed, or none")
        question = (
            f"The demo installs a monitoring stack in {client.server}, and changes its TLS profile "
            "(APIServer/cluster). Go on? [y/N] "
        )
        if not sys.stdin.isatty() or ask(question).strip().lower() not in {"y", "yes"}:
            raise DemoError(f"nobody agreed to change {client.server}", "answer y when asked, at a terminal")
    return Place(kubeconfig, prefix)


async def reason_to_refuse(client: KubeClient) -> str | None:
    """Why a cluster must not be used for the demo; None where it may. There is no way to override it."""
    try:
        await client.get(CRDS, None, "clusterversions.config.openshift.io", metadata_only=True)
    except NotFoundError:
        pass
    else:
        return "it is an OpenShift cluster (it has clusterversions.config.openshift.io)"
    ours = set()
    for namespace in (PLATFORM, USER_WORKLOAD):
        try:
            found = await client.get(NAMESPACES, None, namespace)
        except NotFoundError:
            continue
        if DEMO_LABEL not in found["metadata"].get("labels", {}):
            return f"its namespace {namespace} was not made by the demo"
        ours.add(namespace)
    try:
        prometheuses = await client.list(PROMETHEUSES)
    except NotFoundError:
        return None
    for each in prometheuses.items:
        metadata = each["metadata"]
        if metadata["namespace"] not in ours:
            return f"Prometheus/{metadata['name']} in namespace {metadata['namespace']} was not made by the demo"
    return None
