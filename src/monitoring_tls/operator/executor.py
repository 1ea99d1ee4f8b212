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
from monitoring_tls.kube.transport import FIELD_MANAGER
from monitoring_tls.model.action import (
    Action,
    DeletePod,
    DeleteSecret,
    PatchWorkload,
    WriteConfigMap,
    WriteDerived,
    WriteDomain,
)
from monitoring_tls.model.certificate import CertificateFacts, TrustDomain
from monitoring_tls.model.component import Catalogue
from monitoring_tls.model.snapshot import Snapshot
from monitoring_tls.observe.observer import WORKLOAD_KINDS
from monitoring_tls.observe.templates import POD_ANNOTATIONS
from monitoring_tls.operator.keyring import Keyring
from monitoring_tls.pki.domain import Material, apply
from monitoring_tls.pki.keys import Entropy
from monitoring_tls.planning.writes import SecretWrite, derived_writes, domain_writes

_LABELS = {"app.kubernetes.io/managed-by": FIELD_MANAGER}

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
                for write in derived_writes(domain, opened.material, action.targets, snapshot, self._env.clock):
                    await self._write_secret(write)
            case WriteConfigMap():
                await self._write_configmap(action)
            case PatchWorkload():
                await self._patch(action, snapshot)
            case DeletePod():
                await self._env.client.delete(
                    PODS, action.namespace, action.name, uid=action.uid, resource_version=action.resource_version
                )
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
        for number, write in enumerate(domain_writes(action, domain, after, snapshot, self._env.clock)):
            await self._write_secret(write)
            if number == 0:
                log.info("certificates changed", domain=action.domain, step=action.step.value, why=action.why)
                self._env.keyring.remember_probe_identity(domain, after, now)

    async def _write_secret(self, write: SecretWrite) -> None:
        secret: Object = {
            "metadata": {
                "namespace": write.namespace,
                "name": write.name,
                "labels": _LABELS,
                "annotations": dict(write.annotations),
            },
            "type": "Opaque",
            "data": {key: base64.b64encode(value).decode("ascii") for key, value in write.data.items()},
        }
        if write.resource_version is None:
            await self._env.client.create(SECRETS, secret)
            self._env.events.record(secret_created(write.namespace, write.name))
            return
        secret["metadata"]["resourceVersion"] = write.resource_version
        await self._env.client.apply(SECRETS, secret, force=True)
        self._env.events.record(secret_updated(write.namespace, write.name))

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
