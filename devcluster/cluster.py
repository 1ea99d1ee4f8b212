"""A clone's local cluster: brought up, repaired, looked into and taken down; its state is in `.devcluster`."""

import datetime as dt
import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devcluster import build, cgroups, images, prerequisites, serve
from devcluster.client import ApiClient, api_ready, default_service_account, wait_until
from devcluster.errors import DevClusterError
from devcluster.network import NodeNetwork
from devcluster.node import Node
from devcluster.node_commands import NODE_NAME, PAUSE_IMAGE
from devcluster.processes import ProcessRef
from devcluster.progress import Progress
from devcluster.state import ClusterState, forget_launcher, launcher

_START_SECONDS: Final = 180.0  # 4 s on idle cores; a build beside it may take them all
_REPAIR_SECONDS: Final = 20.0  # for a running cluster to answer, before it is started again
_FRESH: Final = dt.timedelta(seconds=15)  # the kubelet reports every 5 s
_END_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Status:
    """What there is of a cluster.

    Args:
        nodes: 0 or 1, or None where there is no cluster.
        process: The process that stands for it, if it runs.
        usable: Whether it answers, and its node is ready with a fresh heartbeat.
    """

    nodes: int | None
    process: ProcessRef | None
    usable: bool


class Cluster:
    """The local cluster of one clone.

    Args:
        root: The project's folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._state = self._root / ".devcluster"
        self._node = Node(self._state)

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of the administrator."""
        return self._state / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        """Every request that the API server got: one audit.k8s.io/v1 Event a line, level Metadata."""
        return self._state / "audit.log"

    @property
    def node_ip(self) -> str:
        """The node's address, which this machine reaches.

        Raises:
            DevClusterError: There is no node.
        """
        recorded = ClusterState.load(self._state)
        if recorded is None or recorded.network is None:
            raise DevClusterError("there is no cluster with a node", "make cluster")
        return NodeNetwork(recorded.network).node_address

    def up(self, nodes: int = 1, progress: Progress | None = None) -> None:
        """Bring the cluster up, building what is missing; at once where it is up, and repairing it where it is not.

        Args:
            nodes: 1, or 0 for only the control plane, which needs no root.
            progress: Where the work is shown; by default standard error.

        Raises:
            DevClusterError: It cannot be had; says why and what to do.
            ValueError: `nodes` is something else.
        """
        if nodes not in {0, 1}:
            msg = f"nodes must be 0 or 1, not {nodes}"
            raise ValueError(msg)
        shown = progress or Progress()
        with self._locked():
            recorded = ClusterState.load(self._state)
            if recorded is not None and recorded.nodes != nodes:
                raise DevClusterError(
                    f"the cluster here was started with {recorded.nodes} nodes", "make cluster-down first"
                )
            if self._repairs_itself(nodes):
                return
            prerequisites.check(node=bool(nodes), node_checks=[cgroups.unsupported] if nodes else [])
            if nodes:
                prerequisites.install_packages(shown)
            programs = build.ensure(["control-plane", "node"] if nodes else ["control-plane"], shown)
            pause = images.node_images(shown)[PAUSE_IMAGE] if nodes else None
            with shown.step("Starting the cluster" if recorded is None else "Starting the cluster again") as step:
                self._end()
                ClusterState(nodes).save(self._state) if recorded is None else None
                since = dt.datetime.now(dt.UTC).replace(microsecond=0)
                if pause:
                    self._node.start(programs, pause)
                else:
                    serve.start(self._state)
                step.update("waiting for it to be ready")
                self._wait_until_usable(nodes, since)

    def down(self) -> None:
        """Take the cluster down, and remove everything that was made for it.

        Raises:
            DevClusterError: Something of it does not go away.
        """
        if not self._state.exists():
            return
        with self._locked():
            recorded = ClusterState.load(self._state)
            self._end()
            if recorded is not None and recorded.nodes:
                self._node.forget()
            mounts = Path("/proc/self/mountinfo").read_text().splitlines()
            if any(line.split()[4].startswith(f"{self._state}/") for line in mounts):
                raise DevClusterError(f"something is mounted below {self._state}", "unmount it, then try again")
            shutil.rmtree(self._state)

    def status(self) -> Status:
        """What there is of the cluster at this moment."""
        recorded = ClusterState.load(self._state)
        if recorded is None:
            return Status(None, None, usable=False)
        running = launcher(self._state)
        process = running if running and running.alive() else None
        return Status(recorded.nodes, process, usable=process is not None and self._usable(recorded.nodes, None))

    def import_images(self, tars: Iterable[Path]) -> None:
        """Give the node images, as tars in OCI layout.

        Raises:
            DevClusterError: The node does not run, or an import failed.
        """
        self._node.import_images(tars)

    def exec(self, argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a program inside the node's namespaces, to look around.

        Raises:
            DevClusterError: The node does not run.
        """
        return self._node.run(argv)

    def _repairs_itself(self, nodes: int) -> bool:
        """Whether the cluster runs and answers, if need be after its own supervisor has started a program again."""
        running = launcher(self._state)
        if running is None:
            return False
        deadline = time.monotonic() + _REPAIR_SECONDS
        while running.alive() and time.monotonic() < deadline:
            if self._usable(nodes, None):
                return True
            time.sleep(0.1)
        return False

    def _wait_until_usable(self, nodes: int, since: dt.datetime) -> None:
        started = time.monotonic()

        def broken() -> str | None:
            running = launcher(self._state)
            if running is None:
                return None if time.monotonic() - started < _END_SECONDS else "the cluster's process did not start"
            return None if running.alive() else "the cluster's process ended"

        wait_until(
            "a usable cluster",
            lambda: self._usable(nodes, since),
            seconds=_START_SECONDS,
            broken=broken,
            remedy=f"see the logs in {self._state / 'log'}",
        )

    def _usable(self, nodes: int, since: dt.datetime | None) -> bool:
        """Whether pods can be created and, with a node, would be started."""
        if not self.kubeconfig.exists():
            return False
        client = ApiClient(self.kubeconfig)
        oldest = since or dt.datetime.now(dt.UTC) - _FRESH
        return (
            client.holds(api_ready)
            and all(client.holds(default_service_account(name)) for name in ("default", "kube-system"))
            and (not nodes or client.holds(lambda asked: node_ready(asked.get(f"/api/v1/nodes/{NODE_NAME}"), oldest)))
        )

    def _end(self) -> None:
        """End whatever runs of the cluster; its folder stays."""
        recorded = ClusterState.load(self._state)
        if recorded is None or recorded.nodes:
            if recorded is not None or launcher(self._state):
                self._node.stop()
            return
        running = launcher(self._state)
        if running and not running.end(grace=_END_SECONDS):
            raise DevClusterError(f"process {running.pid} of the cluster does not end", "see dmesg for the reason")
        forget_launcher(self._state)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One command at a time; the clone's own folder is locked, so that no lock file is left behind."""
        descriptor = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def node_ready(node: dict[str, object], oldest: dt.datetime) -> bool:
    """Whether a node's Ready condition is true and not a leftover: a node that ended still shows its old one.

    Args:
        node: The Node object.
        oldest: The heartbeat must not be older.
    """
    status = node["status"]
    if not isinstance(status, dict):
        return False
    return any(
        condition["type"] == "Ready"
        and condition["status"] == "True"
        and dt.datetime.fromisoformat(condition["lastHeartbeatTime"]) >= oldest
        for condition in status.get("conditions", [])
    )
