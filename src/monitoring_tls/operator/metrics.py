"""Prometheus metrics of the operator itself."""

from http import HTTPStatus

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from monitoring_tls.kube.client import KubeClient
from monitoring_tls.model.certificate import Stage
from monitoring_tls.operator.endpoint import Page
from monitoring_tls.planning.plan import Plan

_NOT_FOUND: Page = (HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", b"try /metrics, /healthz or /readyz\n")


class Metrics:
    """What the operator counts, and the pages that show it.

    Attributes:
        ready: whether ``/readyz`` says yes.
    """

    def __init__(self, client: KubeClient) -> None:
        self.ready = False
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "monitoring_tls_api_requests",
            "Requests to the Kubernetes API, by verb, resource and HTTP status (0: no answer).",
            ["verb", "resource", "status"],
            registry=self._registry,
        )
        self._expiry = Gauge(
            "monitoring_tls_certificate_expiry_timestamp_seconds",
            "When a managed certificate ends, in seconds since 1970.",
            ["domain", "certificate"],
            registry=self._registry,
        )
        self._stage = Gauge(
            "monitoring_tls_rotation_stage",
            "1 for the stage that a trust domain's rotation is at.",
            ["domain", "stage"],
            registry=self._registry,
        )
        self._problems = Gauge(
            "monitoring_tls_problems",
            "Problems that need attention, as in condition Degraded.",
            registry=self._registry,
        )
        self._passes = Counter(
            "monitoring_tls_passes", "Passes of the loop, by result.", ["result"], registry=self._registry
        )
        self._leader = Gauge("monitoring_tls_leader", "Whether this replica is the leader.", registry=self._registry)
        client.observe(lambda verb, plural, status: self._requests.labels(verb, plural, str(status)).inc())

    def lead(self, *, leader: bool) -> None:
        """Note whether this replica leads."""
        self._leader.set(leader)

    def passed(self, result: str) -> None:
        """Count a pass of the loop: ``ok``, ``replan`` or ``error``."""
        self._passes.labels(result).inc()

    def show(self, plan: Plan, problems: int) -> None:
        """Take over what a plan knows."""
        self._problems.set(problems)
        self._expiry.clear()
        for view in plan.domains:
            for key, chain in (view.secret.certificates if view.secret else {}).items():
                self._expiry.labels(view.domain.domain, key).set(chain[0].not_after.timestamp() if chain else 0.0)
            now = view.rotation.stage if view.rotation else Stage.STABLE
            for stage in Stage:
                self._stage.labels(view.domain.domain, stage.value).set(stage is now)

    def page(self, path: str) -> Page:
        """What the endpoint answers."""
        match path:
            case "/metrics":
                return HTTPStatus.OK, CONTENT_TYPE_PLAIN_0_0_4, generate_latest(self._registry)
            case "/healthz":
                return HTTPStatus.OK, "text/plain; charset=utf-8", b"ok\n"
            case "/readyz":
                status = HTTPStatus.OK if self.ready else HTTPStatus.SERVICE_UNAVAILABLE
                return status, "text/plain; charset=utf-8", b"ready\n" if self.ready else b"starting\n"
            case _:
                return _NOT_FOUND
