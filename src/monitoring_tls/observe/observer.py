"""Watches what is managed, and nothing else, and joins it to a snapshot."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from monitoring_tls.kube import resources
from monitoring_tls.kube.client import KubeClient
from monitoring_tls.kube.reflector import Reflector
from monitoring_tls.kube.resources import Object, Resource
from monitoring_tls.kube.selection import Selection
from monitoring_tls.model.certificate import SecretView
from monitoring_tls.model.component import Catalogue, WorkloadRef
from monitoring_tls.model.snapshot import ConfigMapView, Evidence, Mount, PodView, Rollout, Snapshot, WorkloadView
from monitoring_tls.observe.objects import OwnerView, configmap_view, owner_view, pod_view
from monitoring_tls.observe.templates import CUSTOM_RESOURCES
from monitoring_tls.pki.secret_view import secret_view

WORKLOAD_KINDS: Mapping[str, Resource] = {
    resource.kind: resource
    for resource in (
        resources.PROMETHEUSES,
        resources.ALERTMANAGERS,
        resources.THANOSRULERS,
        resources.DEPLOYMENTS,
        resources.STATEFULSETS,
        resources.DAEMONSETS,
    )
}
"""Kinds whose pod templates are looked at, top-most owners first."""

_CLIENT_CA = ("kube-system", "extension-apiserver-authentication")
_FOREIGN_OPERATOR = WorkloadRef("Deployment", "openshift-monitoring", "cluster-monitoring-operator")


# On every CRD of prometheus-operator: the version it was made for.
_OPERATOR_VERSION = "operator.prometheus.io/version"
_PROMETHEUSES = f"{resources.PROMETHEUSES.plural}.{resources.PROMETHEUSES.group}"


class ClusterSettings:
    """The two cluster-scoped objects that say what is wanted; watched for as long as the process runs.

    Attributes:
        spec: the spec of ``MonitoringTLS/cluster``, None where there is none.
        profile: the spec of ``APIServer/cluster``, None where there is none.
    """

    def __init__(self, client: KubeClient, on_change: Callable[[str], None]) -> None:
        only = Selection(field_selector="metadata.name=cluster")
        self._reflectors: tuple[Reflector[Any], ...] = (
            Reflector(
                client,
                resources.MONITORINGTLSES,
                lambda obj: obj,
                selection=only,
                on_change=lambda _key, old, new: _if_spec_changed(old, new, on_change),
            ),
            Reflector(
                client,
                resources.APISERVERS,
                lambda obj: obj.get("spec") or {},
                selection=only,
                on_change=lambda *_: on_change("APIServer/cluster"),
            ),
        )
        self._kinds = Reflector(
            client,
            resources.CRDS,
            lambda obj: (obj["metadata"].get("annotations") or {}).get(_OPERATOR_VERSION, ""),
            selection=Selection(metadata_only=True),
            on_change=lambda key, _old, new: self._kind_appeared(key[1]) if new is not None else None,
        )
        self._on_change = on_change
        self.kicked: Callable[[str], None] = lambda _plural: None

    @property
    def object(self) -> Object | None:
        """``MonitoringTLS/cluster`` itself."""
        return self._reflectors[0].objects.get(("", "cluster"))

    @property
    def spec(self) -> Mapping[str, Any] | None:
        """The spec of ``MonitoringTLS/cluster``."""
        return (self.object or {}).get("spec")

    @property
    def profile(self) -> Mapping[str, Any] | None:
        """The spec of ``APIServer/cluster``."""
        return self._reflectors[1].objects.get(("", "cluster"))

    @property
    def prometheus_operator(self) -> str | None:
        """The version of prometheus-operator that its CRDs are of."""
        return self._kinds.objects.get(("", _PROMETHEUSES)) or None

    @property
    def errors(self) -> tuple[str, ...]:
        """Why a part can't be kept up to date just now."""
        return tuple(f"{r.resource.plural}: {r.error}" for r in (*self._reflectors, self._kinds) if r.error is not None)

    async def run(self) -> None:
        """Keep everything up to date until cancelled."""
        async with asyncio.TaskGroup() as group:
            for reflector in (*self._reflectors, self._kinds):
                group.create_task(reflector.run())

    async def wait_synced(self) -> None:
        """Return when both objects, or their absence, are known."""
        for reflector in (*self._reflectors, self._kinds):
            await reflector.wait_synced()

    def _kind_appeared(self, name: str) -> None:
        for reflector in self._reflectors:
            if name.startswith(f"{reflector.resource.plural}."):
                reflector.kick()
        self.kicked(name.partition(".")[0])
        if name == _PROMETHEUSES:
            self._on_change(f"CustomResourceDefinition/{name}")


