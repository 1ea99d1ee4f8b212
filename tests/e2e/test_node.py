"""The local node itself: real pods, repair after crashes, and nothing left behind."""

import contextlib
import http.client
import json
import os
import signal
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devcluster import build, images
from devcluster.client import ApiClient, wait_until
from devcluster.cluster import Cluster
from devcluster.errors import DevClusterError
from devcluster.network import NodeNetwork
from devcluster.node_commands import KERNEL_TUNABLES
from devcluster.processes import ProcessRef
from devcluster.state import ClusterState

pytestmark = pytest.mark.e2e

# Where Kubernetes, containerd and CNI put things on a machine unless they are told otherwise.
_USUAL_PLACES = (
    "/etc/cni",
    "/etc/containerd",
    "/etc/kubernetes",
    "/opt/cni",
    "/opt/containerd",
    "/run/containerd",
    "/run/flannel",
    "/run/netns",
    "/run/runc",
    "/usr/libexec/kubernetes",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/etcd",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
)


@pytest.fixture(scope="module")
def settings_before() -> dict[str, str]:
    return _kernel_settings()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, settings_before: dict[str, str]) -> Iterator[Cluster]:
    running = Cluster(tmp_path_factory.mktemp("clone"))
    try:
        running.up()
        yield running
    finally:
        running.down()


@pytest.fixture
def admin(cluster: Cluster) -> ApiClient:
    cluster.up()
    return ApiClient(cluster.kubeconfig)


def test_pods_run_and_are_reached_from_the_machine(cluster: Cluster, admin: ApiClient) -> None:
    cluster.import_images([images.program_image("etcd", build.ensure(["control-plane"])["etcd"])])
    admin.post("/api/v1/namespaces/default/services", _service("web"))
    admin.post("/apis/apps/v1/namespaces/default/deployments", _deployment("web"))

    def ready() -> bool:
        status = admin.get("/apis/apps/v1/namespaces/default/deployments/web")["status"]
        return bool(status.get("readyReplicas") == 2)

    _eventually("two ready pods", ready)
    service_address = admin.get("/api/v1/namespaces/default/services/web")["spec"]["clusterIP"]
    pods = admin.get("/api/v1/namespaces/default/pods?labelSelector=app%3Dweb")["items"]
    assert _health(pods[0]["status"]["podIP"], 2379)
    _eventually("the service's address", lambda: _health(service_address, 80))
    _eventually("DNS", lambda: _resolve("web.default.svc.cluster.local", cluster.node_ip) == service_address)
    log = admin.text("GET", f"/api/v1/namespaces/default/pods/{pods[0]['metadata']['name']}/log")
    assert "etcd" in log


def test_the_kubelet_finds_the_kernel_settings_it_wants(cluster: Cluster, admin: ApiClient) -> None:
    inside = {name: cluster.exec(["cat", f"/proc/sys/{name}"]).stdout.strip() for name in KERNEL_TUNABLES}
    assert inside == KERNEL_TUNABLES


def test_a_second_up_starts_nothing(cluster: Cluster, admin: ApiClient) -> None:
    before = _children(cluster)
    cluster.up()
    assert _children(cluster) == before


def test_up_with_another_number_of_nodes_is_refused(cluster: Cluster, admin: ApiClient) -> None:
    with pytest.raises(DevClusterError, match="make cluster-down first"):
        cluster.up(nodes=0)


@pytest.mark.parametrize("program", ["etcd", "kubelet", "containerd"])
def test_a_killed_program_is_started_again(cluster: Cluster, admin: ApiClient, program: str) -> None:
    before = _pid1(cluster)
    (killed,) = [child for child in before.children() if _name(child) == program]
    killed.send(signal.SIGKILL)
    assert killed.wait(10)
    _eventually(f"{program} again", lambda: program in map(_name, before.children()))
    cluster.up()
    assert cluster.status().usable
    assert _pid1(cluster) == before


def test_a_killed_node_is_repaired_with_all_its_objects(cluster: Cluster, admin: ApiClient) -> None:
    name = f"kept-{os.getpid()}"
    admin.post("/api/v1/namespaces", {"metadata": {"name": name}})
    before = _pid1(cluster)
    before.send(signal.SIGKILL)
    assert before.wait(10)
    _eventually("the end of the whole node", lambda: cluster.status().process is None)
    cluster.up()
    assert cluster.status().usable
    assert _pid1(cluster) != before
    assert admin.get(f"/api/v1/namespaces/{name}")["metadata"]["name"] == name


def test_down_leaves_nothing_and_spares_a_cluster_beside_it(
    cluster: Cluster, admin: ApiClient, tmp_path: Path, settings_before: dict[str, str]
) -> None:
    neighbour = _pid1(cluster)
    places = _existing_places()
    own = Cluster(tmp_path)
    own.up()
    state = tmp_path / ".devcluster"
    recorded = ClusterState.load(state)
    assert recorded is not None
    assert recorded.network is not None
    network = NodeNetwork(recorded.network)
    # The check below would find it: it does while the cluster is up.
    assert len(_traces(state, network)) > 20

    own.down()

    assert _traces(state, network) == []
    assert not state.exists()
    # Loading a kernel module adds settings; those that were there first must stay as they are.
    assert {name: value for name, value in _kernel_settings().items() if name in settings_before} == settings_before
    assert _existing_places() == places
    assert neighbour.alive()
    assert cluster.status().usable


