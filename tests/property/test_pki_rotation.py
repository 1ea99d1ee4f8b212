"""Every interleaving of pods during a rotation: whoever must talk can, both ways."""

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitoring_tls.errors import PkiError
from monitoring_tls.model.certificate import KeyAlgorithm
from monitoring_tls.pki.checks import cross_signing_obstacles
from monitoring_tls.pki.domain import Material, begin_cross_signed
from tests.pki_pods import LATER, Pod, Way, can_talk, way
from tests.pki_support import NOW, WORKING, PooledEntropy, adopted_material, domain

OLD = (KeyAlgorithm.RSA_2048, KeyAlgorithm.ECDSA_P256, KeyAlgorithm.ECDSA_P521)
NEW = (KeyAlgorithm.ECDSA_P256, KeyAlgorithm.ECDSA_P384, KeyAlgorithm.RSA_2048)
CROSSABLE = tuple(
    kind for kind, ca in WORKING.items() if not cross_signing_obstacles(adopted_material(ca).bundle[0], NOW, NOW)
)
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _pods(among: tuple[Material, ...]) -> st.SearchStrategy[Pod]:
    return st.builds(Pod, st.sampled_from(among), st.sampled_from(among))


def _all_can_talk(pods: list[Pod]) -> bool:
    return all(can_talk(client, server) for client, server in itertools.product(pods, repeat=2))


@QUICK
@given(data=st.data(), kind=st.sampled_from(CROSSABLE), old=st.sampled_from(OLD), new=st.sampled_from(NEW))
def test_cross_signed_any_mix_of_pods_talks(
    data: st.DataObject, kind: str, old: KeyAlgorithm, new: KeyAlgorithm
) -> None:
    for phase in way(kind, longer=False, old=old, new=new).phases:
        assert _all_can_talk(data.draw(st.lists(_pods(phase), min_size=2, max_size=5)))


@QUICK
@given(data=st.data(), kind=st.sampled_from(tuple(WORKING)), old=st.sampled_from(OLD), new=st.sampled_from(NEW))
def test_longer_way_any_mix_of_pods_talks(data: st.DataObject, kind: str, old: KeyAlgorithm, new: KeyAlgorithm) -> None:
    for phase in way(kind, longer=True, old=old, new=new).phases:
        assert _all_can_talk(data.draw(st.lists(_pods(phase), min_size=2, max_size=5)))


@pytest.mark.parametrize("kind", CROSSABLE)
def test_cross_signed_every_pair_of_states_talks(kind: str) -> None:
    for phase in way(kind, longer=False).phases:
        assert _all_can_talk([Pod(*states) for states in itertools.product(phase, repeat=2)])


def test_both_kinds_of_ca_are_among_those_tried() -> None:
    assert {"plain", "path length 1", "any usage"} <= set(CROSSABLE)
    assert not {"path length 0", "constrained to all our names"} & set(CROSSABLE)


@pytest.mark.parametrize("longer", [False, True])
def test_control_old_and_finished_new_do_not_talk(longer: bool) -> None:  # noqa: FBT001 - a parameter of the test
    stages = way("plain", longer=longer).stages
    before, after = stages[0][0], stages[-1][0]
    old, new = Pod(before, before), Pod(after, after)
    assert can_talk(old, old)
    assert can_talk(new, new)
    assert not can_talk(old, new)
    assert not can_talk(new, old)


def test_control_each_part_of_the_protocol_is_needed() -> None:
    before, after = (stage[0] for stage in way("plain", longer=False).stages[:2])
    finished = way("plain", longer=False).stages[2][0]
    old = Pod(before, before)
    assert can_talk(old, Pod(after, after))
    # The cross-signed certificate lets old pods accept the new leaf, and the old CA in the bundle the old leaf.
    assert not can_talk(old, Pod(finished, after))
    assert not can_talk(old, Pod(after, finished))


def test_control_the_longer_way_skips_no_step() -> None:
    way_ = way("path length 0", longer=True)
    before, _, issued, _ = (stage[0] for stage in way_.stages)
    assert not can_talk(Pod(before, before), Pod(issued, issued))


def test_control_too_early_a_retirement_is_seen() -> None:
    way_ = way("plain", longer=False)
    everything = Way((way_.stages[0], way_.stages[2]))
    (phase,) = everything.phases
    assert not _all_can_talk([Pod(*states) for states in itertools.product(phase, repeat=2)])


@pytest.mark.parametrize("kind", ["path length 0", "constrained to the server's name"])
def test_cross_signing_what_would_not_verify_is_refused(kind: str) -> None:
    old = adopted_material(WORKING[kind])
    with pytest.raises(PkiError, match="would not verify"):
        begin_cross_signed(old, domain(), "test", NOW, PooledEntropy())
    assert cross_signing_obstacles(old.bundle[0], NOW, NOW + LATER)
