from typing import Any, cast

import pytest

from demo.journal import SETTLE, PodJournal, workload_of
from monitoring_tls.kube.client import KubeClient

NAMESPACE = "openshift-monitoring"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def pod(uid: str, *, ready: bool = True, deleted: bool = False, restarts: int = 0) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "namespace": NAMESPACE,
        "name": f"prometheus-k8s-{uid}",
        "uid": uid,
        "ownerReferences": [{"kind": "StatefulSet", "name": "prometheus-k8s", "controller": True}],
    }
    if deleted:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {
        "metadata": metadata,
        "status": {
            "podIP": "10.0.0.1",
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [{"restartCount": restarts}],
        },
    }


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(clock: Clock) -> PodJournal:
    # The watch isn't started: nothing asks the client for anything.
    return PodJournal(cast("KubeClient", None), clock)


def test_a_replica_is_expected_once_it_has_settled(journal: PodJournal, clock: Clock) -> None:
    for uid in ("0", "1"):
        journal.note(pod(uid), gone=False)
    assert journal.expected("prometheus-k8s", clock.now + SETTLE - 0.1) == 1
    assert journal.expected("prometheus-k8s", clock.now + SETTLE) == 2


def test_a_replica_is_no_longer_expected_when_its_deletion_begins(journal: PodJournal, clock: Clock) -> None:
    for uid in ("0", "1"):
        journal.note(pod(uid), gone=False)
    journal.note(pod("1", deleted=True), gone=False)
    assert journal.expected("prometheus-k8s", clock.now + SETTLE) == 1


def test_a_replica_that_is_not_ready_any_more_should_still_be_up(journal: PodJournal, clock: Clock) -> None:
    for uid in ("0", "1"):
        journal.note(pod(uid), gone=False)
    journal.note(pod("1", ready=False), gone=False)
    assert journal.expected("prometheus-k8s", clock.now + SETTLE) == 2


def test_there_is_always_one_replica_to_be_expected(journal: PodJournal, clock: Clock) -> None:
    journal.note(pod("0", deleted=True), gone=False)
    assert journal.expected("prometheus-k8s", clock.now + SETTLE) == 1
    assert journal.expected("another", clock.now) == 1


def test_new_pods_are_counted_by_workload(journal: PodJournal, clock: Clock) -> None:
    journal.note(pod("0"), gone=False)
    began = clock.now
    clock.now += 1
    journal.note(pod("0", deleted=True), gone=True)
    journal.note(pod("0-again", restarts=1), gone=False)
    assert journal.made_since(began) == {"prometheus-k8s": 1}
    assert journal.container_restarts() == 1
    assert [life.uid for life in journal.present("prometheus-k8s")] == ["0-again"]


def test_pods_that_a_new_list_lacks_have_left(journal: PodJournal) -> None:
    journal.note(pod("0"), gone=False)
    journal._replace(NAMESPACE, [pod("1")])
    assert [life.uid for life in journal.present()] == ["1"]


@pytest.mark.parametrize(
    ("owners", "expected"),
    [
        ([{"kind": "ReplicaSet", "name": "thanos-querier-6d5f8", "controller": True}], "thanos-querier"),
        ([{"kind": "StatefulSet", "name": "prometheus-k8s", "controller": True}], "prometheus-k8s"),
        ([], "alone"),
    ],
)
def test_the_workload_of_a_pod(owners: list[dict[str, Any]], expected: str) -> None:
    assert workload_of({"metadata": {"name": "alone", "ownerReferences": owners}}) == expected
