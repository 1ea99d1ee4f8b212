"""The status, in the moments that an administrator looks at it."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from monitoring_tls.model.desired import Mode
from monitoring_tls.planning.plan import Problem
from monitoring_tls.report.status import build_status, transitions, with_times
from tests.pki_support import NOW, WORKING
from tests.property.world import environment, operator
from tests.property.world.quick import remembered
from tests.property.world.reading import snapshot
from tests.property.world.stacks import K8S, QUERIER, desired, profile, running, shipped, waiting
from tests.property.world.values import World
from tests.property.world.walk import fairly


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with remembered():
        yield


def status(world: World, *extra: Problem) -> dict[str, Any]:
    return build_status(operator.planned(world), snapshot(world), world.desired, extra, 5, world.now)


def conditions(found: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["reason"]) for c in found["conditions"]}


def message(found: Mapping[str, Any], kind: str) -> str:
    return str(next(c["message"] for c in found["conditions"] if c["type"] == kind))


def rotating() -> World:
    """In the middle of a rotation: the server is done, the client is next."""
    start = running(desired((K8S, QUERIER), requested="a leak"))
    return fairly(start, until=lambda world: QUERIER in world.rollouts)


def test_everything_in_place() -> None:
    found = status(fairly(waiting(shipped())))
    assert conditions(found) == {
        "ProfileValid": ("True", "AsExpected"),
        "Available": ("True", "AsExpected"),
        "Progressing": ("False", "AsExpected"),
        "Degraded": ("False", "AsExpected"),
        "Compliant": ("True", "AsExpected"),
        "Enforcing": ("True", "AsExpected"),
    }
    assert found["observedGeneration"] == 5
    assert all(c["observedGeneration"] == 5 for c in found["conditions"])
    assert found["profile"]["name"] == "Intermediate"
    assert found["profile"]["minTLSVersion"] == "VersionTLS12"
    assert found["rotation"] == {"stage": "Stable", "lastReason": ""}
    assert {row["name"]: row["stage"] for row in found["certificates"]} == {
        "grpc/ca": "Current",
        "grpc/thanos-querier-client": "Current",
        "grpc/prometheus-server": "Current",
    }
    rows = {row["workload"]: row for row in found["components"]}
    assert rows[str(K8S)]["evidence"] == "Handshake"
    assert rows[str(K8S)]["serving"] == rows[str(K8S)]["trusting"] == "2/2"
    assert rows[str(QUERIER)]["evidence"] == "Started"
    assert all(row["rollout"] == "Done" and not row["message"] for row in rows.values())
    assert found["processesTrustingOldCA"] == []


def test_before_anything_is_there() -> None:
    found = status(waiting(shipped()))
    assert conditions(found)["Available"] == ("False", "NotProved")
    assert "Secret/grpc-tls -n openshift-monitoring is missing" in message(found, "Available")
    assert conditions(found)["Compliant"] == ("Unknown", "NotSeen")
    assert found["certificates"] == []


def test_in_the_middle_of_a_rotation() -> None:
    world = rotating()
    found = status(world)
    assert found["rotation"]["stage"] == "Rolling"
    assert found["rotation"]["reason"] == "a leak"
    assert "2 of 2 workloads" in found["rotation"]["step"]
    assert str(QUERIER) in found["rotation"]["step"]
    assert conditions(found)["Progressing"] == ("True", "Working")
    assert conditions(found)["Degraded"] == ("False", "AsExpected")
    stages = {row["name"]: row["stage"] for row in found["certificates"]}
    assert stages["grpc/previous-ca"] == "Previous"
    assert stages["grpc/cross-ca"] == "CrossSigned"


def test_while_the_longer_wait_lasts_old_leaves_are_said_to_be_of_the_previous_ca() -> None:
    start = running(desired((K8S,), requested="a leak"), WORKING["path length 0"])
    begun = operator.step(start)
    assert begun is not None
    found = status(begun)
    assert found["rotation"]["stage"] == "Introduced"
    rows = {row["name"]: row["stage"] for row in found["certificates"]}
    assert rows["grpc/prometheus-server"] == "Previous"


def test_what_fails_is_named_and_a_long_list_is_cut() -> None:
    problems = tuple(Problem("InvalidSpec", f"problem {number}") for number in range(5))
    found = status(rotating(), *problems)
    assert conditions(found)["Degraded"] == ("True", "InvalidSpec")
    assert message(found, "Degraded") == "problem 0; problem 1; problem 2; and 2 more"


def test_processes_that_still_trust_a_retired_ca_are_listed() -> None:
    world = fairly(rotating())
    found = status(world)["processesTrustingOldCA"]
    assert len(found) == 4
    assert all(name.startswith("openshift-monitoring/") and name.endswith("/thanos") for name in found)


def test_a_profile_that_is_not_followed_is_a_violation() -> None:
    world = fairly(waiting(shipped()))
    wish = replace(world.desired, profile=profile("Modern"), mode=Mode.AUDIT)
    found = status(replace(world, desired=wish))
    assert conditions(found)["Compliant"] == ("False", "Violations")
    assert conditions(found)["Enforcing"] == ("False", "Audit")


def test_a_profile_that_is_refused() -> None:
    start = running(desired((K8S,)))
    state = replace(start.desired.profile, valid=False, message="it has no cipher; Intermediate stays in force")
    found = status(replace(start, desired=replace(start.desired, profile=state)))
    assert conditions(found)["ProfileValid"] == ("False", "Refused")
    assert message(found, "ProfileValid") == state.message


def test_beside_another_operator_the_mode_says_who_is_in_charge() -> None:
    found = status(replace(waiting(shipped()), foreign="cluster-monitoring-operator"))
    assert conditions(found)["Enforcing"] == ("False", "Audit")
    assert message(found, "Enforcing").startswith("cluster-monitoring-operator is in charge")
    assert conditions(found)["Degraded"] == ("True", "ForeignOperator")


def test_a_pod_that_cannot_be_reached_degrades() -> None:
    world = rotating()
    pods = tuple(replace(pod, reachable=False, evidence={}) for pod in world.pods)
    world = replace(world, pods=pods)
    end = fairly(environment.tick(world, timedelta(minutes=20)))
    assert conditions(status(end))["Degraded"] == ("True", "ProbeBlocked")


def test_a_transition_time_stays_until_the_status_of_its_condition_changes() -> None:
    before = with_times(status(rotating()), None, NOW)
    assert {c["lastTransitionTime"] for c in before["conditions"]} == {"2026-03-01T12:00:00Z"}
    after = with_times(status(fairly(rotating())), before, NOW + timedelta(hours=1))
    moments = {c["type"]: c["lastTransitionTime"] for c in after["conditions"]}
    assert moments["Progressing"] == moments["Available"] == "2026-03-01T13:00:00Z"
    assert moments["Degraded"] == moments["ProfileValid"] == "2026-03-01T12:00:00Z"


def test_news_is_a_condition_or_a_stage_and_not_a_count() -> None:
    found = status(rotating())
    counted = {**found, "components": [], "certificates": []}
    assert transitions(found) == transitions(counted)
    assert transitions(found) != transitions(status(fairly(rotating())))
    assert transitions({}) == (None, None, None)


def test_no_private_key_is_in_a_status() -> None:
    world = rotating()
    text = repr(status(world))
    assert "PRIVATE" not in text
    for secret in world.secrets.values():
        for key, value in secret.data:
            if key.endswith(".key"):
                assert value.decode().splitlines()[1] not in text
