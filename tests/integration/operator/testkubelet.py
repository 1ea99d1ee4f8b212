"""THE ONE FAKE of these tests: a kubelet without containers.

API server, etcd, controller-manager, scheduler and prometheus-operator are the real programs; so are the Secrets, and
TLS itself. Only the node is not: this module registers a Node, and for each pod that the scheduler binds to it waits
for the Secrets and ConfigMaps, takes a loopback address of its own, starts real TLS servers there that read those
Secrets (see `servers`), and writes the status a kubelet would write.

Chosen by the tests: how long a changed Secret takes to reach the files (`refresh_delay`), and how long a failed mount
takes to be tried again (`mount_retry`; a real kubelet's delay grows to two minutes), and whether new pods
get old copies (`old_copies`).
"""

import asyncio
import base64
import contextlib
import itertools
import random
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from monitoring_tls.errors import ConflictError, NotFoundError
from monitoring_tls.kube.client import KubeClient
from monitoring_tls.kube.reflector import Key, Reflector
from monitoring_tls.kube.resources import CONFIGMAPS, EVENTS, LEASES, PODS, SECRETS, Object, Resource
from monitoring_tls.kube.selection import Selection
from tests.integration.operator.servers import BadFlagError, Program, Server, Traffic, query, servers_of

NODE = "fake"
_NODES = Resource("", "v1", "nodes", "Node", namespaced=False)
_CAPACITY = {"cpu": "64", "memory": "256Gi", "pods": "500", "ephemeral-storage": "1Ti"}
_HEARTBEAT = 10.0
_LOCK_PORT = 10900

Files = Mapping[str, Mapping[str, bytes]]
"""Per volume: file name to content."""


class Addresses:
    """Loopback addresses that no other session of these tests uses: 127.x, held by a listening socket."""

    def __init__(self) -> None:
        for _ in range(200):
            self._block = random.randint(16, 240)  # noqa: S311 - only to be apart from others
            self._holder = socket.socket()
            try:
                self._holder.bind((f"127.{self._block}.0.1", _LOCK_PORT))
                self._holder.listen(1)
            except OSError:
                self._holder.close()
            else:
                break
        self._numbers = itertools.count(256)

    def next(self) -> str:
        number = next(self._numbers)
        return f"127.{self._block}.{number // 250}.{number % 250 + 2}"

    def close(self) -> None:
        self._holder.close()


@dataclass(frozen=True)
class Start:
    """A pod that came up."""

    namespace: str
    name: str
    uid: str


@dataclass
class Pod:
    """A pod that is looked after."""

    obj: Object
    task: "asyncio.Task[None] | None" = None
    files: Files = field(default_factory=dict)
    servers: list[Server] = field(default_factory=list)
    clients: list["asyncio.Task[None]"] = field(default_factory=list)
    waiting: bool = False
    ending: bool = False

    @property
    def name(self) -> str:
        return str(self.obj["metadata"]["name"])

    @property
    def namespace(self) -> str:
        return str(self.obj["metadata"]["namespace"])

    @property
    def uid(self) -> str:
        return str(self.obj["metadata"]["uid"])

    def stop(self) -> None:
        for server in self.servers:
            server.stop()
        for client in self.clients:
            client.cancel()
        if self.task is not None:
            self.task.cancel()


