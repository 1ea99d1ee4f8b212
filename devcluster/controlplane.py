"""A real Kubernetes control plane on loopback ports, without root: for the integration tests and `NODES=0`."""

import json
import os
import secrets
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, fields
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from devcluster import build, pki
from devcluster.client import ApiClient, api_ready, default_service_account, wait_until
from devcluster.commands import CONTROL_PLANE_PROGRAMS, ControlPlaneLayout, Ports
from devcluster.pki import Pki
from devcluster.progress import Progress

_ADDRESS: Final = "127.0.0.1"
_SERVICE_CIDR: Final = "10.96.0.0/16"  # nothing routes it: without a node a Service's address is only a number
_FIRST_SERVICE_ADDRESS: Final = "10.96.0.1"
_API_NAMES: Final = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
_START_SECONDS: Final = 180.0  # 3 s on idle cores; a build beside it may take them all
_STOP_SECONDS: Final = 10.0


class ControlPlane:
    """etcd, kube-apiserver, kube-controller-manager and kube-scheduler, started and ended together.

    Every program dies with the process that made this object, however that process ends: each is started by one
    thread that lives as long as the object, and asks the kernel for SIGKILL at that thread's end.

    Args:
        state_dir: Folder for credentials, data and logs. Started again on the same folder, the cluster has its
            objects again, and its ports too where they are free.
        programs: Executable of each program; built where missing.
        progress: Told what is being built.

    Raises:
        DevClusterError: A program cannot be built.
    """

    def __init__(
        self, state_dir: Path, *, programs: Mapping[str, Path] | None = None, progress: Progress | None = None
    ) -> None:
        self._state = state_dir.resolve()
        self._programs = programs or build.ensure(["control-plane"], progress)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._held = ExitStack()
        self._spawner: ThreadPoolExecutor | None = None
        self._layout: ControlPlaneLayout | None = None

    def start(self) -> None:
        """Start everything, and return when pods could be created.

        Raises:
            DevClusterError: It does not come up.
        """
        if self._layout is not None:
            return
        self._state.mkdir(parents=True, exist_ok=True)
        credentials = Pki.ensure(
            self._state / "pki", server_names=[*_API_NAMES, _ADDRESS, _FIRST_SERVICE_ADDRESS], node=None
        )
        self._spawner = ThreadPoolExecutor(1, thread_name_prefix="devcluster-spawner")
        self._layout = ControlPlaneLayout(
            programs=self._programs,
            state=self._state,
            credentials=credentials,
            address=_ADDRESS,
            ports=self._hold_ports(),
            service_cidr=_SERVICE_CIDR,
            node=False,
        )
        try:
            self._layout.write_files()
            for program in CONTROL_PLANE_PROGRAMS[:2]:
                self._spawn(program)
            self._wait_for_apiserver()
            for program in CONTROL_PLANE_PROGRAMS[2:]:
                self._spawn(program)
            self._wait("a working controller manager", default_service_account("default"))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End every program; what is in the state folder stays."""
        for program in reversed(CONTROL_PLANE_PROGRAMS):
            self._end(program)
        if self._spawner is not None:
            self._spawner.shutdown()
        self._held.close()
        self._spawner = self._layout = None

    def stop_apiserver(self) -> None:
        """End the API server alone: its port refuses connections until `start_apiserver`."""
        self._end("kube-apiserver")

    def start_apiserver(self) -> None:
        """Start the API server again, at the same port and on the same objects.

        Raises:
            DevClusterError: It does not come up.
        """
        if "kube-apiserver" not in self._running:
            self._spawn("kube-apiserver")
        self._wait_for_apiserver()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of the administrator (group system:masters)."""
        return self._started.kubeconfig(pki.ADMIN)

    @property
    def server(self) -> str:
        """URL of the API server."""
        return self._started.server

    @property
    def audit_log(self) -> Path:
        """Every request that the API server got: one audit.k8s.io/v1 Event a line, level Metadata."""
        return self._started.audit_log

    @property
    def pids(self) -> dict[str, int]:
        """Process id of each running program."""
        return {program: process.pid for program, process in self._running.items()}

    def user_kubeconfig(self, user: str, groups: Sequence[str] = ()) -> Path:
        """A kubeconfig of any user with any groups, authenticated by a client certificate."""
        target = self._new_kubeconfig_path()
        return self._started.credentials.write_certificate_kubeconfig(
            target, server=self.server, user=user, groups=groups
        )

    def service_account_kubeconfig(self, namespace: str, name: str, *, seconds: int = 3600) -> Path:
        """A kubeconfig of an existing service account, with a token made by a TokenRequest.

        Args:
            namespace: The account's namespace.
            name: The account's name.
            seconds: How long the token is good for; the API server grants no less than 600.

        Raises:
            ApiError: There is no such account.
        """
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": seconds},
        }
        token = ApiClient(self.kubeconfig).post(path, request)["status"]["token"]
        return self._started.credentials.write_token_kubeconfig(
            self._new_kubeconfig_path(), server=self.server, user=f"{namespace}:{name}", token=token
        )

    def ended(self) -> str | None:
        """Which program ended by itself, in one line with its log; None while all run."""
        for program, process in self._running.items():
            if process.poll() is not None:
                return f"{program} ended with status {process.returncode}"
        return None

    @property
    def _started(self) -> ControlPlaneLayout:
        if self._layout is None:
            msg = "the control plane is not started"
            raise RuntimeError(msg)
        return self._layout

    def _new_kubeconfig_path(self) -> Path:
        folder = self._state / "kubeconfigs"
        folder.mkdir(exist_ok=True)
        return folder / secrets.token_hex(8)

    def _hold_ports(self) -> Ports:
        """Choose a free port each, the one of last time where possible, and keep it from everybody else.

        A bound socket that does not listen refuses connections, and with SO_REUSEPORT lets a program of the same
        user listen beside it. So no port is lost to another process between choosing and listening, nor while the
        API server is down.
        """
        recorded = self._state / "ports.json"
        wanted = json.loads(recorded.read_text()) if recorded.exists() else {}
        ports = Ports(**{field.name: self._hold_port(wanted.get(field.name, 0)) for field in fields(Ports)})
        recorded.write_text(json.dumps(asdict(ports)))
        return ports

    def _hold_port(self, wanted: int) -> int:
        holder = self._held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        if wanted:
            # Without SO_REUSEPORT, so that a port which somebody else listens at (or holds) is refused.
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((_ADDRESS, wanted))
                except OSError:
                    wanted = 0
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind((_ADDRESS, wanted))
        port: int = holder.getsockname()[1]
        return port

    def _spawn(self, program: str) -> None:
        if self._spawner is None:
            msg = "the control plane is not started"
            raise RuntimeError(msg)
        # setpriv sets PR_SET_PDEATHSIG, which refers to the thread that forks: hence the one lasting thread.
        argv = ["setpriv", "--pdeathsig=KILL", "--", *self._started.argv(program)]
        log = self._log(program)
        log.parent.mkdir(exist_ok=True)
        with log.open("ab") as output:
            self._running[program] = self._spawner.submit(
                subprocess.Popen,
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._state,
                env={"PATH": os.defpath, "HOME": str(self._state)},
                start_new_session=True,  # ^C is for the starter, who ends the programs in order
            ).result()

    def _end(self, program: str) -> None:
        process = self._running.pop(program, None)
        if process is None:
            return
        # The API server would drain its open watches for a minute; nothing here is lost by not waiting for it.
        process.send_signal(signal.SIGKILL if program == "kube-apiserver" else signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _log(self, program: str) -> Path:
        return self._state / "log" / f"{program}.log"

    def _wait_for_apiserver(self) -> None:
        self._wait("a ready API server", api_ready)

    def _wait(self, what: str, check: Callable[[ApiClient], object]) -> None:
        client = ApiClient(self.kubeconfig)
        wait_until(
            what,
            lambda: client.holds(check),
            seconds=_START_SECONDS,
            broken=self.ended,
            remedy=f"see the logs in {self._state / 'log'}",
        )
