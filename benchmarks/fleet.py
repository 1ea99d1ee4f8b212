"""A stack of any size in a rotation, as the API would show it: what `plan` has most to do with."""

import base64
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from monitoring_tls.model.component import WorkloadRef
from monitoring_tls.model.desired import Desired
from monitoring_tls.model.snapshot import Rollout, Snapshot, WorkloadView
from monitoring_tls.observe.objects import pod_view
from monitoring_tls.observe.templates import mounts
from monitoring_tls.pki.domain import begin_cross_signed, create, derived_data, render
from monitoring_tls.pki.keys import SystemEntropy
from monitoring_tls.pki.secret_view import secret_view


def fleet(desired: Desired, pods: int, now: datetime) -> Snapshot:
    """Every workload of the catalogue with so many pods, all of them from before the rotation."""
    domain, entropy = desired.catalogue.domains[0], SystemEntropy()
    material = begin_cross_signed(create(domain, now, entropy), domain, "bench", now, entropy)
    secrets = {(domain.namespace, domain.name): _secret(domain.namespace, domain.name, *render(material, domain))}
    for spec in domain.derived:
        data = derived_data(material, spec, domain)
        secrets[spec.namespace, spec.name] = _secret(spec.namespace, spec.name, *data)
    mounted = {
        ref: spec.name
        for component in desired.catalogue.components
        for ref in [component.workload]
        for spec in domain.derived
        if spec.namespace == ref.namespace and ref.name.removesuffix("-querier") in spec.name.replace("ruler", ref.name)
    }
    views = {ref: _workload(ref, name, pods) for ref, name in mounted.items()}
    return Snapshot(
        namespaces=frozenset(desired.catalogue.namespaces),
        secrets=secrets,
        configmaps={},
        workloads=views,
        pods=tuple(_pods(mounted, pods, now)),
        evidence={},
        client_ca=None,
    )


def _secret(namespace: str, name: str, data: dict[str, bytes], annotations: dict[str, str]) -> Any:
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    metadata = {"namespace": namespace, "name": name, "uid": name, "resourceVersion": "1", "annotations": annotations}
    return secret_view({"metadata": metadata, "data": encoded}, "")


def _volumes(secret: str) -> dict[str, Any]:
    return {"volumes": [{"name": "grpc", "secret": {"secretName": secret}}]}


def _workload(ref: WorkloadRef, secret: str, pods: int) -> WorkloadView:
    return WorkloadView(
        ref=ref,
        uid=str(ref),
        resource_version="1",
        restart_hash=None,
        patched_at=None,
        saved={},
        mounts=frozenset(mounts(_volumes(secret), ("spec",))),
        containers={},
        fields={},
        present=frozenset(),
        rollout=Rollout(None, settled=True, replicas=pods, detail="all ready"),
    )


def _pods(mounted: dict[WorkloadRef, str], pods: int, now: datetime) -> Iterator[Any]:
    begun = (now - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    names = ("thanos-sidecar", "thanos-ruler", "thanos-query", "kube-rbac-proxy-web")
    statuses = [{"name": name, "state": {"running": {"startedAt": begun}}} for name in names]
    for ref, secret in mounted.items():
        owner = {"kind": ref.kind, "name": ref.name, "controller": True}
        for number in range(pods):
            name = f"{ref.name}-{number}"
            yield pod_view(
                {
                    "metadata": {
                        "namespace": ref.namespace,
                        "name": name,
                        "uid": f"{ref}{number}",
                        "creationTimestamp": begun,
                        "ownerReferences": [owner],
                    },
                    "spec": _volumes(secret),
                    "status": {"podIP": "127.0.0.1", "phase": "Running", "containerStatuses": statuses},
                }
            )
