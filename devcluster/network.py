"""Addresses and names of a node on its machine, chosen so that clusters and the machine's own networks never meet.

Each cluster of a machine claims a number; its link, control groups, subnets and routes all follow from the number.
A claim is a file in `/run`, taken under a lock, that names the cluster's folder; it counts for as long as that folder
has a state.
"""

import fcntl
import ipaddress
import json
import os
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from devcluster.errors import DevClusterError

_CLAIMS: Final = Path("/run/monitoring-tls-devcluster")
_MOST_CLUSTERS: Final = 32
_TIMEOUT: Final = 10.0


@dataclass(frozen=True, slots=True)
class NodeNetwork:
    """Everything about a node that the machine around it sees.

    Args:
        index: The cluster's number on this machine.
    """

    index: int

    @property
    def name(self) -> str:
        """Name of the link on the machine's side, and of the node's control groups."""
        return f"mtls{self.index}"

    @property
    def link_subnet(self) -> str:
        """The subnet between machine and node."""
        return f"10.99.{self.index}.0/30"

    @property
    def machine_address(self) -> str:
        """The machine's end of the link."""
        return f"10.99.{self.index}.1"

    @property
    def node_address(self) -> str:
        """The node's end of the link: here are the API server, the kubelet, DNS and hostNetwork ports."""
        return f"10.99.{self.index}.2"

    @property
    def pod_cidr(self) -> str:
        """Pods' addresses."""
        return f"10.{160 + self.index}.0.0/16"

    @property
    def service_cidr(self) -> str:
        """Services' addresses."""
        return f"10.{192 + self.index}.0.0/16"

    @property
    def first_service_address(self) -> str:
        """The address that Kubernetes gives to the Service `kubernetes`."""
        return str(ipaddress.ip_network(self.service_cidr)[1])

    @property
    def subnets(self) -> tuple[str, str, str]:
        """All that must be free, and that the machine routes to the node."""
        return self.link_subnet, self.pod_cidr, self.service_cidr


def is_free(network: NodeNetwork, taken: Iterable[str], links: Iterable[str]) -> bool:
    """Whether a network meets none of the destinations and links that a machine already has.

    Args:
        network: The one to be used.
        taken: Addresses and subnets, as `ip route` and `ip address` name them.
        links: Names of the machine's links.
    """
    others = [ipaddress.ip_network(other, strict=False) for other in taken]
    ours = [ipaddress.ip_network(subnet) for subnet in network.subnets]
    return network.name not in links and not any(mine.overlaps(other) for mine in ours for other in others)


def claim(state: Path, recorded: int | None) -> NodeNetwork:
    """Take a free number for a cluster, or confirm the one that it has.

    Args:
        state: The cluster's folder.
        recorded: The number in its state, if it was started before.

    Returns:
        The network, which is the cluster's until `release`.

    Raises:
        DevClusterError: None is free, or the recorded one now belongs to somebody else.
    """
    with _registry() as claims:
        if recorded is not None and claims.get(recorded) == state:
            return NodeNetwork(recorded)
        candidates = range(_MOST_CLUSTERS) if recorded is None else [recorded]
        taken, links = _machine_networks()
        for index in candidates:
            if index not in claims and is_free(NodeNetwork(index), taken, links):
                (_CLAIMS / str(index)).write_text(str(state))
                return NodeNetwork(index)
    if recorded is not None:
        network = NodeNetwork(recorded)
        raise DevClusterError(
            f"the addresses of this cluster ({', '.join(network.subnets)}) are used by something else by now",
            "make cluster-down, then make cluster chooses others",
        )
    raise DevClusterError(
        "no free subnets for a node among 10.99.0.0/27, 10.160.0.0/11 and 10.192.0.0/11",
        "take down a cluster of another clone, or free a part of these networks",
    )


def release(state: Path) -> None:
    """Give a cluster's number back; does nothing where it has none."""
    with _registry() as claims:
        for index, owner in claims.items():
            if owner == state:
                (_CLAIMS / str(index)).unlink(missing_ok=True)
    with suppress(OSError):  # not empty: another cluster has a claim; or gone already
        _CLAIMS.rmdir()


def connect(network: NodeNetwork, pid: int, state: Path) -> None:
    """Lay the link between the machine and the network namespace of a process, and the machine's routes over it.

    Raises:
        DevClusterError: `ip` refused.
    """
    ip("link", "add", network.name, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
    ip("link", "set", network.name, "alias", _alias(state), "up")
    ip("address", "add", f"{network.machine_address}/30", "dev", network.name)
    for subnet in (network.pod_cidr, network.service_cidr):
        ip("route", "add", subnet, "via", network.node_address)


def disconnect(network: NodeNetwork, state: Path) -> None:
    """Remove the link and with it the routes, if it is there and this cluster's; both usually end with the node."""
    for link in _ip_json("link", "show"):
        if link["ifname"] == network.name and link.get("ifalias") == _alias(state):
            with suppress(DevClusterError):  # it may go by itself at this very moment
                ip("link", "delete", network.name)


def ip(*arguments: str) -> str:
    """Run iproute2's `ip`.

    Raises:
        DevClusterError: It failed.
    """
    result = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    if result.returncode:
        raise DevClusterError(
            f"ip {' '.join(arguments)}: {result.stderr.strip()}", "is this root, with iproute2 whole?"
        )
    return result.stdout


def _alias(state: Path) -> str:
    return f"devcluster {state}"[:255]  # IFALIASZ


def _ip_json(*arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(ip("-json", *arguments) or "[]")
    return found


def _machine_networks() -> tuple[list[str], list[str]]:
    routes = (route["dst"] for route in _ip_json("-4", "route", "show", "table", "all"))
    links = _ip_json("-4", "address", "show")
    addresses = [f"{address['local']}/{address['prefixlen']}" for link in links for address in link["addr_info"]]
    names = [link["ifname"] for link in _ip_json("link", "show")]
    return [*(route for route in routes if route != "default"), *addresses], names


@contextmanager
def _registry() -> Iterator[dict[int, Path]]:
    """The claims that count, by number, under a lock that leaves no file behind (the folder itself is locked)."""
    descriptor = os.open(_CLAIMS.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        _CLAIMS.mkdir(exist_ok=True)
        claims = {}
        for file in _CLAIMS.iterdir():
            owner = Path(file.read_text())
            if (owner / "state.json").exists():
                claims[int(file.name)] = owner
            else:
                file.unlink()
        yield claims
    finally:
        os.close(descriptor)
