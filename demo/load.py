"""A constant load of PromQL queries, each on a new connection and never repeated, and the rules by which one fails."""

import http.client
import json
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from demo.journal import PodJournal
from demo.serving import PLATFORM, USER_WORKLOAD

QUERY: Final = "prometheus_build_info"
"""Each Prometheus scrapes itself, so that this has one series for each replica of each Prometheus."""

WORKLOADS: Final[Mapping[str, str]] = {
    f"{PLATFORM}/k8s": "prometheus-k8s",
    f"{USER_WORKLOAD}/user-workload": "prometheus-user-workload",
}
"""The external label ``prometheus`` of each Prometheus, and its StatefulSet."""

_THREADS: Final = 2
_PER_SECOND: Final = 20
_TIMEOUT: Final = 10.0


@dataclass(frozen=True, slots=True)
class Target:
    """Where and as whom to query.

    Attributes:
        host: an address; ``name`` is the DNS name that its certificate must have.
        context: verifies that certificate.
    """

    host: str
    port: int
    name: str
    token: str = field(repr=False)
    context: ssl.SSLContext = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one query showed.

    Attributes:
        problem: why there is no usable answer; None where there is one.
        replicas: for each Prometheus (``NAMESPACE/NAME``), how many replicas are in it.
    """

    problem: str | None = None
    replicas: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A query of the load; ``failure`` is None where it succeeded."""

    started: float
    seconds: float
    failure: str | None


@dataclass(frozen=True, slots=True)
class Tally:
    """The queries of some time."""

    asked: int
    failures: Counter[str]
    slowest: float

    @property
    def failed(self) -> int:
        """How many failed."""
        return self.failures.total()

    def __str__(self) -> str:
        text = f"{self.failed} of {self.asked} queries failed"
        if self.failures:
            text += " (" + "; ".join(f"{count}: {why}" for why, count in self.failures.most_common(4)) + ")"
        return text


def ask(target: Target, query: str = QUERY) -> Answer:
    """One instant query on a new connection, replicas not merged. Never raises: a failure is an answer."""
    connection = http.client.HTTPSConnection(target.host, target.port, timeout=_TIMEOUT)
    try:
        raw = socket.create_connection((target.host, target.port), timeout=_TIMEOUT)
        try:
            connection.sock = target.context.wrap_socket(raw, server_hostname=target.name)
        except BaseException:
            raw.close()
            raise
        connection.request(
            "GET",
            "/api/v1/query?" + urlencode({"query": query, "dedup": "false"}),
            headers={"Authorization": f"Bearer {target.token}", "Host": target.name, "Connection": "close"},
        )
        response = connection.getresponse()
        return judge(response.status, response.read())
    except (OSError, http.client.HTTPException) as error:
        return Answer(f"connection: {_brief(error)}")
    finally:
        connection.close()


def judge(status: int, body: bytes) -> Answer:
    """Read an answer of the query API: 200, no warning, and which replicas are in it."""
    if status != http.client.OK:
        return Answer(f"HTTP {status}")
    try:
        content: Any = json.loads(body)
        warnings = content.get("warnings") or []
        if content["status"] != "success" or warnings:
            return Answer(f"warning: {str(warnings or content.get('error'))[:160]}")
        series = {
            (labels.get("prometheus", ""), labels.get("prometheus_replica") or labels.get("thanos_ruler_replica", ""))
            for labels in (result["metric"] for result in content["data"]["result"])
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return Answer("the answer is garbled")
    return Answer(replicas=Counter(prometheus for prometheus, _ in series))


class Load:
    """Queries at a steady pace until it is stopped.

    Args:
        target: what is queried.
        expected: how many replicas of a StatefulSet a query that began at a moment has to show; asked when the query
            is over.
    """

    def __init__(self, target: Target, expected: Callable[[str, float], int]) -> None:
        self._target = target
        self._expected = expected
        self._outcomes: list[Outcome] = []
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"load-{number}", daemon=True)
            for number in range(_THREADS)
        ]

    @classmethod
    def following(cls, target: Target, journal: PodJournal) -> "Load":
        """A load that expects the replicas which the journal says should be up."""
        return cls(target, journal.expected)

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End; returns when the last query is over."""
        self._end.set()
        for thread in self._threads:
            thread.join()

    def tally(self, since: float = 0.0) -> Tally:
        """The queries that began at or after a moment (``time.monotonic``)."""
        with self._lock:
            outcomes = [outcome for outcome in self._outcomes if outcome.started >= since]
        failures = Counter(outcome.failure for outcome in outcomes if outcome.failure is not None)
        return Tally(len(outcomes), failures, max((outcome.seconds for outcome in outcomes), default=0.0))

    def failures(self) -> list[Outcome]:
        """The queries that failed, for a closer look."""
        with self._lock:
            return [outcome for outcome in self._outcomes if outcome.failure is not None]

    def _run(self, number: int) -> None:
        pause = _THREADS / _PER_SECOND
        due = time.monotonic() + pause * number / _THREADS
        while not self._end.wait(max(0.0, due - time.monotonic())):
            started = time.monotonic()
            answer = ask(self._target)
            failure = answer.problem or self._missing(answer, started)
            with self._lock:
                self._outcomes.append(Outcome(started, time.monotonic() - started, failure))
            # A slow query is followed at once, and the pace is taken up again from there: no burst makes up for it.
            due = max(due + pause, time.monotonic())

    def _missing(self, answer: Answer, started: float) -> str | None:
        lacking = [
            f"{found} of {wanted} replicas of {label}"
            for label, workload in WORKLOADS.items()
            if (found := answer.replicas.get(label, 0)) < (wanted := self._expected(workload, started))
        ]
        return ", ".join(lacking) or None


def _brief(error: Exception) -> str:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    return f"{type(error).__name__} {reason}".strip()[:120]
