"""What happens to a whole stack, from the first plan to the last: each story once, the fair way."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from monitoring_tls.model import annotations as names
from monitoring_tls.model.action import DeletePod, PatchWorkload, WriteDerived, WriteDomain
from monitoring_tls.model.component import WorkloadRef
from monitoring_tls.model.desired import Mode
from monitoring_tls.model.snapshot import Evidence, Outcome
from tests.pki_support import NOW, SERVER, WORKING, domain
from tests.property.world import environment, operator, walk
from tests.property.world.quick import remembered
from tests.property.world.reading import held
from tests.property.world.rules import broken, finished
from tests.property.world.stacks import (
    HERE,
    K8S,
    QUERIER,
    RULER,
    SECRETS,
    bare,
    desired,
    profile,
    running,
    shipped,
    waiting,
)
from tests.property.world.values import Phase, Stored, World
from tests.property.world.walk import fairly

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with remembered():
        yield


def asked(world: World, reason: str) -> World:
    return replace(world, desired=replace(world.desired, rotation_requested=reason))


def source(world: World) -> Stored:
    """The domain's Secret."""
    wanted = world.desired.catalogue.domains[0]
    return world.secrets[wanted.namespace, wanted.name]


def versions(world: World) -> dict[WorkloadRef, int]:
    """How often each workload was written."""
    return {ref: workload.version for ref, workload in world.workloads.items()}


def uids(world: World) -> set[str]:
    return {pod.uid for pod in world.pods}


def actions(world: World) -> tuple[object, ...]:
    return operator.planned(world).actions


def later(world: World, duration: timedelta) -> World:
    return environment.tick(world, duration)


def but(text: str) -> Callable[[World], Iterator[str]]:
    """Every rule but one, which the story breaks with good reason: damage, or more than one change of settings."""
    return lambda world: (rule for rule in broken(world) if text not in rule)


def test_a_fresh_install_starts_every_pod_with_its_settings_in_one_go() -> None:
    start = waiting(shipped())
    first = [type(action).__name__ for action in operator.planned(start).actions]
    assert first == ["PatchWorkload"] * len(start.workloads) + ["WriteDomain", "WriteConfigMap", "WriteConfigMap"]
    end = fairly(start, kubelet_retries=False)
    assert finished(end)
    assert set(versions(end).values()) == {2}
    assert all(workload.rolled == workload.spec and workload.spec.restart_hash for workload in end.workloads.values())
    assert len(end.configmaps) == 2
    assert actions(end) == ()


def test_workloads_that_never_started_are_all_changed_at_once() -> None:
    start = waiting(shipped())
    patches = [action for action in actions(start) if isinstance(action, PatchWorkload)]
    assert {patch.ref for patch in patches} == set(start.workloads)
    assert all(patch.restart_hash and (patch.lists or patch.maps) for patch in patches)


def test_pods_that_wait_for_a_secret_that_came_are_deleted_once() -> None:
    start = waiting(desired((K8S, QUERIER)))
    written = fairly(start, until=lambda world: len(world.secrets) == 3)
    assert actions(replace(written, passing=None)) == ()
    remade = later(written, timedelta(seconds=4))
    deletes = actions(remade)
    assert {action.uid for action in deletes if isinstance(action, DeletePod)} == uids(start)
    end = fairly(remade, kubelet_retries=False)
    assert finished(end)
    assert end.deleted_pods == uids(start)
    assert set(versions(end).values()) == {1}


def test_a_pod_that_waits_for_somebody_elses_secret_is_left_alone() -> None:
    start = waiting(desired((K8S,)))
    pods = tuple(replace(pod, template=replace(pod.template, mounts=("theirs", SECRETS[K8S]))) for pod in start.pods)
    end = fairly(replace(start, pods=pods), until=lambda world: len(world.secrets) == 2)
    assert actions(later(end, timedelta(hours=1))) == ()


@pytest.mark.parametrize("replicas", [1, 2, 3])
def test_a_requested_rotation_restarts_everybody_once_and_happens_once(replicas: int) -> None:
    start = running(desired((K8S, RULER, QUERIER)), replicas=replicas)
    assert actions(start) == ()
    end = fairly(asked(start, "a leak"))
    assert finished(end)
    assert set(versions(end).values()) == {2}
    assert not uids(start) & uids(end)
    assert held(source(end)).bundle != held(source(start)).bundle
    assert dict(source(end).annotations)[names.ROTATED_FOR] == "a leak"
    assert fairly(end).secrets == end.secrets
    again = fairly(asked(end, "another leak"))
    assert finished(again)
    assert set(versions(again).values()) == {3}


def test_a_rotation_that_is_due_begins_by_itself_and_keeps_the_last_reason() -> None:
    wish = desired((K8S, QUERIER), requested="once")
    short = replace(domain(ca_days=30, leaf_days=10), derived=wish.catalogue.domains[0].derived)
    wish = replace(wish, catalogue=replace(wish.catalogue, domains=(short,)))
    start = fairly(waiting(wish))
    assert finished(start)
    renewed = fairly(later(fairly(later(start, 7 * DAY)), 7 * DAY))
    assert held(source(renewed)).bundle == held(source(start)).bundle
    end = fairly(later(renewed, 7 * DAY))
    assert finished(end)
    assert held(source(end)).bundle != held(source(start)).bundle
    assert dict(source(end).annotations)[names.ROTATED_FOR] == "once"


def test_renewed_leaves_restart_nobody_that_re_reads_them() -> None:
    start = later(running(desired((K8S, QUERIER))), 40 * DAY)
    (action,) = actions(start)
    assert isinstance(action, WriteDomain)
    assert set(action.leaves) == {SERVER.name, "thanos-querier-client"}
    end = fairly(start)
    assert finished(end)
    assert uids(end) == uids(start)
    assert versions(end) == versions(start)
    assert held(source(end)).bundle == held(source(start)).bundle
    assert all(pod.process and pod.process.chain[0].not_before > NOW for pod in end.pods)


def test_renewed_leaves_restart_everybody_else_once() -> None:
    start = later(running(desired((K8S, QUERIER), reloads_leaf=False)), 40 * DAY)
    end = fairly(start)
    assert finished(end)
    assert set(versions(end).values()) == {2}
    assert all(pod.process and pod.process.chain[0].not_before > NOW for pod in end.pods)


def hashed(world: World) -> World:
    """The stack as CMO leaves it: workloads mount copies with a hash in their names."""
    secrets = {key: secret for key, secret in world.secrets.items() if key == source(world).key}
    workloads, pods = {}, []
    for ref, workload in world.workloads.items():
        stable = world.secrets[ref.namespace, SECRETS[ref]]
        copy = replace(stable, name=f"{stable.name}-4bf7h2", uid=f"{stable.uid}-copy", hashed_from=stable.name)
        secrets[copy.key] = copy
        template = replace(workload.spec, mounts=(copy.name,))
        workloads[ref] = replace(workload, spec=template, rolled=template)
        pods += [replace(pod, template=template) for pod in world.of(ref)]
    return replace(world, secrets=secrets, workloads=workloads, pods=tuple(pods))


def test_cmos_certificates_and_hashed_copies_are_adopted_without_a_restart() -> None:
    start = hashed(running(desired((K8S, QUERIER))))
    end = fairly(start)
    assert uids(end) == uids(start)
    assert versions(end) == versions(start)
    assert held(source(end)) == held(source(start))
    assert set(start.secrets) < set(end.secrets)
    assert set(end.secrets) - set(start.secrets) == {(HERE, SECRETS[K8S]), (HERE, SECRETS[QUERIER])}


