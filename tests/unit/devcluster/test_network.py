import ipaddress
import itertools

import pytest

from devcluster.network import NodeNetwork, is_free


def test_no_two_clusters_share_an_address() -> None:
    subnets = [ipaddress.ip_network(subnet) for index in range(32) for subnet in NodeNetwork(index).subnets]
    assert not [pair for pair in itertools.combinations(subnets, 2) if pair[0].overlaps(pair[1])]


def test_addresses_lie_in_their_subnets() -> None:
    network = NodeNetwork(31)
    link = ipaddress.ip_network(network.link_subnet)
    assert ipaddress.ip_address(network.machine_address) in link
    assert ipaddress.ip_address(network.node_address) in link
    assert network.first_service_address == "10.223.0.1"


def test_the_link_name_fits_the_kernel() -> None:
    assert len(NodeNetwork(31).name) <= 15


@pytest.mark.parametrize(
    ("taken", "links", "free"),
    [
        ([], [], True),
        (["192.168.0.0/16", "10.99.1.0/30", "127.0.0.1"], ["eth0", "mtls1"], True),
        (["10.0.0.0/8"], [], False),
        (["10.99.0.1/30"], [], False),
        (["10.160.3.4"], [], False),
        (["10.192.0.0/24"], [], False),
        ([], ["mtls0"], False),
    ],
)
def test_is_free(taken: list[str], links: list[str], *, free: bool) -> None:
    assert is_free(NodeNetwork(0), taken, links) is free
