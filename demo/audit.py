"""The API server's own record of what the operator asked it for."""

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

OPERATOR: Final = "system:serviceaccount:openshift-monitoring:monitoring-tls-operator"
WRITES: Final = frozenset({"create", "update", "patch", "delete"})


@dataclass(frozen=True, slots=True)
class Request:
    """One request, from an event of the audit log (audit.k8s.io/v1, level Metadata)."""

    at: dt.datetime
    user: str
    verb: str
    resource: str
    namespace: str
    name: str
    code: int

    @property
    def quiet(self) -> bool:
        """A watch, or the Lease: what an operator does when there is nothing to do."""
        return self.verb == "watch" or self.resource == "leases"

    def __str__(self) -> str:
        return " ".join(part for part in (self.verb, self.resource) if part)


@dataclass(frozen=True, slots=True)
class Window:
    """The operator's requests of some time."""

    requests: tuple[Request, ...]

    @property
    def counted(self) -> tuple[Request, ...]:
        """All but watches and the Lease."""
        return tuple(request for request in self.requests if not request.quiet)

    def summary(self) -> str:
        """How many of each kind."""
        kinds = Counter(str(request) for request in self.counted)
        watches = sum(1 for request in self.requests if request.verb == "watch")
        lease = sum(1 for request in self.requests if request.resource == "leases" and request.verb != "watch")
        listed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        return f"{len(self.counted)} requests ({listed}), besides {lease} for its Lease and {watches} watches begun"

    def refused(self) -> tuple[Request, ...]:
        """Requests that its permissions did not allow."""
        return tuple(request for request in self.requests if request.code == 403)

    def writes(self, *resources: str) -> Iterator[Request]:
        """Successful writes to these resources, in order."""
        for request in self.requests:
            if request.verb in WRITES and request.resource in resources and request.code < 300:
                yield request


class AuditLog:
    """Reads the log of a local cluster."""

    def __init__(self, path: Path, user: str = OPERATOR) -> None:
        self._path = path
        self._user = user

    def window(self, since: dt.datetime, until: dt.datetime | None = None) -> Window:
        """The user's requests that the server received in a time; a watch counts when it begins."""
        return Window(
            tuple(
                request
                for request in self._requests()
                if request.user == self._user and request.at >= since and (until is None or request.at < until)
            )
        )

    def asked_for(self, resource: str, since: dt.datetime) -> dt.datetime | None:
        """When somebody else first changed a kind of objects after a moment: the request that the user then acts on."""
        moments = (
            request.at
            for request in self._requests()
            if request.user != self._user
            and request.resource == resource
            and request.verb in WRITES
            and request.at >= since
        )
        return min(moments, default=None)

    def _requests(self) -> Iterator[Request]:
        seen: set[str] = set()
        with self._path.open() as lines:
            for line in lines:
                try:
                    event = json.loads(line)
                except ValueError:
                    continue  # the last line, half written
                if event["auditID"] not in seen:
                    seen.add(event["auditID"])
                    yield parse(event)


def parse(event: dict[str, Any]) -> Request:
    """One audit event."""
    target = event.get("objectRef", {})
    resource = "/".join(part for part in (target.get("resource", ""), target.get("subresource", "")) if part)
    return Request(
        at=dt.datetime.fromisoformat(event["requestReceivedTimestamp"]),
        user=event["user"]["username"],
        verb=event["verb"],
        resource=resource,
        namespace=target.get("namespace", ""),
        name=target.get("name", ""),
        code=event.get("responseStatus", {}).get("code", 0),
    )
