"""The events that OpenShift's documentation shows, looked for in the API."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from demo.serving import PLATFORM, USER_WORKLOAD
from demo.stack import OPERATOR, SECRETS_MADE
from monitoring_tls.kube.client import KubeClient
from monitoring_tls.kube.resources import EVENTS, Object
from monitoring_tls.kube.selection import Selection


@dataclass(frozen=True, slots=True)
class Wanted:
    """An event to be found.

    Attributes:
        object: ``KIND/NAME``; a name that ends in ``*`` is a beginning.
        message: text that the message has to be, or, where it ends in ``*``, begin with.
        field: text that ``involvedObject.fieldPath`` has to be.
        ours: whether the operator emits it; Kubernetes' own must come from somebody else.
    """

    namespace: str
    object: str
    reason: str
    message: str = "*"
    field: str | None = None
    ours: bool = False

    def matches(self, event: Object) -> bool:
        """Whether an event is this one."""
        about = event["involvedObject"]
        return (
            event["metadata"]["namespace"] == self.namespace
            and event["reason"] == self.reason
            and _like(f"{about['kind']}/{about['name']}", self.object)
            and _like(event.get("message", ""), self.message)
            and self.field in {None, about.get("fieldPath")}
            and (source_of(event) == OPERATOR) is self.ours
        )

    def __str__(self) -> str:
        about = f" {self.message}" if self.message != "*" else ""
        field = f" {self.field}" if self.field else ""
        return f"{self.reason} {self.object}{field}{about}"


def _ours(reason: str, done: str, kind: str, namespace: str, name: str, why: str) -> Wanted:
    message = f"{done} {kind}/{name} -n {namespace} because it {why}"
    return Wanted(PLATFORM, f"Deployment/{OPERATOR}", reason, message, ours=True)


WANTED: Final = (
    *(_ours("SecretCreated", "Created", "Secret", *where, "was missing") for where in SECRETS_MADE),
    *(_ours("SecretUpdated", "Updated", "Secret", *where, "changed") for where in SECRETS_MADE),
    *(
        _ours("ConfigMapCreated", "Created", "ConfigMap", namespace, "metrics-client-ca", "was missing")
        for namespace in (PLATFORM, USER_WORKLOAD)
    ),
    Wanted(PLATFORM, "Pod/prometheus-k8s-*", "FailedMount"),
    Wanted(PLATFORM, "Pod/thanos-querier-*", "FailedMount"),
    Wanted(USER_WORKLOAD, "Pod/prometheus-user-workload-*", "FailedMount"),
    Wanted(USER_WORKLOAD, "Pod/thanos-ruler-user-workload-*", "FailedMount"),
    *(
        Wanted(PLATFORM, "Pod/prometheus-k8s-*", reason, field="spec.containers{kube-rbac-proxy-thanos}")
        for reason in ("Created", "Started")
    ),
    Wanted(PLATFORM, "StatefulSet/prometheus-k8s", "SuccessfulDelete"),
    Wanted(PLATFORM, "StatefulSet/prometheus-k8s", "SuccessfulCreate"),
)


async def read(client: KubeClient) -> list[Object]:
    """The events of both namespaces, oldest first."""
    found = [
        event
        for namespace in (PLATFORM, USER_WORKLOAD)
        for event in (await client.list(EVENTS, Selection(namespace))).items
    ]
    return sorted(found, key=lambda event: str(event["metadata"]["creationTimestamp"]))


def lacking(events: Iterable[Object]) -> list[Wanted]:
    """The wanted events that are not there."""
    events = list(events)
    return [wanted for wanted in WANTED if not any(wanted.matches(event) for event in events)]


def source_of(event: Object) -> str:
    """Who emitted an event."""
    source: str = event.get("reportingComponent") or event.get("source", {}).get("component", "")
    return source


def line_of(event: Object) -> str:
    """An event in a line, as ``kubectl get events`` has it."""
    about = event["involvedObject"]
    count = event.get("count") or (event.get("series") or {}).get("count") or 1
    times = f" (x{count})" if count > 1 else ""
    return f"{event['reason']:<17} {about['kind'].lower()}/{about['name']}  {event.get('message', '')}{times}"


def _like(text: str, pattern: str) -> bool:
    return text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern
