from dataclasses import replace
from datetime import timedelta

import pytest

from monitoring_tls.model.certificate import KeyAlgorithm, LeafUsage
from monitoring_tls.pki.domain import create
from monitoring_tls.pki.verify import permits, verifiable_key, verifies
from tests.pki_support import CLIENT, NOW, SERVER, WORKING, PooledEntropy, adopted_material, domain, pooled_key

OURS = create(domain(), NOW, PooledEntropy())
OTHER = create(domain(), NOW, PooledEntropy())
SERVED = OURS.leaves[SERVER.name].chain
SHOWN = OURS.leaves[CLIENT.name].chain
CA = WORKING["plain"].make(pooled_key(KeyAlgorithm.RSA_2048, 0))


def test_our_leaves_verify() -> None:
    assert verifies(SERVED, OURS.bundle, LeafUsage.SERVER, "prometheus-grpc", NOW)
    assert verifies(SERVED, OURS.bundle, LeafUsage.SERVER, None, NOW)
    assert verifies(SHOWN, OURS.bundle, LeafUsage.CLIENT, None, NOW)
    assert verifies(SERVED, (*OTHER.bundle, *OURS.bundle), LeafUsage.SERVER, None, NOW)


def test_cmos_rsa_ca_and_nameless_client_verify_as_in_go() -> None:
    adopted = adopted_material(WORKING["plain"])
    assert adopted.bundle[0].key_algorithm == "RSA-2048"
    client = adopted.leaves[CLIENT.name].chain
    assert client[0].dns_names == ()
    assert verifies(client, adopted.bundle, LeafUsage.CLIENT, None, NOW)
    assert not verifies(client, adopted.bundle, LeafUsage.CLIENT, "thanos-querier", NOW)


def test_what_does_not_verify() -> None:
    assert not verifies(SERVED, OTHER.bundle, LeafUsage.SERVER, None, NOW)
    assert not verifies(SERVED, OURS.bundle, LeafUsage.SERVER, "other-name", NOW)
    assert not verifies(SERVED, OURS.bundle, LeafUsage.CLIENT, None, NOW)
    assert not verifies(SHOWN, OURS.bundle, LeafUsage.SERVER, None, NOW)
    assert not verifies(SERVED, (), LeafUsage.SERVER, None, NOW)
    assert not verifies((), OURS.bundle, LeafUsage.SERVER, None, NOW)
    assert not verifies(SERVED, OURS.bundle, LeafUsage.SERVER, None, SERVED[0].not_after + timedelta(seconds=1))
    assert not verifies(SERVED, OURS.bundle, LeafUsage.SERVER, None, SERVED[0].not_before - timedelta(seconds=1))


def test_an_expired_trust_anchor_is_refused_as_in_go() -> None:
    assert not verifies(OURS.bundle, OURS.bundle, LeafUsage.SERVER, None, OURS.bundle[0].not_after + timedelta(days=1))


@pytest.mark.parametrize(
    ("algorithm", "accepted"),
    [
        ("RSA-2048", True),
        ("RSA-8192", True),
        ("RSA-1024", False),
        ("ECDSA-P256", True),
        ("ECDSA-P521", True),
        ("ECDSA-P224", False),
        ("Ed25519", False),
        ("unknown (1.2.3)", False),
    ],
)
def test_verifiable_keys(algorithm: str, accepted: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert verifiable_key(replace(CA, key_algorithm=algorithm)) is accepted


@pytest.mark.parametrize("usage", list(LeafUsage))
def test_usages(usage: LeafUsage) -> None:
    assert permits(None, usage)
    assert permits(frozenset({"2.5.29.37.0"}), usage)
    assert permits(frozenset({"1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"}), usage)
    assert not permits(frozenset(), usage)
    assert not permits(frozenset({"1.3.6.1.5.5.7.3.3"}), usage)