def test_down_after_a_crash_and_down_again(tmp_path: Path) -> None:
    own = Cluster(tmp_path)
    own.up()
    recorded = ClusterState.load(tmp_path / ".devcluster")
    assert recorded is not None
    assert recorded.network is not None
    _pid1(own).send(signal.SIGKILL)
    own.down()
    assert _traces(tmp_path / ".devcluster", NodeNetwork(recorded.network)) == []
    own.down()


def test_control_plane_alone_goes_on_after_its_starter_and_leaves_nothing(tmp_path: Path) -> None:
    own = Cluster(tmp_path)
    own.up(nodes=0)
    try:
        first = own.status()
        assert first.usable
        assert ApiClient(own.kubeconfig).get("/api/v1/nodes")["items"] == []
        own.up(nodes=0)
        assert own.status() == first
        assert first.process is not None
        first.process.send(signal.SIGKILL)
        assert first.process.wait(10)
        own.up(nodes=0)
        assert own.status().usable
    finally:
        own.down()
    assert not _processes_naming(tmp_path)
    assert not (tmp_path / ".devcluster").exists()


def _eventually(what: str, condition: Callable[[], bool]) -> None:
    wait_until(what, condition, seconds=60, broken=lambda: None, remedy="")


def _pid1(cluster: Cluster) -> ProcessRef:
    process = cluster.status().process
    assert process is not None
    (pid1,) = process.children()
    return pid1


def _children(cluster: Cluster) -> set[ProcessRef]:
    return set(_pid1(cluster).children())


def _name(process: ProcessRef) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process.pid}/exe").readlink().name
    return ""


def _traces(state: Path, network: NodeNetwork) -> list[str]:
    """Everything of a cluster that the machine shows outside of the cluster's folder."""
    links = [link["ifname"] for link in _ip("link", "show")]
    routes = [route["dst"] for route in _ip("-4", "route", "show", "table", "all")]
    cgroups = [path for path, _, _ in os.walk("/sys/fs/cgroup") if network.name in Path(path).parts]
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(state) in line]
    claims = Path("/run/monitoring-tls-devcluster")
    claimed = [file for file in claims.iterdir() if file.read_text() == str(state)] if claims.exists() else []
    return [
        *_processes_naming(state),
        *(f"link {link}" for link in links if link == network.name),
        *(f"route {route}" for route in routes if route in network.subnets),
        *(f"cgroup {path}" for path in cgroups),
        *(f"mount {mount}" for mount in mounts),
        *(f"claim {file}" for file in claimed),
    ]


def _processes_naming(folder: Path) -> list[str]:
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            # Of pytest itself only a --basetemp could name it, and not this folder.
            if f"{folder}".encode() in file.read_bytes():
                found.append(f"process {file.parent.name}")
    return found


def _kernel_settings() -> dict[str, str]:
    """Settings that only somebody's decision changes; what counts or measures is left out."""
    folders = ("kernel", "vm", "net/core", "net/ipv4", "net/bridge", "net/netfilter", "user")
    counting = {"ns_last_pid", "nf_conntrack_count", "tainted", "nr", "uuid", "entropy_avail", "boot_id"}
    found = {}
    for folder in folders:
        for path, names, files in os.walk(Path("/proc/sys", folder)):
            names[:] = [name for name in names if name not in {"conf", "neigh", "random", "sched_domain"}]
            for file in files:
                if file not in counting:
                    with contextlib.suppress(OSError, UnicodeDecodeError):
                        found[f"{path}/{file}"] = Path(path, file).read_text()
    return found


def _existing_places() -> list[str]:
    return [place for place in _USUAL_PLACES if Path(place).exists()]


def _ip(*arguments: str) -> list[dict[str, Any]]:
    text = subprocess.run(["ip", "-json", *arguments], capture_output=True, text=True, check=True).stdout
    found: list[dict[str, Any]] = json.loads(text or "[]")
    return found


def _health(address: str, port: int) -> bool:
    connection = http.client.HTTPConnection(address, port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _resolve(name: str, server: str) -> str | None:
    """The address that a DNS server gives for a name (RFC 1035, section 4: one question, one answer at the end)."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    query = struct.pack(">HHHHHH", 1, 0, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.sendto(query, (server, 53))
        try:
            answer = client.recv(512)
        except OSError:
            return None
    answers = struct.unpack(">H", answer[6:8])[0]
    return socket.inet_ntoa(answer[-4:]) if answers == 1 else None


def _service(name: str) -> dict[str, object]:
    return {
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 2379}]},
    }


def _deployment(name: str) -> dict[str, object]:
    container = {
        "name": "etcd",
        "image": "localhost/etcd:1",
        "args": [
            "--data-dir=/tmp/etcd",
            "--listen-client-urls=http://0.0.0.0:2379",
            "--advertise-client-urls=http://127.0.0.1:2379",
        ],
        "readinessProbe": {"httpGet": {"path": "/health", "port": 2379}, "periodSeconds": 1},
    }
    return {
        "metadata": {"name": name},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "containers": [container],
                    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
                    "terminationGracePeriodSeconds": 1,
                },
            },
        },
    }