def test_hashed_copies_are_left_with_the_next_rotation_and_then_deleted() -> None:
    start = fairly(hashed(running(desired((K8S, QUERIER)))))
    rolling = fairly(asked(start, "a test"), until=lambda world: K8S in world.rollouts)
    assert all(secret.data != start.secrets[key].data for key, secret in rolling.secrets.items())
    end = fairly(rolling)
    assert finished(end)
    assert set(versions(end).values()) == {2}
    assert {name for _, name in end.secrets} == {"grpc-tls", SECRETS[K8S], SECRETS[QUERIER]}
    assert all(workload.spec.mounts == (SECRETS[ref],) for ref, workload in end.workloads.items())


def installed() -> World:
    """The shipped stack, with everything in place."""
    world = fairly(waiting(shipped()))
    assert actions(world) == ()
    return world


def followed(world: World, name: str) -> World:
    return replace(world, desired=replace(world.desired, profile=profile(name)))


def test_another_profile_changes_each_workload_once_one_after_the_other() -> None:
    start = installed()
    wish = followed(start, "Modern")
    (first,) = actions(wish)
    assert isinstance(first, PatchWorkload)
    assert first.ref == K8S
    assert first.maps
    assert first.lists
    assert first.restart_hash not in {None, start.workloads[K8S].spec.restart_hash}
    end = fairly(wish)
    assert set(versions(end).values()) == {3}
    assert actions(end) == ()
    assert source(end) == source(start)


def test_bad_settings_can_be_taken_back_while_a_rollout_is_stuck_on_them() -> None:
    start = installed()
    modern = followed(start, "Modern")

    def breaks(ref: WorkloadRef, world: World, *, broken_: bool) -> World:
        return replace(world, workloads={**world.workloads, ref: replace(world.workloads[ref], broken=broken_)})

    stuck = fairly(breaks(RULER, modern, broken_=True))
    assert [problem.reason for problem in operator.planned(stuck).problems] == ["RolloutStuck"]
    assert versions(stuck)[QUERIER] == 2
    back = breaks(RULER, followed(stuck, "Intermediate"), broken_=False)
    (first,) = actions(back)
    assert isinstance(first, PatchWorkload)
    assert first.ref == RULER
    end = fairly(back, check=but("was rolled"))
    assert actions(end) == ()
    assert {ref: w.spec.args for ref, w in end.workloads.items()} == {
        ref: w.spec.args for ref, w in start.workloads.items()
    }


def test_mode_audit_changes_nothing_and_says_what_it_would() -> None:
    start = waiting(shipped(mode=Mode.AUDIT))
    made = operator.planned(start)
    assert made.actions == ()
    assert [type(action) for action in made.withheld][:1] == [WriteDomain]
    assert fairly(start, kubelet_retries=False).secrets == {}


@pytest.mark.parametrize("age", [timedelta(0), 61 * DAY], ids=["nothing due", "leaves due"])
def test_mode_audit_gives_back_exactly_what_was_taken(age: timedelta) -> None:
    before = bare(shipped())
    # Certificates that need a write, which Audit withholds, are no reason to keep the settings.
    start = later(installed(), age)
    audit = replace(start, desired=replace(start.desired, mode=Mode.AUDIT))
    end = fairly(audit)
    for ref, workload in end.workloads.items():
        assert workload.spec.args == before.workloads[ref].spec.args
        assert workload.spec.fields == before.workloads[ref].spec.fields
        assert workload.saved is None
    assert set(versions(end).values()) == {3}
    assert end.secrets == start.secrets
    assert actions(end) == ()


@pytest.mark.parametrize("mode", Mode)
def test_beside_another_operator_nothing_is_touched(mode: Mode) -> None:
    start = replace(waiting(shipped(mode=mode)), foreign="cluster-monitoring-operator")
    assert actions(start) == ()
    taken = replace(installed(), foreign="cluster-monitoring-operator")
    assert actions(replace(taken, desired=replace(taken.desired, mode=mode))) == ()


