"""What the operator sees of a world: the `Snapshot`, made through the same reader of Secrets as in the cluster."""

import base64
import functools
import json

from monitoring_tls.model.certificate import CertificateFacts, SecretView
from monitoring_tls.model.component import DomainUse
from monitoring_tls.model.snapshot import (
    ConfigMapView,
    ContainerView,
    Mount,
    PodView,
    Rollout,
    Snapshot,
    WorkloadView,
)
from monitoring_tls.pki.secret_view import HASHED_FROM_LABEL, secret_view
from tests.property.world.values import Phase, Pod, Process, Stored, Workload, World


@functools.lru_cache(maxsize=100_000)
def view(secret: Stored) -> SecretView:
    """A Secret as the caches have it."""
    metadata = {
        "namespace": secret.namespace,
        "name": secret.name,
        "uid": secret.uid,
        "resourceVersion": str(secret.version),
        "creationTimestamp": secret.created.isoformat(),
        "annotations": dict(secret.annotations),
        "labels": {HASHED_FROM_LABEL: secret.hashed_from} if secret.hashed_from else {},
    }
    data = {key: base64.b64encode(value).decode("ascii") for key, value in secret.data}
    return secret_view({"metadata": metadata, "data": data}, "monitoring-tls-operator")


_LATEST: list[tuple[World, Snapshot]] = []


def snapshot(world: World) -> Snapshot:
    """Everything the operator may know. Operator and prober look at the same world: it is read once for both."""
    if not _LATEST or _LATEST[0][0] is not world:
        _LATEST[:] = [(world, _read(world))]
    return _LATEST[0][1]


def _read(world: World) -> Snapshot:
    return Snapshot(
        namespaces=frozenset(world.desired.catalogue.namespaces),
        secrets={key: view(secret) for key, secret in world.secrets.items()},
        configmaps={
            key: ConfigMapView(*key, "1", created, {entry: value})
            for key, (entry, value, created) in world.configmaps.items()
        },
        workloads={ref: workload_view(world, workload) for ref, workload in world.workloads.items()},
        pods=tuple(pod_view(world, pod) for pod in world.pods),
        evidence={(pod.uid, name): seen for pod in world.pods for name, seen in pod.evidence.items()},
        client_ca=world.client_ca,
        foreign_operator=world.foreign,
        deleted_pods=world.deleted_pods,
    )


def workload_view(world: World, workload: Workload) -> WorkloadView:
    """A workload's object, with its controller's progress."""
    spec = workload.spec
    return WorkloadView(
        ref=workload.ref,
        uid=str(workload.ref),
        resource_version=str(workload.version),
        restart_hash=spec.restart_hash,
        patched_at=workload.patched_at,
        saved=json.loads(workload.saved) if workload.saved else {},
        mounts=frozenset(
            Mount("Secret", name, f"/spec/volumes/{number}/secret/secretName")
            for number, name in enumerate(spec.mounts)
        ),
        containers={
            name: ContainerView(name, args, f"/spec/containers/{number}/args")
            for number, (name, args) in enumerate(spec.args)
        },
        fields={
            path: {key: list(value) if isinstance(value, tuple) else value for key, value in values}
            for path, values in spec.fields
        },
        present=frozenset(),
        rollout=rollout(world, workload),
    )


def rollout(world: World, workload: Workload) -> Rollout | None:
    """What the status of the StatefulSet or Deployment says. A Deployment's doesn't count pods that are ending."""
    if workload.rolled is None:
        return None
    pods = world.of(workload.ref)
    if workload.ref.kind == "Deployment":
        pods = tuple(pod for pod in pods if pod.phase is not Phase.TERMINATING)
    up = [pod for pod in pods if pod.phase is Phase.RUNNING and pod.ready]
    updated = [pod for pod in up if pod.template == workload.rolled]
    settled = len(pods) == len(up) == len(updated) == workload.replicas
    detail = f"{len(updated)} of {workload.replicas} updated, {len(up)} ready"
    return Rollout(workload.rolled.restart_hash, settled, workload.replicas, detail)


def pod_view(world: World, pod: Pod) -> PodView:
    """A pod's object."""
    component = next((c for c in world.desired.catalogue.components if c.workload == pod.ref), None)
    containers = {use.container for use in component.uses} if component else {"unknown"}
    containers |= {endpoint.container for endpoint in component.endpoints} if component else set()
    return PodView(
        namespace=pod.ref.namespace if pod.ref else world.desired.catalogue.namespaces[0],
        name=f"{pod.ref.name if pod.ref else 'bare'}-{pod.slot}",
        uid=pod.uid,
        resource_version=pod.phase.value,
        workload=pod.ref,
        owned=pod.ref is not None,
        ip="127.0.0.1",
        ready=pod.phase is Phase.RUNNING and pod.ready,
        terminating=pod.phase is Phase.TERMINATING,
        never_started=pod.phase is Phase.WAITING,
        created=pod.created,
        started=dict.fromkeys(containers, pod.started) if pod.started is not None else {},
        restart_hash=pod.template.restart_hash,
        mounts=frozenset(Mount("Secret", name) for name in pod.template.mounts),
    )


def use_of(world: World, pod: Pod) -> DomainUse | None:
    """How a pod uses the domain that the model is about."""
    component = next((c for c in world.desired.catalogue.components if c.workload == pod.ref), None)
    return component.uses[0] if component is not None else None


def held(secret: Stored) -> Process:
    """What a process that reads this Secret's files has."""
    known = view(secret)
    chain: tuple[CertificateFacts, ...] = next(
        (value for key, value in known.certificates.items() if key != "ca.crt"), ()
    )
    return Process(known.certificates.get("ca.crt", ()), chain)
