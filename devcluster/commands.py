"""Command lines of the control plane's programs, the same with and without a node."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from devcluster import pki
from devcluster.pki import Pki, write_private

CONTROL_PLANE_PROGRAMS: Final = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")

# https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/: who asked for what and when; never a body, so never a key
_AUDIT_POLICY: Final = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}
_AUDIT_LOG_MEGABYTES: Final = 2048  # in one file: who reads it counts requests, and must not miss a rotated part


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the control plane listens, by TCP port."""

    etcd: int = 2379
    etcd_peer: int = 2380
    api: int = 6443
    controller_manager: int = 10257
    scheduler: int = 10259


@dataclass(frozen=True, slots=True)
class ControlPlaneLayout:
    """Everything that the command lines depend on.

    Args:
        programs: Executable of each program.
        state: The cluster's folder.
        credentials: Its certificates and tokens.
        address: IP address at which the API server is reached.
        ports: Where the programs listen.
        service_cidr: IP addresses of Services.
        node: Whether there is a kubelet and `address` is one that pods reach.
    """

    programs: Mapping[str, Path]
    state: Path
    credentials: Pki
    address: str
    ports: Ports
    service_cidr: str
    node: bool

    @property
    def server(self) -> str:
        """URL of the API server."""
        return f"https://{self.address}:{self.ports.api}"

    @property
    def audit_log(self) -> Path:
        """One JSON object a line: audit.k8s.io/v1 Event at level Metadata."""
        return self.state / "audit.log"

    def kubeconfig(self, user: str) -> Path:
        """Kubeconfig of one of the cluster's own users."""
        if user == pki.ADMIN:
            return self.state / "kubeconfig"
        return self.credentials.path(f"{user.replace(':', '-')}.kubeconfig")

    def write_files(self) -> None:
        """Write the kubeconfigs and the audit policy that the command lines name."""
        (self.state / "run").mkdir(exist_ok=True)
        for user in (pki.ADMIN, pki.CONTROLLER_MANAGER, pki.SCHEDULER):
            self.credentials.write_token_kubeconfig(self.kubeconfig(user), server=self.server, user=user)
        write_private(self.credentials.path("audit-policy.yaml"), yaml.safe_dump(_AUDIT_POLICY).encode())

    def argv(self, program: str) -> list[str]:
        """The command line of one of `CONTROL_PLANE_PROGRAMS`."""
        flags = {
            "etcd": self._etcd,
            "kube-apiserver": self._apiserver,
            "kube-controller-manager": self._controller_manager,
            "kube-scheduler": self._scheduler,
        }[program]()
        return [str(self.programs[program]), *(f"--{flag}" for flag in flags)]

    def _etcd(self) -> list[str]:
        client, peer = (f"http://127.0.0.1:{port}" for port in (self.ports.etcd, self.ports.etcd_peer))
        return [
            "name=e",
            f"data-dir={self.state / 'etcd'}",
            "unsafe-no-fsync",  # a development cluster that loses its last writes with the machine's power is fine
            "socket-reuse-port",  # the port may be held for this process by its starter
            f"listen-client-urls={client}",
            f"advertise-client-urls={client}",
            f"listen-peer-urls={peer}",
            f"initial-advertise-peer-urls={peer}",
            f"initial-cluster=e={peer}",
            "log-level=warn",
        ]

    def _apiserver(self) -> list[str]:
        path = self.credentials.path
        reachability = (
            ["bind-address=0.0.0.0", f"advertise-address={self.address}", "kubelet-preferred-address-types=InternalIP"]
            if self.node
            # No pod will ever ask for the Service `kubernetes`, and its endpoints may not be loopback addresses.
            else [f"bind-address={self.address}", "endpoint-reconciler-type=none"]
        )
        return [
            *reachability,
            f"secure-port={self.ports.api}",
            "permit-port-sharing",  # the port may be held for this process by its starter
            f"etcd-servers=http://127.0.0.1:{self.ports.etcd}",
            f"cert-dir={self.state / 'run'}",
            f"tls-cert-file={path('apiserver.crt')}",
            f"tls-private-key-file={path('apiserver.key')}",
            f"client-ca-file={path('ca.crt')}",
            f"token-auth-file={path('tokens.csv')}",
            "authorization-mode=Node,RBAC",
            "enable-admission-plugins=NodeRestriction",
            "allow-privileged",
            f"service-cluster-ip-range={self.service_cidr}",
            "service-account-issuer=https://kubernetes.default.svc",
            f"service-account-key-file={path('sa.pub')}",
            f"service-account-signing-key-file={path('sa.key')}",
            f"kubelet-client-certificate={path('apiserver-kubelet-client.crt')}",
            f"kubelet-client-key={path('apiserver-kubelet-client.key')}",
            f"kubelet-certificate-authority={path('ca.crt')}",
            f"requestheader-client-ca-file={path('front-proxy-ca.crt')}",
            "requestheader-allowed-names=front-proxy-client",
            "requestheader-username-headers=X-Remote-User",
            "requestheader-group-headers=X-Remote-Group",
            "requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"proxy-client-cert-file={path('front-proxy-client.crt')}",
            f"proxy-client-key-file={path('front-proxy-client.key')}",
            f"audit-policy-file={path('audit-policy.yaml')}",
            f"audit-log-path={self.audit_log}",
            f"audit-log-maxsize={_AUDIT_LOG_MEGABYTES}",
        ]

    def _controller_manager(self) -> list[str]:
        path = self.credentials.path
        return [
            *self._client_flags(pki.CONTROLLER_MANAGER),
            f"secure-port={self.ports.controller_manager}",
            f"service-account-private-key-file={path('sa.key')}",
            f"root-ca-file={path('ca.crt')}",
            f"cluster-signing-cert-file={path('ca.crt')}",
            f"cluster-signing-key-file={path('ca.key')}",
            "use-service-account-credentials",
            "kube-api-qps=200",  # at the default rate the default service accounts take 4 s longer than the node
            "kube-api-burst=400",
            # The default is below /usr, and is made where it is missing.
            f"flex-volume-plugin-dir={self.state / 'run' / 'volume-plugins'}",
        ]

    def _scheduler(self) -> list[str]:
        return [*self._client_flags(pki.SCHEDULER), f"secure-port={self.ports.scheduler}"]

    def _client_flags(self, user: str) -> list[str]:
        kubeconfig = self.kubeconfig(user)
        return [
            *(
                f"{flag}={kubeconfig}"
                for flag in ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
            ),
            "leader-elect=false",  # there is only one
            "bind-address=127.0.0.1",
            "permit-port-sharing",
        ]
