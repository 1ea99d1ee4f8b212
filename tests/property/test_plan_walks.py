"""A rotation, whichever way it goes: nobody is ever refused, nothing is lost, nobody waits for ever."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from monitoring_tls.model.certificate import KeyAlgorithm
from monitoring_tls.model.component import WorkloadRef
from tests.pki_support import WORKING
from tests.property.world import lagging, operator, walk
from tests.property.world.quick import remembered
from tests.property.world.rules import finished
from tests.property.world.stacks import K8S, QUERIER, RULER, deaf, desired, running, with_policy
from tests.property.world.values import World

PATH_LENGTH_0 = WORKING["path length 0"]


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with remembered():
        yield


def _pair(*, reloads_leaf: bool = True, blind: bool = True) -> World:
    wish = desired((K8S, QUERIER), reloads_leaf=reloads_leaf, blind=blind, requested="a test")
    return running(wish, replicas=1)


def _longer(*, reloads_leaf: bool = True) -> World:
    wish = desired((K8S, QUERIER), reloads_leaf=reloads_leaf, requested="a test")
    return running(wish, PATH_LENGTH_0, replicas=1)


WORLDS: Mapping[str, World] = {
    "server and client, the operator is killed once": replace(_pair(), crashes=1),
    "server and client, a derived Secret is lost": replace(_pair(), losses=1),
    "server and client that both have a port": _pair(blind=False),
    "server and client that re-read nothing": _pair(reloads_leaf=False),
    "the longer way": _longer(),
    "the longer way, re-reading nothing": _longer(reloads_leaf=False),
    "the longer way, and a server that is deaf": deaf(_longer(), K8S),
    "two servers": running(desired((K8S, RULER), requested="a test"), replicas=1),
    "two pods": running(desired((QUERIER,), requested="a test"), replicas=2),
}


@pytest.mark.parametrize("name", WORLDS)
def test_every_way_keeps_the_rules_and_comes_to_the_end(name: str) -> None:
    walked = walk.everywhere(WORLDS[name])
    assert walked.ends > 0
    assert walked.states > 100


ORDERS: tuple[tuple[WorkloadRef, ...], ...] = ((K8S, RULER, QUERIER), (QUERIER, K8S), (K8S, QUERIER, RULER))


def at_random(examples: int) -> settings:
    """Of a walk at random nothing is left to make smaller."""
    return settings(
        max_examples=examples,
        deadline=None,
        phases=(Phase.explicit, Phase.reuse, Phase.generate),
        suppress_health_check=[HealthCheck.too_slow],
    )


@st.composite
def stacks(draw: st.DrawFn) -> World:
    """A stack with an adopted CA of any kind that works."""
    new = draw(st.sampled_from((KeyAlgorithm.ECDSA_P256, KeyAlgorithm.ECDSA_P384)))
    old = draw(st.sampled_from((KeyAlgorithm.ECDSA_P256, KeyAlgorithm.RSA_2048, KeyAlgorithm.ECDSA_P521)))
    wish = desired(draw(st.sampled_from(ORDERS)), reloads_leaf=draw(st.booleans()), blind=draw(st.booleans()))
    world = running(with_policy(wish, new), WORKING[draw(st.sampled_from(sorted(WORKING)))], algorithm=old)
    return replace(world, crashes=2, losses=draw(st.integers(0, 1)), requests=("first", "second"))


SEEDS = st.integers(0, 2**32)


@at_random(60)
@given(start=stacks(), seed=SEEDS)
def test_ways_at_random_with_several_rotations_renewals_and_every_mishap(start: World, seed: int) -> None:
    end = walk.at_random(replace(start, jumps=1), seed, steps=120)
    assert finished(end)
    assert operator.step(end) is None


@at_random(40)
@given(start=stacks(), seed=SEEDS)
def test_ways_at_random_with_caches_that_are_behind(start: World, seed: int) -> None:
    end = lagging.at_random(start, seed, steps=250)
    assert finished(end)
    assert operator.step(end) is None
