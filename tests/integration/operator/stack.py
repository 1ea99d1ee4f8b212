"""The scenario: the demo's monitoring stack on a real control plane, with a test kubelet for a node."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlencode

from demo.manifests import named, parse, read_folder, resource_of
from demo.serving import PLATFORM, USER_WORKLOAD, serving_objects
from devcluster import build
from devcluster.controlplane import ControlPlane
from monitoring_tls.catalogue.load import load
from monitoring_tls.kube.client import KubeClient
from monitoring_tls.kube.resources import (
    APISERVERS,
    CRDS,
    DEPLOYMENTS,
    EVENTS,
    LEASES,
    MONITORINGTLSES,
    PROMETHEUSES,
    SECRETS,
    STATEFULSETS,
    THANOSRULERS,
    Object,
    Resource,
)
from tests.integration.operator.testkubelet import FakeKubelet

T = TypeVar("T")

OPERATOR = "operator-under-test"
"""The user name of the operator, by which the audit log tells its requests."""

REPLICAS = {"k8s": 2, "thanos-querier": 2, "user-workload": 1}
PODS = {"prometheus-k8s": 2, "prometheus-user-workload": 1, "thanos-ruler-user-workload": 1, "thanos-querier": 2}
"""Workload (as the pods' names begin) to number of pods."""

WORKLOADS: tuple[tuple[Resource, str, str], ...] = (
    (PROMETHEUSES, PLATFORM, "k8s"),
    (PROMETHEUSES, USER_WORKLOAD, "user-workload"),
    (THANOSRULERS, USER_WORKLOAD, "user-workload"),
    (DEPLOYMENTS, PLATFORM, "thanos-querier"),
    (STATEFULSETS, PLATFORM, "prometheus-k8s"),
    (STATEFULSETS, USER_WORKLOAD, "prometheus-user-workload"),
    (STATEFULSETS, USER_WORKLOAD, "thanos-ruler-user-workload"),
)
"""Everything with a pod template."""

_PROJECT = Path(__file__).parents[3]
_EXAMPLES = _PROJECT / "examples" / "openshift-monitoring"
_KINDS = {"ServiceAccount", "Secret", "Prometheus", "ThanosRuler", "Deployment"}
_FILES = ("20-accounts.yaml", "30-proxy-configs.yaml", "40-prometheus-k8s.yaml", "50-user-workload.yaml",
          "60-thanos-querier.yaml")  # fmt: skip
_POLL = 0.1
PATIENCE = 120.0
"""Seconds that only a failure lasts."""


@dataclass(frozen=True)
class Request:
    """A request of the operator, from the audit log."""

    verb: str
    resource: str
    name: str
    subresource: str
    received: datetime
    status: int


class World:
    """Everything of one scenario. A loop in a thread of its own carries the test kubelet and requests.

    Args:
        folder: for state and logs.
        operators: starts operators.
    """

    def __init__(self, folder: Path, operators: "Operators") -> None:
        self.folder = folder
        self.operators = operators
        self.log = folder / "operator.log"
        self.catalogue = load("openshift-monitoring")
        self.originals: dict[str, Object] = {}
        self._node: asyncio.Task[None] | None = None
        self._plane = ControlPlane(folder / "control-plane")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.enter_context(self._plane)
            undo.callback(self._loop.close)
            self._thread.start()
            undo.callback(self._thread.join)
            undo.callback(self._loop.call_soon_threadsafe, self._loop.stop)
            self.client = KubeClient.from_kubeconfig(self._plane.kubeconfig)
            undo.callback(lambda: self.run(_end_tasks()))
            undo.callback(lambda: self.run(self.client.aclose()))
            self.kubeconfig = self._plane.user_kubeconfig(OPERATOR, ["system:masters"])
            self._install(undo)
            undo.callback(self.operators.stop)
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something in the loop, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    def until(self, what: str, condition: Callable[[], object], seconds: float = PATIENCE) -> None:
        """Wait for a condition, with a deadline that only a failure reaches."""
        deadline = time.monotonic() + seconds
        while not condition():
            if self._node is not None and self._node.done():
                raise AssertionError(f"the test kubelet ended: {self._node.exception()!r}")
            if self.operators.pid is not None and not Path(f"/proc/{self.operators.pid}").exists():
                raise AssertionError(f"the operator ended: {self.log.read_text()[-3000:]}")
            if time.monotonic() > deadline:
                raise AssertionError(f"{what} did not come to be; status: {json.dumps(self.status(), indent=1)}")
            time.sleep(_POLL)

    def get(self, resource: Resource, namespace: str | None, name: str) -> Object:
        return self.run(self.client.get(resource, namespace, name))

    def all(self, resource: Resource) -> list[Object]:
        return self.run(self.client.list(resource)).items

    def create(self, obj: Object, manager: str = "test") -> Object:
        """Create an object under another field manager than the operator's."""
        resource = resource_of(obj)
        path = resource.path(obj["metadata"].get("namespace"))
        return self.run(self._send("POST", path, obj, "application/json", manager))

    def patch(
        self, resource: Resource, namespace: str | None, name: str, patch: Object, manager: str = "test"
    ) -> Object:
        """Change an object as somebody else would."""
        path = resource.path(namespace, name)
        return self.run(self._send("PATCH", path, patch, "application/merge-patch+json", manager))

    async def _send(self, method: str, path: str, body: Object, kind: str, manager: str) -> Object:
        response = await self.client._transport.http.request(
            method,
            f"{path}?{urlencode({'fieldManager': manager})}",
            content=json.dumps(body).encode(),
            headers={"Content-Type": kind},
        )
        if not response.is_success:
            raise AssertionError(f"{method} {path}: {response.text}")
        return dict(response.json())

    # What is asked for.

    def ask(self, **spec: Any) -> None:
        """Create or change `MonitoringTLS/cluster`."""
        if self.all(MONITORINGTLSES):
            self.patch(MONITORINGTLSES, None, "cluster", {"spec": spec})
            return
        kind = {"apiVersion": MONITORINGTLSES.api_version, "kind": MONITORINGTLSES.kind}
        base = {"mode": "Enforce", "restart": {"secretPropagationSeconds": 1}}
        self.create(kind | {"metadata": {"name": "cluster"}, "spec": base | spec})

    def ask_profile(self, profile: Object | None) -> None:
        """Set the central profile."""
        self.patch(APISERVERS, None, "cluster", {"spec": {"tlsSecurityProfile": profile}})

    # What is seen.

    def status(self) -> Object:
        found = self.all(MONITORINGTLSES)
        return found[0].get("status") or {} if found else {}

    def condition(self, kind: str) -> tuple[str, str]:
        """Status and reason."""
        for condition in self.status().get("conditions") or ():
            if condition["type"] == kind:
                return condition["status"], condition["reason"]
        return "", ""

    def settled(self) -> bool:
        """Whether the operator is at its fixed point, and says so of the spec as it is now."""
        obj = next(iter(self.all(MONITORINGTLSES)), None)
        status = (obj or {}).get("status") or {}
        if obj is None or status.get("observedGeneration") != obj["metadata"]["generation"]:
            return False
        shown = {condition["type"]: condition["status"] for condition in status["conditions"]}
        wanted = {"Available": "True", "Progressing": "False", "Degraded": "False", "Compliant": "True"}
        return wanted.items() <= shown.items() and status["rotation"]["stage"] == "Stable"

    def rotated(self, reason: str) -> bool:
        """Whether the rotation for this reason is over, and everything proved."""
        return self.settled() and self.status()["rotation"].get("lastReason") == reason

    def starts(self, since: int = 0) -> dict[str, int]:
        """How many pods of each workload came up, from the `since`-th start of all on."""
        names = [start.name for start in self.kubelet.starts[since:]]
        return {workload: count for workload in PODS if (count := sum(n.startswith(f"{workload}-") for n in names))}

    def generations(self) -> dict[str, int]:
        """The generation of everything with a pod template."""
        return {
            f"{resource.kind}/{namespace}/{name}": self.get(resource, namespace, name)["metadata"]["generation"]
            for resource, namespace, name in WORKLOADS
        }

    def secret(self, name: str, namespace: str = PLATFORM) -> Object:
        return self.get(SECRETS, namespace, name)

    def events(self) -> Counter[str]:
        """The operator's own events: message to count."""
        found: Counter[str] = Counter()
        for event in self.all(EVENTS):
            if event["involvedObject"]["kind"] == "Deployment" and event["source"].get("component") != (
                "deployment-controller"
            ):
                found[f"{event['reason']} {event['message']}"] += event.get("count") or 1
        return found

    def requests(self, since: datetime) -> list[Request]:
        """The operator's finished requests, and the watches that it began."""
        found = []
        for line in self._plane.audit_log.read_text().splitlines():
            event = json.loads(line)
            if event["user"]["username"] != OPERATOR or event["stage"] == "RequestReceived":
                continue
            if (event["stage"] == "ResponseStarted") != (event["verb"] == "watch"):
                continue
            received = datetime.fromisoformat(event["requestReceivedTimestamp"])
            if received >= since:
                ref = event.get("objectRef") or {}
                found.append(
                    Request(
                        event["verb"],
                        ref.get("resource", ""),
                        ref.get("name", ""),
                        ref.get("subresource", ""),
                        received,
                        event["responseStatus"]["code"],
                    )
                )
        return found

    def work_requests(self, since: datetime) -> list[Request]:
        """The same without watches and the Lease."""
        return [r for r in self.requests(since) if r.verb != "watch" and r.resource != LEASES.plural]

    def everything_public(self) -> dict[str, str]:
        """All that others may read: logs, events, status, workloads, ConfigMaps, audit log."""
        kinds = (EVENTS, MONITORINGTLSES, PROMETHEUSES, THANOSRULERS, DEPLOYMENTS, STATEFULSETS)
        found = {resource.plural: json.dumps(self.all(resource)) for resource in kinds}
        found["audit log"] = self._plane.audit_log.read_text()
        found["operator's log"] = self.log.read_text() if self.log.exists() else ""
        return found

    # The operator's process.

    def start_operator(self, writes: int = 0, *, state_only: bool = False) -> int:
        """Start an operator, and return its process id; see `victim._die_after`."""
        return self.operators.start(self.kubeconfig, self.log, writes, state_only=state_only)

    def drop_lease(self) -> None:
        """Spare the next operator the wait for a dead one's Lease: 15 s that no test here is about."""
        for lease in self.all(LEASES):
            if lease["metadata"]["name"] == "monitoring-tls-operator":
                self.run(self.client.delete(LEASES, PLATFORM, "monitoring-tls-operator"))

    # Bringing it up.

    def _install(self, undo: ExitStack) -> None:
        crds = [build.crds(), _PROJECT / "deploy" / "crds"]
        names = [self._crd(path) for folder in crds for path in sorted(folder.glob("*.yaml"))]
        self.until("CRDs", lambda: all(_established(self.get(CRDS, None, name)) for name in names if name))
        for obj in read_folder(_EXAMPLES):
            if obj["kind"] == "Namespace":
                self.create(obj)
        self.kubelet = FakeKubelet(self.client, (PLATFORM, USER_WORKLOAD))
        self._start_kubelet(undo)
        self.create(
            {"apiVersion": APISERVERS.api_version, "kind": "APIServer", "metadata": {"name": "cluster"}, "spec": {}}
        )
        for obj in serving_objects():
            self.create(obj)
        self._start_prometheus_operator(undo)

    def _crd(self, path: Path) -> str:
        for obj in parse(path.read_text()):
            if obj["kind"] == "CustomResourceDefinition":
                return str(self.create(obj)["metadata"]["name"])
        return ""

    def install_stack(self, change: Callable[[list[Object]], None] = lambda _: None) -> None:
        """Apply the demo's stack, with fewer replicas and without what only keeps queries from failing."""
        objects = [obj for name in _FILES for obj in parse((_EXAMPLES / name).read_text()) if obj["kind"] in _KINDS]
        for obj in objects:
            if obj["kind"] in {"Prometheus", "ThanosRuler", "Deployment"}:
                obj["spec"]["replicas"] = REPLICAS[obj["metadata"]["name"]]
            obj.get("spec", {}).pop("minReadySeconds", None)
        change(objects)
        for obj in objects:
            made = self.create(obj)
            if obj["kind"] in {"Prometheus", "ThanosRuler", "Deployment"}:
                metadata = made["metadata"]
                self.originals[f"{obj['kind']}/{metadata['namespace']}/{metadata['name']}"] = made["spec"]

    def _start_kubelet(self, undo: ExitStack) -> None:
        async def start() -> asyncio.Task[None]:
            return asyncio.create_task(self.kubelet.run())

        async def stop() -> None:
            running.cancel()
            await asyncio.wait({running})

        self._node = running = self.run(start())
        undo.callback(lambda: self.run(stop()))

    def _start_prometheus_operator(self, undo: ExitStack) -> None:
        program = build.ensure({"stack"})["prometheus-operator"]
        manifest = named(parse((_EXAMPLES / "10-prometheus-operator.yaml").read_text()), "Deployment", program.name)
        args = manifest["spec"]["template"]["spec"]["containers"][0]["args"]
        flags = [arg for arg in args if not arg.startswith("--web.listen-address")]
        kubeconfig = self._plane.user_kubeconfig("prometheus-operator", ["system:masters"])
        argv = ["setpriv", "--pdeathsig=KILL", "--", program, *flags, "--web.listen-address=127.0.0.1:0"]
        environment = {"PATH": os.defpath, "KUBECONFIG": str(kubeconfig)}
        with (self.folder / "prometheus-operator.log").open("wb") as log:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        undo.callback(process.wait)
        undo.callback(process.kill)


class Operators:
    """Starts operators, one at a time, by forking them from one process that has imported everything."""

    def __init__(self) -> None:
        self._zygote = subprocess.Popen(
            ["setpriv", "--pdeathsig=KILL", "--", sys.executable, "-m", "tests.integration.operator.victim"],
            cwd=_PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._pid: int | None = None
        self._said()

    def start(self, kubeconfig: Path, log: Path, writes: int, *, state_only: bool) -> int:
        order = {"kubeconfig": str(kubeconfig), "log": str(log), "writes": writes, "state_only": state_only}
        assert self._pid is None
        assert self._zygote.stdin is not None
        self._zygote.stdin.write(json.dumps(order) + "\n")
        self._zygote.stdin.flush()
        self._pid = int(self._said())
        return self._pid

    def wait(self) -> int:
        """Wait until the operator has ended: its exit code, negative for a signal."""
        code = int(self._said())
        self._pid = None
        return code

    def stop(self, signal_number: int = 15) -> int | None:
        """End the operator, if there is one."""
        if self._pid is None:
            return None
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal_number)
        return self.wait()

    @property
    def pid(self) -> int | None:
        """The operator's process id, while it is not waited for."""
        return self._pid

    def close(self) -> None:
        self.stop()
        self._zygote.communicate()

    def _said(self) -> str:
        assert self._zygote.stdout is not None
        line = self._zygote.stdout.readline()
        assert line, "the process that starts operators has ended"
        return line.strip()


def now() -> datetime:
    return datetime.now(UTC)


async def _end_tasks() -> None:
    """End what still runs in the loop, and let connections that are being closed close."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    for _ in range(3):
        await asyncio.sleep(0)


def _established(crd: Object) -> bool:
    conditions: Iterable[Mapping[str, str]] = crd.get("status", {}).get("conditions") or ()
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)