class FakeKubelet:
    """Looks after every pod that is bound to its node.

    Attributes:
        refresh_delay: seconds until a changed Secret is in the files of a running pod.
        old_copies: whether a pod that starts within that time gets the old content too. A kubelet that watches (the
            default) gives the new one; one with the strategy ``Cache`` or ``TTL`` may not.
        mount_retry: seconds until a failed mount is tried again.
        starts: every pod that came up, in order.
        traffic: what the queriers' connections came to.
        bundles: every content of the key ``ca.crt`` that the Secret ``grpc-tls`` ever had, in order.
        keys: every private key that was ever in a Secret of the namespaces, PEM.
        pods: by uid.
    """

    def __init__(self, client: KubeClient, namespaces: tuple[str, ...]) -> None:
        self.refresh_delay = 0.3
        self.old_copies = False
        self.mount_retry = 0.5
        self.starts: list[Start] = []
        self.traffic = Traffic()
        self.bundles: list[bytes] = []
        self.keys: set[bytes] = set()
        self.pods: dict[str, Pod] = {}
        self._client = client
        self._addresses = Addresses()
        self._secrets = [
            Reflector(client, SECRETS, dict, selection=Selection(namespace=name), on_change=self._secret_changed)
            for name in namespaces
        ]
        self._configmaps = [
            Reflector(client, CONFIGMAPS, dict, selection=Selection(namespace=name)) for name in namespaces
        ]
        mine = Selection(field_selector=f"spec.nodeName={NODE}")
        self._reflector = Reflector(client, PODS, dict, selection=mine, on_change=self._pod_changed)
        self._copies: dict[Key, Object] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Be the node until cancelled."""
        await self._register()
        try:
            async with asyncio.TaskGroup() as group:
                for reflector in (*self._secrets, *self._configmaps):
                    group.create_task(reflector.run())
                for reflector in (*self._secrets, *self._configmaps):
                    await reflector.wait_synced()
                group.create_task(self._reflector.run())
                group.create_task(self._beat())
        finally:
            for pod in self.pods.values():
                pod.stop()
            self._addresses.close()

    def waiting(self) -> int:
        """How many pods failed to mount something, and wait to try again."""
        return sum(pod.waiting for pod in self.pods.values())

    def servers(self) -> list[Server]:
        """Everything that listens in pods that are not ending."""
        return [server for pod in self.pods.values() if not pod.ending for server in pod.servers]

    def _grpc_servers(self) -> list[Server]:
        return [server for server in self.servers() if server.program.args[0] in {"sidecar", "rule"}]

    async def _register(self) -> None:
        await self._client.create(_NODES, {"metadata": {"name": NODE, "labels": {"kubernetes.io/hostname": NODE}}})
        condition = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "a fake is always ready"}
        status = {
            "capacity": _CAPACITY,
            "allocatable": _CAPACITY,
            "conditions": [condition | {"lastHeartbeatTime": _now(), "lastTransitionTime": _now()}],
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        }
        await self._client.merge_patch(_NODES, None, NODE, {"status": status}, subresource="status")

    async def _beat(self) -> None:
        """Without a Lease that moves, the controller-manager would declare the node lost."""
        while True:
            spec = {"holderIdentity": NODE, "leaseDurationSeconds": 40, "renewTime": f"{_now()[:-1]}.000000Z"}
            lease = {"metadata": {"namespace": "kube-node-lease", "name": NODE}, "spec": spec}
            await self._client.apply(LEASES, lease)
            await asyncio.sleep(_HEARTBEAT)

    def _secret_changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        for name, value in ((new or {}).get("data") or {}).items():
            content = base64.b64decode(value)
            if b"PRIVATE KEY" in content:
                self.keys.add(content)
            if key[1] == "grpc-tls" and name == "ca.crt" and (not self.bundles or self.bundles[-1] != content):
                self.bundles.append(content)
        if old is None and new is not None:
            self._copies[key] = new
        asyncio.get_running_loop().call_later(self.refresh_delay, self._refresh, key)

    def _refresh(self, key: Key) -> None:
        namespace = key[0]
        for reflector in self._secrets:
            if key in reflector.objects:
                self._copies[key] = reflector.objects[key]
        for pod in self.pods.values():
            if pod.namespace == namespace and pod.files:
                files, missing = self._mounts(pod.obj)
                if not missing:
                    pod.files = files

    def _pod_changed(self, _key: Key, old: Object | None, new: Object | None) -> None:
        if old is not None and (new is None or new["metadata"]["uid"] != old["metadata"]["uid"]):
            gone = self.pods.pop(old["metadata"]["uid"], None)
            if gone is not None:
                gone.stop()
        if new is None:
            return
        pod = self.pods.get(new["metadata"]["uid"])
        if pod is None:
            pod = self.pods[new["metadata"]["uid"]] = Pod(new)
            if "deletionTimestamp" not in new["metadata"]:
                pod.task = self._spawn(self._live(pod))
        if "deletionTimestamp" in new["metadata"] and not pod.ending:
            pod.ending = True
            self._spawn(self._end(pod))

    def _spawn(self, work: "asyncio._CoroutineLike[None]") -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.traffic.failures.append(f"the test kubelet itself failed: {task.exception()!r}")

    async def _live(self, pod: Pod) -> None:
        await self._report(pod, "Pending", {"waiting": {"reason": "ContainerCreating"}})
        while True:
            files, missing = self._mounts(pod.obj)
            if not missing:
                break
            pod.waiting = True
            await self._event(pod, "FailedMount", f"MountVolume.SetUp failed: {missing[0]} not found")
            await asyncio.sleep(self.mount_retry)
        pod.files, pod.waiting = files, False
        address = self._addresses.next()
        try:
            for container in pod.obj["spec"]["containers"]:
                self._start(pod, container, address)
        except BadFlagError as error:
            await self._event(pod, "BackOff", str(error))
            await self._report(pod, "Running", {"waiting": {"reason": "CrashLoopBackOff", "message": str(error)}})
            return
        self.starts.append(Start(pod.namespace, pod.name, pod.uid))
        await self._report(pod, "Running", {"running": {"startedAt": _now()}}, address)

    def _start(self, pod: Pod, container: Object, address: str) -> None:
        name, args = container["name"], container.get("args") or []
        program = Program(
            pod.name,
            name,
            tuple(str(arg).replace("$(POD_IP)", address) for arg in args),
            lambda path: _read(pod.files, container, path),
        )
        kind = container["image"].rpartition("/")[2].partition(":")[0]
        if not args:
            return
        for server in servers_of(program, kind, address):
            server.start()
            pod.servers.append(server)
        if kind == "thanos" and args[0] == "query":
            pod.clients.append(self._spawn(query(program, self._grpc_servers, self.traffic)))

    async def _end(self, pod: Pod) -> None:
        pod.stop()
        with contextlib.suppress(NotFoundError, ConflictError):
            await self._client.delete(PODS, pod.namespace, pod.name, uid=pod.uid, grace_seconds=0)

    def _mounts(self, obj: Object) -> tuple[Files, list[str]]:
        """The files of every volume, and what is missing for them."""
        namespace, missing, files = obj["metadata"]["namespace"], [], {}
        for volume in obj["spec"].get("volumes") or ():
            content: dict[str, bytes] = {}
            for kind, name, optional, items in _sources(volume):
                data = self._data(kind, namespace, name)
                if data is None and not optional:
                    missing.append(f'{kind.lower()} "{name}"')
                chosen = {item["key"]: item["path"] for item in items} if items else {key: key for key in data or {}}
                content |= {path: (data or {})[key] for key, path in chosen.items() if key in (data or {})}
            files[volume["name"]] = content
        return files, missing

    def _data(self, kind: str, namespace: str, name: str) -> Mapping[str, bytes] | None:
        for reflector in self._secrets if kind == "Secret" else self._configmaps:
            obj = reflector.objects.get((namespace, name))
            if obj is not None:
                if kind == "Secret" and self.old_copies:
                    obj = self._copies[namespace, name]
                encode = base64.b64decode if kind == "Secret" else str.encode
                return {key: encode(value) for key, value in (obj.get("data") or {}).items()}
        return None

    async def _report(self, pod: Pod, phase: str, state: Object, address: str | None = None) -> None:
        spec, ready = pod.obj["spec"], "running" in state

        def statuses(containers: list[Object], shown: Object) -> list[Object]:
            return [
                {"name": c["name"], "image": c["image"], "imageID": "", "ready": ready, "restartCount": 0}
                | {"state": shown, "started": ready}
                for c in containers
            ]

        over = {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": _now(), "finishedAt": _now()}}
        started = phase == "Running"
        status: Object = {
            "phase": phase,
            "startTime": _now(),
            "conditions": [
                {"type": kind, "status": "True" if truth else "False", "lastTransitionTime": _now()}
                for kind, truth in (
                    ("PodScheduled", True),
                    ("Initialized", started),
                    ("ContainersReady", ready),
                    ("Ready", ready),
                )
            ],
            "containerStatuses": statuses(spec["containers"], state),
            "initContainerStatuses": statuses(
                spec.get("initContainers") or [], over if started else {"waiting": {"reason": "PodInitializing"}}
            ),
        }
        if address is not None:
            status |= {"podIP": address, "podIPs": [{"ip": address}]}
        with contextlib.suppress(NotFoundError):
            await self._client.merge_patch(
                PODS,
                pod.namespace,
                pod.name,
                {"metadata": {"uid": pod.uid}, "status": status},
                subresource="status",
            )

    async def _event(self, pod: Pod, reason: str, message: str) -> None:
        about = {"apiVersion": "v1", "kind": "Pod", "namespace": pod.namespace, "name": pod.name, "uid": pod.uid}
        event = {
            "metadata": {"namespace": pod.namespace, "generateName": f"{pod.name}."},
            "involvedObject": about,
            "reason": reason,
            "message": message,
            "type": "Warning",
            "source": {"component": "kubelet", "host": NODE},
            "count": 1,
            "firstTimestamp": _now(),
            "lastTimestamp": _now(),
        }
        await self._client.create(EVENTS, event)


def _sources(volume: Object) -> Iterator[tuple[str, str, bool, list[Object]]]:
    if (secret := volume.get("secret")) is not None:
        yield "Secret", secret["secretName"], bool(secret.get("optional")), secret.get("items") or []
    if (config := volume.get("configMap")) is not None:
        yield "ConfigMap", config["name"], bool(config.get("optional")), config.get("items") or []
    for source in (volume.get("projected") or {}).get("sources") or ():
        for kind, key in (("Secret", "secret"), ("ConfigMap", "configMap")):
            if (inner := source.get(key)) is not None:
                yield kind, inner["name"], bool(inner.get("optional")), inner.get("items") or []


def _read(files: Files, container: Object, path: str) -> bytes:
    """What a container reads at a path."""
    for mount in container.get("volumeMounts") or ():
        folder = mount["mountPath"].rstrip("/") + "/"
        if path.startswith(folder):
            found = files.get(mount["name"], {}).get(path.removeprefix(folder))
            if found is not None:
                return found
    raise BadFlagError(f"{container['name']}: no such file: {path}")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
