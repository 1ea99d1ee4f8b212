"""Each guard of the planner taken away by itself: the walk must notice, or it proves nothing."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from monitoring_tls.model.action import DomainStep, PatchWorkload, WriteDomain
from monitoring_tls.model.certificate import SecretView, Stage
from monitoring_tls.model.desired import Desired
from monitoring_tls.model.snapshot import Evidence, Outcome
from monitoring_tls.pki import domain
from monitoring_tls.planning import certificates, plan, proof, restarts
from monitoring_tls.planning.certificates import DomainView
from monitoring_tls.planning.proof import Fact, PodProof
from tests.pki_support import WORKING
from tests.property.world import lagging, walk
from tests.property.world.quick import remembered
from tests.property.world.stacks import K8S, QUERIER, RULER, deaf, desired, running
from tests.property.world.values import World
from tests.property.world.walk import BrokenRuleError

Patch = pytest.MonkeyPatch


def _pair(**options: bool) -> World:
    return running(desired((K8S, QUERIER), requested="a test", **options), replicas=1)


def _longer(**options: bool) -> World:
    wish = desired((K8S, QUERIER), requested="a test", **options)
    return running(wish, WORKING["path length 0"], replicas=1)


def _one() -> World:
    return running(desired((QUERIER,), requested="a test"), replicas=1)


def _servers() -> World:
    return running(desired((K8S, RULER), requested="a test"), replicas=1)


def nothing_is_waited_for(patch: Patch) -> None:
    patch.setattr(DomainView, "waits_for", property(lambda _view: ()))


def kubelets_are_taken_to_be_quick(patch: Patch) -> None:
    def view(*args: Any) -> DomainView:
        return replace(certificates.view_domain(*args), undelivered=())

    patch.setattr(plan, "view_domain", view)


def ending_pods_are_forgotten(patch: Patch) -> None:
    patch.setattr(certificates, "_strangers", lambda *_: ())


def trust_is_not_proved(patch: Patch) -> None:
    _proved(patch, "trusts")


def leaves_are_not_proved(patch: Patch) -> None:
    _proved(patch, "serves")


def _proved(patch: Patch, fact: str) -> None:
    original = proof.prove

    def prove(*args: Any) -> tuple[PodProof, ...]:
        return tuple(dataclasses.replace(found, **{fact: Fact.PROVED}) for found in original(*args))  # type: ignore[arg-type]

    patch.setattr(plan, "prove", prove)


def a_start_at_any_time_is_proof(patch: Patch) -> None:
    patch.setattr(proof, "surely_after", lambda *_: True)


def blind_processes_are_restarted_at_once(patch: Patch) -> None:
    patch.setattr(restarts, "_not_before", lambda *_: None)


def everybody_is_restarted_at_once(patch: Patch) -> None:
    def patches(states: Sequence[restarts.WorkloadState], *_: object) -> tuple[PatchWorkload, ...]:
        return tuple(state.patch for state in states if state.patch is not None)

    patch.setattr(plan, "next_patches", patches)


def nothing_is_cross_signed(patch: Patch) -> None:
    original = domain._issue

    def issue(*args: Any) -> Mapping[str, domain.Leaf]:
        wanted, names, issuer, _cross, now, entropy = args
        return original(wanted, names, issuer, None, now, entropy)

    patch.setattr(domain, "_issue", issue)
    patch.setattr(domain, "_must_verify", lambda *_: None)


def the_old_ca_leaves_the_bundle_at_once(patch: Patch) -> None:
    original = domain.begin_cross_signed

    def begin(*args: Any) -> domain.Material:
        after = original(*args)
        return replace(after, bundle=after.bundle[:1])

    patch.setattr(domain, "begin_cross_signed", begin)


def obstacles_are_not_seen(patch: Patch) -> None:
    patch.setattr(certificates, "cross_signing_obstacles", lambda *_: ())
    patch.setattr(domain, "_must_verify", lambda *_: None)


def leaves_are_issued_before_trust(patch: Patch) -> None:
    original = certificates.domain_action

    def act(snapshot: Any, wish: Desired, view: DomainView, now: datetime) -> WriteDomain | None:
        if view.rotation is not None and view.rotation.stage is Stage.INTRODUCED and view.secret is not None:
            return WriteDomain(view.domain.domain, DomainStep.ISSUE, "", view.secret.resource_version)
        return original(snapshot, wish, view, now)

    patch.setattr(plan, "domain_action", act)


def retiring_changes_the_hash(patch: Patch) -> None:
    _every_difference_restarts(patch, lambda bundle: [ca.fingerprint for ca in bundle])


def hashes_are_of_the_moment(patch: Patch) -> None:
    original = restarts.restart_hash
    count = iter(range(10**6))
    patch.setattr(restarts, "restart_hash", lambda *args: original(*args) + str(next(count)))


def _every_difference_restarts(patch: Patch, digest: Callable[[Any], object]) -> None:
    """A planner that writes the annotation whenever it differs, of the whole bundle."""
    original = restarts.assess

    def assess(snapshot: Any, wish: Desired, *args: Any) -> tuple[restarts.WorkloadState, ...]:
        found = []
        source: SecretView = snapshot.secrets[wish.catalogue.domains[0].namespace, wish.catalogue.domains[0].name]
        wanted = str(digest(source.certificates["ca.crt"]))
        for state in original(snapshot, wish, *args):
            view = state.workload
            change = PatchWorkload(view.ref, view.resource_version, "it differs", wanted)
            found.append(replace(state, patch=change if view.restart_hash != wanted else None))
        return tuple(found)

    patch.setattr(plan, "assess", assess)


def looks_from_before_count(patch: Patch) -> None:
    def doubt(evidence: Evidence | None, fresh: datetime, rules: Any, now: datetime) -> Fact:
        if evidence is None or now < fresh + rules.probe_deadline:
            return Fact.PENDING
        return Fact.BLOCKED if evidence.outcome is Outcome.UNREACHABLE else Fact.REFUTED

    patch.setattr(proof, "_doubt", doubt)


def an_old_copy_may_be_tried_again_at_once(patch: Patch) -> None:
    original = restarts._not_before
    patch.setattr(restarts, "_not_before", lambda proofs, _again, wish: original(proofs, [], wish))


def derived_secrets_are_not_repaired(patch: Patch) -> None:
    patch.setattr(plan, "derived_action", lambda *_: None)


def the_margin_of_kubelets_is_nothing(patch: Patch) -> None:
    original = plan.plan

    def planned(snapshot: Any, wish: Desired, now: datetime) -> plan.Plan:
        return original(snapshot, replace(wish, restart=replace(wish.restart, propagation=timedelta(0))), now)

    patch.setattr(plan, "plan", planned)


@dataclass(frozen=True)
class Case:
    """A guard taken away, in a world where it matters, and a word of what must be noticed."""

    without: Callable[[Patch], None]
    world: Callable[[], World]
    notices: str


CASES = (
    Case(nothing_is_waited_for, _pair, "does not accept"),
    Case(kubelets_are_taken_to_be_quick, lambda: _pair(blind=False), "does not accept"),
    Case(ending_pods_are_forgotten, _pair, "does not accept"),
    Case(trust_is_not_proved, _pair, "does not accept"),
    Case(leaves_are_not_proved, lambda: deaf(_longer(), K8S), "does not accept"),
    Case(a_start_at_any_time_is_proof, _pair, "does not accept"),
    Case(blind_processes_are_restarted_at_once, _pair, "rolled 2 times"),
    Case(everybody_is_restarted_at_once, _servers, "at the same time"),
    Case(nothing_is_cross_signed, _pair, "does not accept"),
    Case(the_old_ca_leaves_the_bundle_at_once, _pair, "does not accept"),
    Case(obstacles_are_not_seen, _longer, "does not accept"),
    Case(leaves_are_issued_before_trust, _longer, "does not accept"),
    Case(retiring_changes_the_hash, _pair, "times in one rotation"),
    Case(hashes_are_of_the_moment, _pair, "times in one rotation"),
    Case(looks_from_before_count, _longer, "times in one rotation"),
    Case(an_old_copy_may_be_tried_again_at_once, _pair, "out of reach"),
    Case(derived_secrets_are_not_repaired, lambda: replace(_one(), crashes=1), "out of reach"),
    Case(the_margin_of_kubelets_is_nothing, _pair, "does not accept"),
)


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with remembered():
        yield


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.without.__name__)
def test_a_missing_guard_is_noticed(case: Case, monkeypatch: Patch) -> None:
    start = case.world()
    case.without(monkeypatch)
    with pytest.raises(BrokenRuleError, match=case.notices):
        walk.everywhere(start)


def what_is_not_yet_written_counts(patch: Patch) -> None:
    def view(*args: Any) -> DomainView:
        found = certificates.view_domain(*args)
        return replace(found, undelivered=tuple(text for text in found.undelivered if "not yet written" not in text))

    patch.setattr(plan, "view_domain", view)


def _two_hundred_ways(start: World) -> None:
    for seed in range(200):
        lagging.at_random(start, seed, steps=250)


@pytest.mark.parametrize(
    "without", [what_is_not_yet_written_counts, kubelets_are_taken_to_be_quick, ending_pods_are_forgotten]
)
def test_a_missing_guard_is_noticed_where_caches_are_behind(
    without: Callable[[Patch], None], monkeypatch: Patch
) -> None:
    start = replace(running(desired((K8S, QUERIER, RULER), blind=False)), requests=("first", "second"))
    without(monkeypatch)
    with pytest.raises(BrokenRuleError, match="does not accept"):
        _two_hundred_ways(start)