def test_a_new_process_of_the_operator_writes_nothing() -> None:
    start = fairly(asked(installed(), "a test"))
    bare_ = replace(start, pods=tuple(replace(pod, evidence={}) for pod in start.pods), deleted_pods=frozenset())
    assert actions(bare_) == ()
    end = fairly(bare_)
    assert (end.secrets, end.workloads) == (start.secrets, start.workloads)


def test_settings_and_certificates_of_restarts_that_the_administrator_makes_are_listed() -> None:
    start = running(desired((K8S, QUERIER)))
    by_hand = replace(start.desired, restart=replace(start.desired.restart, automatic=False))
    waits = fairly(asked(replace(start, desired=by_hand), "a test"))
    assert uids(waits) == uids(start)
    made = operator.planned(waits)
    assert made.actions == ()
    assert {action.ref for action in made.withheld if isinstance(action, PatchWorkload)} == {K8S}


def wrong(world: World, outcome: Outcome) -> World:
    """The pods of Prometheus as handshakes keep showing them: with another leaf, or not at all."""
    seen = Evidence(outcome, world.now, NOW, 9, leaf="foreign" if outcome is Outcome.SERVES_OTHER else None)
    pods = tuple(replace(pod, evidence={"grpc": seen}) if pod.ref == K8S else pod for pod in world.pods)
    return replace(world, pods=pods)


def unprobed(world: World) -> World:
    """Everything but handshakes happens."""
    for _ in range(50):
        move = next((after for text, after in environment.moves(world) if environment.IS_PROBED not in text), None)
        if move is None:
            return world
        world = move
    raise AssertionError("it goes on for ever")


def test_a_pod_that_keeps_serving_another_leaf_is_restarted_three_times_at_most() -> None:
    world = fairly(asked(running(desired((K8S,))), "a test"))
    first = world.workloads[K8S].spec.restart_hash
    for attempt in (1, 2, 3):
        world = wrong(later(world, timedelta(minutes=10)), Outcome.SERVES_OTHER)
        (patch,) = actions(world)
        assert isinstance(patch, PatchWorkload)
        assert patch.restart_hash == f"{first}.{attempt}"
        stepped = operator.step(world)
        assert stepped is not None
        world = unprobed(stepped)
        assert actions(wrong(world, Outcome.SERVES_OTHER)) == ()
    world = wrong(later(world, timedelta(minutes=10)), Outcome.SERVES_OTHER)
    made = operator.planned(world)
    assert made.actions == ()
    assert {problem.reason for problem in made.problems} == {"RolloutStuck", "ServesOther"}


def test_a_pod_that_cannot_be_reached_is_never_restarted_for_it_and_never_counts() -> None:
    start = running(desired((K8S, QUERIER), requested="a test"))
    world = fairly(start, until=lambda found: K8S in found.rollouts)
    world = wrong(unprobed(world), Outcome.UNREACHABLE)
    waiting_ = wrong(later(world, timedelta(hours=5)), Outcome.UNREACHABLE)
    made = operator.planned(waiting_)
    assert made.actions == ()
    assert {problem.reason for problem in made.problems} == {"ProbeBlocked"}
    assert "NetworkPolicy" in made.problems[0].message
    assert made.domains[0].rotation is not None


def test_a_rollout_that_takes_too_long_stops_every_other_restart() -> None:
    start = running(desired((K8S, RULER, QUERIER), requested="a test"))
    stuck = replace(start, workloads={**start.workloads, K8S: replace(start.workloads[K8S], broken=True)})
    end = fairly(stuck)
    assert versions(end) == {K8S: 2, RULER: 1, QUERIER: 1}
    made = operator.planned(end)
    assert "RolloutStuck" in {problem.reason for problem in made.problems}
    assert {pod.uid for pod in end.of(RULER)} == {pod.uid for pod in start.of(RULER)}