class _NamespaceCaches:
    """Everything that is watched in one managed namespace; run for as long as the namespace exists."""

    def __init__(
        self,
        client: KubeClient,
        catalogue: Catalogue,
        namespace: str,
        own_manager: str,
        on_change: Callable[[str], None],
    ) -> None:
        paths = frozenset(target.path for c in catalogue.components for target in c.settings if target.path)
        keys = {(copy.namespace, copy.name): copy.key for copy in catalogue.bundles}

        def reflect(resource: Resource, transform: Callable[[Object], Any]) -> Reflector[Any]:
            return Reflector(
                client,
                resource,
                transform,
                selection=Selection(namespace=namespace),
                on_change=_told(resource.kind, on_change),
                on_status=lambda: on_change(f"watch of {resource.plural} in {namespace}"),
            )

        self.secrets: Reflector[SecretView] = reflect(resources.SECRETS, lambda obj: secret_view(obj, own_manager))
        self.configmaps: Reflector[ConfigMapView] = reflect(resources.CONFIGMAPS, configmap_view(keys, own_manager))
        self.pods: Reflector[PodView] = reflect(resources.PODS, pod_view)
        self.owners: tuple[Reflector[OwnerView], ...] = tuple(
            reflect(resource, owner_view(kind, paths)) for kind, resource in WORKLOAD_KINDS.items()
        )

    @property
    def reflectors(self) -> tuple[Reflector[Any], ...]:
        return (self.secrets, self.configmaps, self.pods, *self.owners)

    @property
    def synced(self) -> bool:
        return all(reflector.synced for reflector in self.reflectors)

    @property
    def settled(self) -> bool:
        """Known, or known not to be readable."""
        return all(reflector.synced or reflector.error is not None for reflector in self.reflectors)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for reflector in self.reflectors:
                group.create_task(reflector.run())


class Observer:
    """Caches of everything a catalogue manages.

    Secrets and ConfigMaps are read in the managed namespaces only, and of a private key nothing but the digest of its
    public half is kept. A namespace that is absent costs no request; it is picked up when it appears.
    """

    def __init__(
        self, client: KubeClient, catalogue: Catalogue, own_manager: str, on_change: Callable[[str], None]
    ) -> None:
        self._client = client
        self._catalogue = catalogue
        self._own_manager = own_manager
        self._on_change = on_change
        self._caches: dict[str, _NamespaceCaches] = {}
        self._moved = asyncio.Event()
        self._news = asyncio.Event()
        self._namespaces = Reflector(
            client,
            resources.NAMESPACES,
            lambda obj: (_lives(obj) and obj["metadata"]["name"] in catalogue.namespaces) or None,
            selection=Selection(metadata_only=True),
            on_change=lambda *_: self._moved.set(),
            on_status=self._moved.set,
        )
        self._client_ca = Reflector(
            client,
            resources.CONFIGMAPS,
            configmap_view({_CLIENT_CA: "client-ca-file"}),
            selection=Selection(namespace=_CLIENT_CA[0], field_selector=f"metadata.name={_CLIENT_CA[1]}"),
            on_change=_told("ConfigMap", on_change),
        )

    @property
    def _reflectors(self) -> tuple[Reflector[Any], ...]:
        below = (reflector for caches in self._caches.values() for reflector in caches.reflectors)
        return (self._namespaces, self._client_ca, *below)

    @property
    def errors(self) -> tuple[str, ...]:
        """Why a part can't be kept up to date just now."""
        return tuple(f"{r.resource.plural}: {r.error}" for r in self._reflectors if r.error is not None)

    async def run(self) -> None:
        """Keep everything up to date until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._namespaces.run())
            group.create_task(self._client_ca.run())
            tasks: dict[str, asyncio.Task[None]] = {}
            while True:
                await self._moved.wait()
                self._moved.clear()
                present = {name for _, name in self._namespaces.objects}
                for name in present - tasks.keys():
                    self._caches[name] = _NamespaceCaches(
                        self._client, self._catalogue, name, self._own_manager, self._changed
                    )
                    tasks[name] = group.create_task(self._caches[name].run())
                for name in tasks.keys() - present:
                    tasks.pop(name).cancel()
                    del self._caches[name]
                self._changed("namespaces")

    def _changed(self, what: str) -> None:
        self._news.set()
        self._on_change(what)

    async def wait_synced(self) -> None:
        """Return when all that can be read has been seen once.

        What can't be read doesn't hold this up: the namespace is then in `Snapshot.unseen`, and ``errors`` says why.
        """
        await self._namespaces.wait_synced()
        while len(self._caches) < len(self._namespaces.objects) or not all(c.settled for c in self._caches.values()):
            self._news.clear()
            await self._news.wait()

    def kick(self, plural: str) -> None:
        """A kind has been installed: list it now."""
        for reflector in self._reflectors:
            if reflector.resource.plural == plural:
                reflector.kick()

    def snapshot(
        self,
        evidence: Mapping[tuple[str, str], Evidence],
        deleted_pods: frozenset[str] = frozenset(),
        prometheus_operator: str | None = None,
    ) -> Snapshot:
        """The cluster as the caches have it now."""
        seen = [caches for caches in self._caches.values() if caches.synced]
        owners = {view.ref: view for c in seen for reflector in c.owners for view in reflector.objects.values()}
        rollouts = _rollouts(owners)
        workloads = {
            ref: _workload(view, rollouts.get(ref, ()), owners)
            for ref, view in owners.items()
            if _top(owners, ref) == ref
        }
        pods = tuple(
            replace(pod, workload=_top(owners, pod.workload)) if pod.workload is not None else pod
            for caches in seen
            for pod in caches.pods.objects.values()
        )
        foreign = owners.get(_FOREIGN_OPERATOR)
        client_ca = self._client_ca.objects.get(_CLIENT_CA)
        return Snapshot(
            namespaces=frozenset(name for name, caches in self._caches.items() if caches.synced),
            unseen=frozenset(name for name, caches in self._caches.items() if not caches.synced),
            secrets={key: view for caches in seen for key, view in caches.secrets.objects.items()},
            configmaps={key: view for caches in seen for key, view in caches.configmaps.objects.items()},
            workloads=workloads,
            pods=pods,
            evidence=dict(evidence),
            client_ca=client_ca.data.get("client-ca-file") if client_ca else None,
            foreign_operator=_FOREIGN_OPERATOR.name
            if foreign and foreign.rollout and foreign.rollout.replicas
            else None,
            deleted_pods=deleted_pods,
            prometheus_operator=prometheus_operator,
        )


def _lives(namespace: Object) -> bool:
    """A namespace that is on its way out takes nothing new in."""
    return "deletionTimestamp" not in namespace["metadata"]


def _told(kind: str, on_change: Callable[[str], None]) -> Callable[[tuple[str, str], object, object], None]:
    return lambda key, _old, _new: on_change(f"{kind}/{'/'.join(filter(None, key))}")


def _if_spec_changed(old: Object | None, new: Object | None, on_change: Callable[[str], None]) -> None:
    if (old or {}).get("spec") != (new or {}).get("spec"):
        on_change("MonitoringTLS/cluster")


def _top(owners: Mapping[WorkloadRef, OwnerView], ref: WorkloadRef) -> WorkloadRef:
    """The top-most owner that is known; custom resources of kinds we don't watch count as none."""
    view = owners.get(ref)
    while view is not None and view.owner is not None and view.owner in owners:
        view = owners[view.owner]
    return view.ref if view is not None else ref


