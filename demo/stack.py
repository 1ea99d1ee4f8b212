"""Putting the monitoring stack and the operator into the cluster, and telling how far they are."""

import asyncio
import base64
import copy
import ssl
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from demo import manifests
from demo.errors import DemoError
from demo.load import Target
from demo.manifests import LOCAL_PREFIX
from demo.serving import CA_BUNDLE, PLATFORM, USER_WORKLOAD, Issuer, secret, serving_objects
from devcluster import build
from monitoring_tls.errors import ConflictError, NotFoundError
from monitoring_tls.kube.client import KubeClient
from monitoring_tls.kube.resources import (
    CONFIGMAPS,
    DEPLOYMENTS,
    PROMETHEUSES,
    SECRETS,
    SERVICES,
    STATEFULSETS,
    THANOSRULERS,
    Object,
    Resource,
)

_PROJECT: Final = Path(__file__).parents[1]
EXAMPLES: Final = _PROJECT / "examples" / "openshift-monitoring"
CHART: Final = _PROJECT / "deploy" / "chart"
CRDS_FOLDER: Final = _PROJECT / "deploy" / "crds"

OPERATOR: Final = "monitoring-tls-operator"
QUERIER: Final = "thanos-querier"
QUERIER_HOST: Final = f"{QUERIER}.{PLATFORM}.svc"
CONTROL: Final = "thanos-querier-control"
RESTARTED_AT: Final = "monitoring-tls.dev/demo-restarted-at"

_TOKEN_SECRET: Final = "dashboard-token"  # noqa: S105 - a name
_ESTABLISHED_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload of the stack: the object whose template is changed, and the one that makes its pods."""

    name: str
    namespace: str
    owner: Resource
    owner_name: str
    maker: Resource


AFFECTED: Final = (
    Workload("prometheus-k8s", PLATFORM, PROMETHEUSES, "k8s", STATEFULSETS),
    Workload("prometheus-user-workload", USER_WORKLOAD, PROMETHEUSES, "user-workload", STATEFULSETS),
    Workload("thanos-ruler-user-workload", USER_WORKLOAD, THANOSRULERS, "user-workload", STATEFULSETS),
    Workload(QUERIER, PLATFORM, DEPLOYMENTS, QUERIER, DEPLOYMENTS),
)
"""The workloads that take part in the gRPC between querier, sidecars and rulers. Two pods each."""

PODS_EACH: Final = 2

SECRETS_MADE: Final = (
    (PLATFORM, "grpc-tls"),
    (PLATFORM, "prometheus-k8s-grpc-tls"),
    (PLATFORM, "thanos-querier-grpc-tls"),
    (USER_WORKLOAD, "prometheus-user-workload-grpc-tls"),
    (USER_WORKLOAD, "thanos-ruler-grpc-tls"),
)
"""What the operator makes; by name, as everything that mounts them relies on it."""


async def apply_all(client: KubeClient, objects: Iterable[Object]) -> None:
    """Server-side apply; an object whose kind was defined a moment ago is tried again until the API server knows it."""
    for obj in objects:
        resource = manifests.resource_of(obj)
        async with asyncio.timeout(_ESTABLISHED_SECONDS):
            while True:
                try:
                    await client.apply(resource, obj)
                    break
                except (NotFoundError, ConflictError):
                    await asyncio.sleep(0.2)


async def apply_stack(client: KubeClient, images: str) -> None:
    """The kinds of prometheus-operator, the service CA's stand-in, and the stack."""
    objects = manifests.read_folder(EXAMPLES, images)
    namespaces = [obj for obj in objects if obj["kind"] == "Namespace"]
    rest = [obj for obj in objects if obj["kind"] != "Namespace"]
    await apply_all(client, manifests.read_folder(build.crds()))
    await apply_all(client, namespaces)
    try:
        # The same certificates as before, where the demo is shown again: the pods hold them.
        await client.get(CONFIGMAPS, PLATFORM, CA_BUNDLE)
    except NotFoundError:
        await apply_all(client, serving_objects())
    token = secret(PLATFORM, _TOKEN_SECRET, {}, kind_of="kubernetes.io/service-account-token")
    token["metadata"]["annotations"] = {"kubernetes.io/service-account.name": "dashboard"}
    await apply_all(client, [*rest, token])


