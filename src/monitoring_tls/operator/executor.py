"""Makes a plan's actions happen, each guarded by what the plan was made from, and says so with events."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import structlog

from monitoring_tls.errors import AlreadyExistsError, ApiError, ConflictError, NotFoundError, PkiError
from monitoring_tls.kube.client import KubeClient
from monitoring_tls.kube.events import (
    EventRecorder,
    configmap_created,
    configmap_updated,
    secret_created,
    secret_updated,
)
from monitoring_tls.kube.patches import workload_patch
from monitoring_tls.kube.resources import CONFIGMAPS, PODS, SECRETS, Object
from monitoring_tls.model.action import (
    Action,
    DeletePod,
    DeleteSecret,
    PatchWorkload,
    WriteConfigMap,
    WriteDerived,
    WriteDomain,
)
from monitoring_tls.model.annotations import LEAF_SINCE, TRUST_SINCE
from monitoring_tls.model.certificate import CertificateFacts, DerivedSpec, SecretView, TrustDomain
from monitoring_tls.model.component import Catalogue
from monitoring_tls.model.snapshot import Snapshot
from monitoring_tls.observe.observer import WORKLOAD_KINDS
from monitoring_tls.observe.templates import POD_ANNOTATIONS
from monitoring_tls.operator.keyring import Keyring
from monitoring_tls.pki.domain import Material, apply, derived_data, render
from monitoring_tls.pki.keys import Entropy
from monitoring_tls.pki.secret_view import secret_view
from monitoring_tls.pki.state import format_time
from monitoring_tls.planning.certificates import derived_targets, matches
from monitoring_tls.planning.consumers import bundle_of, since

MANAGER = "monitoring-tls-operator"
"""The field manager of everything that is written."""

_LABELS = {"app.kubernetes.io/managed-by": MANAGER}

# A failed "test" operation of a JSON patch is answered with this status.
_UNPROCESSABLE = 422

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Environment:
    """What the executor acts with. The client is guarded by the Lease."""

    client: KubeClient
    events: EventRecorder
    entropy: Entropy
    keyring: Keyring
    clock: Callable[[], datetime]


class Executor:
    """Carries out actions in order. A precondition that no longer holds ends the pass; the next plan is made anew."""

    def __init__(self, environment: Environment, catalogue: Catalogue, deleted_pods: set[str]) -> None:
        """Nothing happens before `run`.

        Args:
            environment: what to act with.
            catalogue: names the trust domains.
            deleted_pods: uids of pods that were deleted, kept by the caller from pass to pass.
        """
        self._env = environment
        self._domains: Mapping[str, TrustDomain] = {domain.domain: domain for domain in catalogue.domains}
        self._deleted_pods = deleted_pods

    async def run(self, actions: tuple[Action, ...], snapshot: Snapshot) -> bool:
        """Carry out a plan's actions.

        Returns:
            Whether all were made; False where the cluster had changed in between.

        Raises:
            KubeError: the API server refused or couldn't be reached.
        """
        self._deleted_pods &= {pod.uid for pod in snapshot.pods}
        for action in actions:
            try:
                await self._act(action, snapshot)
            except (ConflictError, AlreadyExistsError, NotFoundError) as error:
                log.info("cluster changed meanwhile, planning again", action=type(action).__name__, error=str(error))
                return False
            except ApiError as error:
                if error.status != _UNPROCESSABLE or not isinstance(action, PatchWorkload):
                    raise
                log.info("workload changed meanwhile, planning again", workload=str(action.ref), error=str(error))
                return False
        return True

    async def _act(self, action: Action, snapshot: Snapshot) -> None:
        match action:
            case WriteDomain():
                await self._write_domain(action, snapshot)
            case WriteDerived():
                domain = self._domains[action.domain]
                opened = await self._env.keyring.open(domain, self._env.clock())
                if opened.material is None:
                    raise PkiError("its CA can't be used", f"Secret/{domain.name} -n {domain.namespace}")
                await self._write_derived(domain, opened.material, action.targets, snapshot)
            case WriteConfigMap():
                await self._write_configmap(action)
            case PatchWorkload():
                await self._patch(action, snapshot)
            case DeletePod():
                await self._env.client.delete(PODS, action.namespace, action.name, uid=action.uid)
                self._deleted_pods.add(action.uid)
                log.info("pod deleted for its controller to make again", pod=action.name, why=action.why)
            case DeleteSecret():
                await self._env.client.delete(
                    SECRETS,
                    action.namespace,
                    action.name,
                    uid=action.uid,
                    resource_version=action.resource_version,
                )
                log.info("secret deleted", secret=f"{action.namespace}/{action.name}", why=action.why)

    async def _write_domain(self, action: WriteDomain, snapshot: Snapshot) -> None:
        domain, now = self._domains[action.domain], self._env.clock()
        before: Material | None = None
        trusted: tuple[CertificateFacts, ...] = ()
        if action.resource_version is not None:
            opened = await self._env.keyring.open(domain, now, action.resource_version)
            before, trusted = opened.material, opened.trusted
        after = apply(before, domain, action, now, self._env.entropy, trusted)
        data, annotations = render(after, domain)
        await self._write_secret(domain.namespace, domain.name, data, annotations, action.resource_version)
        log.info("certificates changed", domain=action.domain, step=action.step.value, why=action.why)
        self._env.keyring.remember_probe_identity(domain, after, now)
        written = _view(domain.namespace, domain.name, data, annotations)
        targets = tuple(
            (spec.namespace, name)
            for spec, name in derived_targets(snapshot, domain)
            if not matches(written, snapshot.secrets.get((spec.namespace, name)), spec)
        )
        await self._write_derived(domain, after, targets, snapshot)

    async def _write_derived(
        self, domain: TrustDomain, material: Material, targets: tuple[tuple[str, str], ...], snapshot: Snapshot
    ) -> None:
        for spec, name in derived_targets(snapshot, domain):
            if (spec.namespace, name) not in targets:
                continue
            data, annotations = derived_data(material, spec, domain)
            existing = snapshot.secrets.get((spec.namespace, name))
            if existing is not None:
                annotations |= self._since(existing, spec, _view(spec.namespace, name, data, annotations))
            version = existing.resource_version if existing else None
            await self._write_secret(spec.namespace, name, data, annotations, version)

    def _since(self, before: SecretView, spec: DerivedSpec, after: SecretView) -> dict[str, str]:
        """Since when *this* Secret has said what it says: it may be written later than the domain's."""
        now = format_time(self._env.clock())
        issuer = [view.fingerprint for view in (*bundle_of(before)[:1], *bundle_of(after)[:1])]
        same_ca = len(set(issuer)) == 1 and bool(bundle_of(before))
        key = spec.certificate_key
        leaves = [chain[0].fingerprint for view in (before, after) if (chain := view.certificates.get(key))]
        same_leaf = len(leaves) == len((before, after)) and len(set(leaves)) == 1
        return {
            TRUST_SINCE: format_time(since(before, TRUST_SINCE)) if same_ca else now,
            LEAF_SINCE: format_time(since(before, LEAF_SINCE)) if same_leaf else now,
        }

    async def _write_secret(
        self,
        namespace: str,
        name: str,
        data: Mapping[str, bytes],
        annotations: Mapping[str, str],
        resource_version: str | None,
    ) -> None:
        secret: Object = {
            "metadata": {"namespace": namespace, "name": name, "labels": _LABELS, "annotations": dict(annotations)},
            "type": "Opaque",
            "data": {key: base64.b64encode(value).decode("ascii") for key, value in data.items()},
        }
        if resource_version is None:
            await self._env.client.create(SECRETS, secret)
            self._env.events.record(secret_created(namespace, name))
            return
        secret["metadata"]["resourceVersion"] = resource_version
        await self._env.client.apply(SECRETS, secret, force=True)
        self._env.events.record(secret_updated(namespace, name))

    async def _write_configmap(self, action: WriteConfigMap) -> None:
        config: Object = {
            "metadata": {"namespace": action.namespace, "name": action.name, "labels": _LABELS},
            "data": dict(action.data),
        }
        if action.created:
            await self._env.client.create(CONFIGMAPS, config)
            self._env.events.record(configmap_created(action.namespace, action.name))
        else:
            await self._env.client.apply(CONFIGMAPS, config, force=True)
            self._env.events.record(configmap_updated(action.namespace, action.name))

    async def _patch(self, action: PatchWorkload, snapshot: Snapshot) -> None:
        workload = snapshot.workloads[action.ref]
        operations = workload_patch(action, POD_ANNOTATIONS[action.ref.kind], workload.present, self._env.clock())
        resource = WORKLOAD_KINDS[action.ref.kind]
        await self._env.client.json_patch(resource, action.ref.namespace, action.ref.name, operations)
        log.info("workload changed", workload=str(action.ref), why=action.why, restart=action.restart_hash)


def _view(namespace: str, name: str, data: Mapping[str, bytes], annotations: Mapping[str, str]) -> SecretView:
    """What the caches will hold of a Secret that is about to be written."""
    encoded = {key: base64.b64encode(value).decode("ascii") for key, value in data.items()}
    metadata = {"namespace": namespace, "name": name, "annotations": dict(annotations)}
    return secret_view({"metadata": metadata, "data": encoded}, MANAGER)
