"""The node as the machine sees it: started, looked into, and ended."""

import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from devcluster import cgroups, network
from devcluster.client import wait_until
from devcluster.errors import DevClusterError
from devcluster.network import NodeNetwork
from devcluster.node_commands import NODE_NAME, NodeLayout
from devcluster.node_init import LAYOUT
from devcluster.pki import Pki
from devcluster.processes import ProcessRef
from devcluster.state import ClusterState, forget_launcher, launcher

_PROJECT: Final = Path(__file__).parents[1]
_ENTERED: Final = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup")
_LAUNCH_SECONDS: Final = 20.0
_LINK_GONE_SECONDS: Final = 10.0


class Node:
    """The one node of a cluster.

    Args:
        state: The cluster's folder.
    """

    def __init__(self, state: Path) -> None:
        self._state = state

    def pid1(self) -> ProcessRef | None:
        """The process whose namespaces are the node; None where it does not run."""
        running = launcher(self._state)
        return next(iter(running.children()), None) if running and running.alive() else None

    def start(self, programs: Mapping[str, Path], pause_tar: Path) -> None:
        """Start the node; returns when its programs are being started.

        Everything that will have to be removed is recorded before it is made.

        Raises:
            DevClusterError: The machine refuses a part of it.
        """
        recorded = ClusterState.load(self._state) or ClusterState(nodes=1)
        # The folder needs a state to be a valid owner of its claim.
        recorded.save(self._state)
        claimed = network.claim(self._state, recorded.network)
        folders, enabled = cgroups.planned(claimed.name)
        recorded = recorded.changed(self._state, network=claimed.index, cgroups=folders, enabled=enabled)
        layout = NodeLayout(programs, self._state, claimed, pause_tar)
        self._write_files(layout)
        try:
            cgroups.create(folders, enabled)
            self._launch()
            pid1 = self._wait_for_pid1()
            cgroups.delegate(folders, [reference.pid for reference in (launcher(self._state), pid1) if reference])
            # pid 1 has been waiting for this: from here on it starts the programs.
            network.connect(claimed, pid1.pid, self._state)
        except OSError as error:
            raise DevClusterError(f"the machine refuses the node's namespaces: {error}", "is this root?") from error

    def stop(self) -> None:
        """End the node and remove what it had outside of its namespaces; its folder stays.

        Raises:
            DevClusterError: Something does not go away.
        """
        for process in (self.pid1(), launcher(self._state)):
            if process and not process.end(grace=0):
                raise DevClusterError(f"process {process.pid} of the node does not end", "see dmesg for the reason")
        forget_launcher(self._state)
        recorded = ClusterState.load(self._state)
        if recorded is None:
            return
        if recorded.network is not None:
            network.disconnect(NodeNetwork(recorded.network), self._state)
        if left := cgroups.remove(recorded.cgroups, recorded.enabled):
            raise DevClusterError(f"control groups cannot be removed: {', '.join(left)}", "see their cgroup.procs")
        recorded.changed(self._state, cgroups=(), enabled=())

    def forget(self) -> None:
        """Give back what the node keeps between two starts."""
        network.release(self._state)

    def ended(self) -> str | None:
        """That the node ended by itself, in one line; None while it runs."""
        return None if self.pid1() else "the node's first process ended"

    def run(self, argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a program inside the node's namespaces.

        Raises:
            DevClusterError: The node does not run.
        """
        pid1 = self.pid1()
        if pid1 is None:
            raise DevClusterError("there is no running node", "make cluster")
        return subprocess.run(
            ["nsenter", f"--target={pid1.pid}", *_ENTERED, "--", *argv], capture_output=True, text=True, check=False
        )

    def import_images(self, tars: Iterable[Path]) -> None:
        """Give containerd images, as tars in OCI layout.

        Raises:
            DevClusterError: The node does not run, or an import failed.
        """
        layout = NodeLayout.parse((self._state / LAYOUT).read_text())
        for tar in tars:
            result = self.run(layout.import_argv(tar))
            if result.returncode:
                raise DevClusterError(f"{tar} cannot be imported", "see the details", result.stderr.strip())

    def _write_files(self, layout: NodeLayout) -> None:
        claimed = layout.network
        names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
        Pki.ensure(
            self._state / "pki",
            server_names=[
                *names,
                "localhost",
                "127.0.0.1",
                claimed.node_address,
                claimed.first_service_address,
            ],
            node=NODE_NAME,
        )
        layout.write_files()
        (self._state / LAYOUT).write_text(layout.dump())

    def _launch(self) -> None:
        with (self._state / "log" / "node.log").open("ab") as log:
            subprocess.run(
                # --fork: the node is nobody's child, so whoever started it need not be there to reap it.
                ["setsid", "--fork", sys.executable, "-m", "devcluster.node_init", "join", str(self._state)],
                cwd=_PROJECT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=True,
            )

    def _wait_for_pid1(self) -> ProcessRef:
        wait_until(
            "the node's first process",
            lambda: self.pid1() is not None,
            seconds=_LAUNCH_SECONDS,
            broken=self._failed_launch,
            remedy=f"see {self._state / 'log' / 'node.log'}",
        )
        pid1 = self.pid1()
        if pid1 is None:
            raise DevClusterError("the node's first process ended", f"see {self._state / 'log' / 'node.log'}")
        return pid1

    def _failed_launch(self) -> str | None:
        running = launcher(self._state)
        return "the node's namespaces were refused" if running and not running.alive() else None