def render_operator(images: str) -> list[Object]:
    """What the chart renders for the demo: the operator in mode Enforce.

    Raises:
        DemoError: helm refused.
    """
    helm = build.ensure({"tools"})["helm"]
    values = {
        "image.repository": f"{images}/{OPERATOR}",
        "image.pullPolicy": "Never" if images == LOCAL_PREFIX else "IfNotPresent",
        "monitoringTLS.spec.mode": "Enforce",
    }
    # The local node's kubelet watches Secrets (0.5 to 1.7 s until a pod has them): a minute would only be waited for.
    numbers = {"monitoringTLS.spec.restart.secretPropagationSeconds": 5}
    arguments = [
        *(f"--set-string={key}={value}" for key, value in {**values, "image.tag": "1"}.items()),
        *(f"--set={key}={value}" for key, value in numbers.items()),
    ]
    rendered = subprocess.run(
        [helm, "template", OPERATOR, CHART, f"--namespace={PLATFORM}", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if rendered.returncode:
        raise DemoError(f"helm does not render the chart: {rendered.stderr.strip()}", "see deploy/chart")
    return manifests.parse(rendered.stdout)


async def apply_operator(client: KubeClient, objects: Iterable[Object]) -> None:
    """The operator's kinds, and what the chart renders."""
    await apply_all(client, [*manifests.read_folder(CRDS_FOLDER), *objects])


async def query_target(client: KubeClient) -> Target:
    """The querier's Service, and the account that may query.

    Raises:
        NotFoundError: the stack is not there.
    """
    token = ""
    async with asyncio.timeout(_ESTABLISHED_SECONDS):
        while not token:
            found = await client.get(SECRETS, PLATFORM, _TOKEN_SECRET)
            token = base64.b64decode(found.get("data", {}).get("token", "")).decode()
            if not token:
                await asyncio.sleep(0.2)
    bundle = await client.get(CONFIGMAPS, PLATFORM, CA_BUNDLE)
    service = await client.get(SERVICES, PLATFORM, QUERIER)
    context = ssl.create_default_context(cadata=bundle["data"]["service-ca.crt"])
    return Target(service["spec"]["clusterIP"], 9091, QUERIER_HOST, token, context)


async def unsettled(client: KubeClient, workload: Workload, *, stamp: str | None = None) -> str:
    """What a rollout still lacks; empty when its controller's status says that it is over.

    Args:
        client: of the cluster.
        workload: which.
        stamp: the value of `RESTARTED_AT` that its pod template must have.
    """
    try:
        made = await client.get(workload.maker, workload.namespace, workload.name)
    except NotFoundError:
        return f"{workload.name} isn't made yet"
    annotations = made["spec"]["template"]["metadata"].get("annotations", {})
    status, wanted = made.get("status", {}), made["spec"]["replicas"]
    if stamp is not None and annotations.get(RESTARTED_AT) != stamp:
        return f"{workload.name} isn't changed yet"
    if status.get("observedGeneration", 0) < made["metadata"]["generation"]:
        return f"{workload.name} isn't looked at yet"
    counts = [status.get(key, 0) for key in ("updatedReplicas", "readyReplicas", "replicas")]
    if counts != [wanted] * len(counts):
        return f"{workload.name}: {counts[0]} of {wanted} pods new, {counts[1]} ready"
    return ""


async def restart(client: KubeClient, workload: Workload, stamp: str) -> None:
    """A rollout for no other reason than to have one, by an annotation, as ``kubectl rollout restart`` does."""
    annotations: Object = {"annotations": {RESTARTED_AT: stamp}}
    spec: Object = (
        {"template": {"metadata": annotations}} if workload.owner is DEPLOYMENTS else {"podMetadata": annotations}
    )
    await client.merge_patch(workload.owner, workload.namespace, workload.owner_name, {"spec": spec})


async def foreign_querier(client: KubeClient, images: str) -> None:
    """A querier like the real one, but for its client certificate, which is a stranger's."""
    real = await client.get(SECRETS, PLATFORM, "thanos-querier-grpc-tls")
    certificate, key = Issuer.create("somebody-else").leaf(QUERIER, [QUERIER], client=True)
    name = f"{CONTROL}-grpc-tls"
    bundle = base64.b64decode(real["data"]["ca.crt"]).decode()
    files = {"ca.crt": bundle, "client.crt": certificate, "client.key": key}
    querier = manifests.named(manifests.read_folder(EXAMPLES, images), "Deployment", QUERIER)
    await apply_all(client, [secret(PLATFORM, name, files), _control(querier, name)])


async def remove_foreign_querier(client: KubeClient) -> None:
    """Take the control away again."""
    await client.delete(DEPLOYMENTS, PLATFORM, CONTROL)
    await client.delete(SECRETS, PLATFORM, f"{CONTROL}-grpc-tls")


def _control(querier: Object, secret_name: str) -> Object:
    control = copy.deepcopy(querier)
    control["metadata"]["name"] = CONTROL
    # Another instance: the real querier's Service doesn't select it.
    for labels in (
        control["metadata"]["labels"],
        control["spec"]["selector"]["matchLabels"],
        control["spec"]["template"]["metadata"]["labels"],
    ):
        labels["app.kubernetes.io/instance"] = CONTROL
    control["spec"]["replicas"] = 1
    for volume in control["spec"]["template"]["spec"]["volumes"]:
        if volume["name"] == "secret-grpc-tls":
            volume["secret"]["secretName"] = secret_name
    return control
