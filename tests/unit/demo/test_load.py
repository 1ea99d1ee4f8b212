import json
import socket
import ssl
from collections import Counter
from typing import Any

import pytest

from demo.load import WORKLOADS, Answer, Load, Outcome, Target, ask, judge


def body(series: list[dict[str, str]], **extra: Any) -> bytes:
    result = [{"metric": labels, "value": [0, "1"]} for labels in series]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}, **extra}).encode()


def replica(prometheus: str, number: int) -> dict[str, str]:
    return {"prometheus": prometheus, "prometheus_replica": f"prometheus-{number}"}


def test_replicas_are_counted_for_each_prometheus() -> None:
    answer = judge(200, body([replica("a/b", 0), replica("a/b", 1), replica("c/d", 0)]))
    assert answer == Answer(replicas=Counter({"a/b": 2, "c/d": 1}))


def test_two_series_of_one_replica_are_one_replica() -> None:
    series = [{**replica("a/b", 0), "instance": instance} for instance in ("x", "y")]
    assert judge(200, body(series)).replicas == {"a/b": 1}


@pytest.mark.parametrize("status", [204, 401, 503])
def test_anything_but_200_fails(status: int) -> None:
    assert judge(status, body([replica("a/b", 0)])).problem == f"HTTP {status}"


def test_a_warning_fails_though_there_are_series() -> None:
    problem = judge(200, body([replica("a/b", 0)], warnings=["store 10.0.0.1 unavailable"])).problem
    assert problem is not None
    assert "store 10.0.0.1 unavailable" in problem


@pytest.mark.parametrize("garbled", [b"", b"[]", b"{}", b'{"status": "success", "data": null}', b"<html>"])
def test_a_garbled_answer_fails(garbled: bytes) -> None:
    assert judge(200, garbled).problem == "the answer is garbled"


def test_no_connection_fails_and_does_not_raise() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    problem = ask(Target("127.0.0.1", port, "nobody", "secret-token", ssl.create_default_context())).problem
    assert problem is not None
    assert problem.startswith("connection: ConnectionRefusedError")


def test_a_token_is_not_shown() -> None:
    assert "secret-token" not in repr(Target("h", 1, "n", "secret-token", ssl.create_default_context()))


def test_fewer_replicas_than_expected_fail() -> None:
    load = Load(Target("h", 1, "n", "", ssl.create_default_context()), lambda _workload, _started: 2)
    whole = Answer(replicas=dict.fromkeys(WORKLOADS, 2))
    less = Answer(replicas={**dict.fromkeys(WORKLOADS, 2), "openshift-monitoring/k8s": 1})
    assert load._missing(whole, 0.0) is None
    assert load._missing(less, 0.0) == "1 of 2 replicas of openshift-monitoring/k8s"


def test_a_tally_is_of_the_queries_since_a_moment() -> None:
    load = Load(Target("h", 1, "n", "", ssl.create_default_context()), lambda _workload, _started: 1)
    load._outcomes += [Outcome(1.0, 0.5, "HTTP 503"), Outcome(2.0, 0.1, None), Outcome(3.0, 0.2, "HTTP 500")]
    tally = load.tally(2.0)
    assert (tally.asked, tally.failed, tally.slowest) == (2, 1, 0.2)
    assert str(tally) == "1 of 2 queries failed (1: HTTP 500)"
    assert len(load.failures()) == 2
