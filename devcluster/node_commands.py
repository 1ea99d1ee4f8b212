"""Files and command lines of the node's own programs: containerd, kubelet, kube-proxy, CoreDNS."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from devcluster import pki
from devcluster.commands import ControlPlaneLayout, Ports
from devcluster.network import NodeNetwork
from devcluster.pki import Pki

NODE_NAME: Final = "node1"
NODE_USER: Final = f"system:node:{NODE_NAME}"
CONTAINERD_SOCKET: Final = "/run/containerd/containerd.sock"
PAUSE_IMAGE: Final = "localhost/pause:1"
CLUSTER_DOMAIN: Final = "cluster.local"

# What the kubelet would write to these, machine-wide (setupKernelTunables in its container manager): inside the node
# they are plain files that already say so.
KERNEL_TUNABLES: Final = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}

_CONTAINERD: Final = """\
version = 3
root = "{state}/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri"]
[grpc]
  address = "{socket}"
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "{pause}"
[plugins."io.containerd.cri.v1.runtime"]
  # Lowering a score takes CAP_SYS_RESOURCE, which root may lack; without this every sandbox would fail.
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["{cni}"]
    conf_dir = "{state}/cni.d"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
      BinaryName = "{runc}"
"""

# Two blocks: in one, `template` would run before `kubernetes` and answer NXDOMAIN to everything.
_COREFILE: Final = """\
{domain}:53 in-addr.arpa:53 {{
    bind {address}
    errors
    kubernetes {domain} in-addr.arpa {{
        kubeconfig {kubeconfig}
        pods insecure
        ttl 1
    }}
}}
.:53 {{
    bind {address}
    template ANY ANY . {{
        rcode NXDOMAIN
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class NodeLayout:
    """Everything that the node's files and command lines depend on.

    Args:
        programs: Executable of each program, of the control plane and of the node.
        state: The cluster's folder.
        network: The cluster's addresses.
        pause_tar: The sandbox image, as a tar to be imported.
    """

    programs: Mapping[str, Path]
    state: Path
    network: NodeNetwork
    pause_tar: Path

    @property
    def control_plane(self) -> ControlPlaneLayout:
        """The part that every cluster has."""
        return ControlPlaneLayout(
            programs=self.programs,
            state=self.state,
            credentials=Pki(self.state / "pki"),
            address=self.network.node_address,
            ports=Ports(),
            service_cidr=self.network.service_cidr,
            node=True,
        )

    @property
    def config(self) -> Path:
        """Folder of the configuration files."""
        return self.state / "config"

    @property
    def search_path(self) -> str:
        """PATH of the node's programs: containerd finds its shim in it, kube-proxy nft, the kubelet mount."""
        folders = {str(path.parent): None for path in self.programs.values()}
        return ":".join([*folders, "/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin"])

    def dump(self) -> str:
        """The layout as JSON, for the process that is the node."""
        return json.dumps(
            {
                "programs": {name: str(path) for name, path in self.programs.items()},
                "state": str(self.state),
                "network": self.network.index,
                "pause_tar": str(self.pause_tar),
            }
        )

    @classmethod
    def parse(cls, text: str) -> "NodeLayout":
        """The inverse of `dump`."""
        content = json.loads(text)
        return cls(
            programs={name: Path(path) for name, path in content["programs"].items()},
            state=Path(content["state"]),
            network=NodeNetwork(content["network"]),
            pause_tar=Path(content["pause_tar"]),
        )

    def write_files(self) -> None:
        """Write everything that the command lines name, but the credentials."""
        for folder in ("cni.d", "config", "kubelet", "cni", "log", "tmp"):
            (self.state / folder).mkdir(exist_ok=True)
        layout = self.control_plane
        layout.write_files()
        for user in (pki.PROXY, pki.DNS, NODE_USER):
            layout.credentials.write_token_kubeconfig(layout.kubeconfig(user), server=layout.server, user=user)
        address = self.network.node_address
        (self.state / "cni.d" / "10-bridge.conflist").write_text(json.dumps(self._cni()))
        files = {
            "containerd.toml": _CONTAINERD.format(
                state=self.state,
                socket=CONTAINERD_SOCKET,
                pause=PAUSE_IMAGE,
                cni=self.programs["bridge"].parent,
                runc=self.programs["runc"],
            ),
            "kubelet.yaml": yaml.safe_dump(self._kubelet()),
            "Corefile": _COREFILE.format(domain=CLUSTER_DOMAIN, address=address, kubeconfig=layout.kubeconfig(pki.DNS)),
            "resolv.conf": f"nameserver {address}\n",
            "hosts": f"127.0.0.1 localhost\n{address} {NODE_NAME}\n",
        }
        for name, content in files.items():
            (self.config / name).write_text(content)

    def argv(self, program: str) -> list[str]:
        """The command line of one of the node's own programs."""
        executable = str(self.programs[program])
        kubeconfig = self.control_plane.kubeconfig
        match program:
            case "containerd":
                return [executable, f"--config={self.config / 'containerd.toml'}"]
            case "kubelet":
                return [
                    executable,
                    f"--config={self.config / 'kubelet.yaml'}",
                    f"--kubeconfig={kubeconfig(NODE_USER)}",
                    f"--hostname-override={NODE_NAME}",
                    f"--node-ip={self.network.node_address}",
                    "--root-dir=/var/lib/kubelet",
                    f"--cert-dir={self.state / 'run'}",
                ]
            case "kube-proxy":
                return [
                    executable,
                    f"--kubeconfig={kubeconfig(pki.PROXY)}",
                    "--proxy-mode=nftables",
                    f"--cluster-cidr={self.network.pod_cidr}",
                    f"--hostname-override={NODE_NAME}",
                    # Connection tracking limits are the machine's, and not to be changed from a namespace.
                    "--conntrack-max-per-core=0",
                    "--conntrack-tcp-timeout-established=0s",
                    "--conntrack-tcp-timeout-close-wait=0s",
                ]
            case "coredns":
                return [executable, f"-conf={self.config / 'Corefile'}"]
        raise KeyError(program)

    def import_argv(self, tar: Path) -> list[str]:
        """The command line that gives containerd an image; to be run inside the node."""
        return [str(self.programs["ctr"]), "-a", CONTAINERD_SOCKET, "-n", "k8s.io", "images", "import", str(tar)]

    def _cni(self) -> dict[str, Any]:
        bridge = {
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": True,
            "hairpinMode": True,
            "ipMasq": False,
            "ipam": {
                "type": "host-local",
                "dataDir": "/var/lib/cni/networks",
                "ranges": [[{"subnet": self.network.pod_cidr}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }
        return {"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge]}

    def _kubelet(self) -> dict[str, Any]:
        path = self.control_plane.credentials.path
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(path("ca.crt"))},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(path("kubelet.crt")),
            "tlsPrivateKeyFile": str(path("kubelet.key")),
            "cgroupDriver": "cgroupfs",
            "failCgroupV1": False,  # the default would refuse to start on version 1
            "failSwapOn": False,
            "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
            "clusterDNS": [self.network.node_address],
            "clusterDomain": CLUSTER_DOMAIN,
            "resolvConf": str(self.config / "resolv.conf"),
            "volumePluginDir": "/var/lib/kubelet/volume-plugins",  # the default is below /usr
            "syncFrequency": "2s",  # a changed Secret reaches its pods in 2 s instead of 10 s to 14 s
            "configMapAndSecretChangeDetectionStrategy": "Watch",
            "nodeStatusUpdateFrequency": "5s",
            # No registry could bring a collected image back.
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "imageMinimumGCAge": "1000h",
            "evictionHard": {
                "memory.available": "100Mi",
                "nodefs.available": "1%",
                "imagefs.available": "1%",
                "nodefs.inodesFree": "1%",
            },
        }