def _rollouts(owners: Mapping[WorkloadRef, OwnerView]) -> dict[WorkloadRef, tuple[Rollout, ...]]:
    found: dict[WorkloadRef, tuple[Rollout, ...]] = {}
    for ref, view in owners.items():
        if view.rollout is not None:
            top = _top(owners, ref)
            found[top] = (*found.get(top, ()), view.rollout)
    return found


def _workload(view: OwnerView, rollouts: tuple[Rollout, ...], owners: Mapping[WorkloadRef, OwnerView]) -> WorkloadView:
    mounts: frozenset[Mount] = view.mounts
    if view.ref.kind in CUSTOM_RESOURCES:
        # What prometheus-operator adds to the template by itself; without a pointer, as nothing there is ours to move.
        mounts |= frozenset(
            Mount(mount.kind, mount.name)
            for owned in owners.values()
            if owned.owner == view.ref
            for mount in owned.mounts
        )
    return WorkloadView(
        ref=view.ref,
        uid=view.uid,
        resource_version=view.resource_version,
        restart_hash=view.restart_hash,
        patched_at=view.patched_at,
        saved=view.saved,
        mounts=mounts,
        containers=view.containers,
        fields=view.fields,
        present=view.present,
        rollout=_joined(rollouts),
    )


def _joined(rollouts: tuple[Rollout, ...]) -> Rollout | None:
    """Several StatefulSets of one custom resource (shards) are one rollout, done when all are."""
    if len(rollouts) <= 1:
        return rollouts[0] if rollouts else None
    hashes = {rollout.restart_hash for rollout in rollouts}
    return Rollout(
        restart_hash=hashes.pop() if len(hashes) == 1 else "",
        settled=all(rollout.settled for rollout in rollouts),
        replicas=sum(rollout.replicas for rollout in rollouts),
        detail="; ".join(rollout.detail for rollout in rollouts),
    )