@pytest.mark.parametrize("entry", ["ca.key", "ca.crt"])
def test_a_lost_ca_is_replaced_and_the_old_one_is_trusted_as_long_as_it_is_needed(entry: str) -> None:
    start = fairly(waiting(desired((K8S, QUERIER))))
    found = source(start)
    data = dict(found.data) | {entry: b"nothing to read"}
    world = start.with_secret(replace(found, data=tuple(sorted(data.items())), version=777))
    assert [type(action) for action in actions(world)] == [WriteDomain]
    end = fairly(world, check=but("does not accept"))
    assert finished(end)
    assert set(versions(end).values()) == {2}


@pytest.mark.parametrize("content", [None, b"nothing to read"])
def test_a_derived_secret_that_is_lost_or_garbled_is_made_again_without_a_restart(content: bytes | None) -> None:
    start = fairly(asked(running(desired((K8S, QUERIER))), "a test"))
    key = (HERE, SECRETS[QUERIER])
    secrets = {other: secret for other, secret in start.secrets.items() if other != key}
    if content is not None:
        data = dict(start.secrets[key].data) | {"client.crt": content}
        secrets[key] = replace(start.secrets[key], data=tuple(sorted(data.items())), version=777)
    world = replace(start, secrets=secrets)
    assert [type(action) for action in actions(world)] == [WriteDerived]
    end = fairly(world, check=but("does not accept"))
    assert finished(end)
    assert uids(end) == uids(start)
    assert versions(end) == versions(start)


def test_a_pod_of_nobody_holds_a_rotation_up_until_it_is_gone() -> None:
    start = running(desired((K8S,), requested="a test"))
    bare_pod = replace(start.pods[0], uid="bare", ref=None, slot=9)
    world = fairly(replace(start, pods=(*start.pods, bare_pod)))
    assert not finished(world)
    assert any("Pod/openshift-monitoring/bare-9" in text for text in operator.planned(world).domains[0].waits_for)
    gone = replace(world, pods=tuple(pod for pod in world.pods if pod.uid != "bare"))
    assert finished(fairly(gone))


def test_a_terminating_pod_is_waited_for() -> None:
    start = running(desired((QUERIER,), requested="a test"))
    stubborn = replace(start, pods=tuple(replace(pod, stubborn=True) for pod in start.pods))
    world = fairly(stubborn)
    assert [pod.phase for pod in world.pods].count(Phase.TERMINATING) == 2
    assert operator.planned(world).domains[0].rotation is not None
    gone = replace(world, pods=tuple(pod for pod in world.pods if pod.phase is Phase.RUNNING))
    assert finished(fairly(gone))


def test_everything_waits_until_derived_secrets_are_written() -> None:
    """After a refused write, evidence of before is still at hand: it proves nothing of what was not yet delivered."""
    start = fairly(running(desired((K8S,))))
    begun = operator.step(asked(start, "a test"))
    assert begun is not None
    refused = replace(begun, passing=None)
    assert [type(action) for action in actions(refused)] == [WriteDerived]


def test_time_alone_is_always_announced() -> None:
    """The operator sleeps until `Plan.next_check`: at every moment where nothing happens by itself, one is named."""
    world = asked(running(desired((K8S, QUERIER))), "a test")
    for _ in range(200):
        if finished(world):
            break
        acted = operator.step(world) or next((after for _, after in environment.moves(world)), None)
        if acted is None:
            made = operator.planned(world)
            assert made.next_check is not None
            assert made.next_check > world.now
            acted = environment.tick(world, made.next_check - world.now)
        world = acted
    assert finished(world)
    assert walk.wrote(world, world) == "nothing"


def test_workloads_that_were_all_restarted_too_early_do_not_wait_for_each_other() -> None:
    wish = desired((K8S, RULER), reloads_leaf=False, requested="a test")
    start = running(wish, WORKING["path length 0"])
    # The controller takes a minute to begin; so all pods start in the second in which the new leaves are issued.
    slow = environment.tick(fairly(start, until=lambda world: K8S in world.rollouts))
    assert finished(fairly(slow))
