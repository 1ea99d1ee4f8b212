"""Kubernetes events about what the operator did; `kubectl get events` shows them.

The same object, reason and message is one Event whose `count` rises, in whichever process and after whichever restart:
its name follows from them. Nothing is dropped and nothing blocks: what cannot be written yet waits in memory, where
equal ones are one entry, until the API server takes it.
"""

import asyncio
import contextlib
import hashlib
import random
import socket
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from monitoring_tls.errors import (
    AlreadyExistsError,
    ApiError,
    ApiUnreachableError,
    ConfigError,
    ConflictError,
    KubeError,
    MonitoringTLSError,
    NotFoundError,
    TooManyRequestsError,
)
from monitoring_tls.kube.backoff import Backoff
from monitoring_tls.kube.client import KubeClient
from monitoring_tls.kube.resources import CONFIGMAPS, EVENTS, SECRETS, Object, Resource

COMPONENT = "monitoring-tls-operator"
"""Who tells, in `source.component` and `reportingComponent`."""

_RETRY = (0.5, 30.0)
"""First and longest pause after a failure, in seconds."""


@dataclass(frozen=True, slots=True)
class ObjectReference:
    """The object that events are about.

    Attributes:
        api_version: e.g. `apps/v1`.
        kind: e.g. `Deployment`.
        namespace: its namespace, where the events are kept too.
        name: its name.
        uid: its uid where known; `kubectl describe` shows only events that carry the right one.
    """

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str = ""


@dataclass(frozen=True, slots=True)
class Happening:
    """What an event says.

    Attributes:
        reason: why, in CamelCase, for machines.
        message: the sentence for people.
        type: `Normal` or `Warning`.
    """

    reason: str
    message: str
    type: str = "Normal"


def secret_created(namespace: str, name: str) -> Happening:
    """A Secret that should be there was not; the wording is OpenShift's."""
    return _created(SECRETS, namespace, name)


def secret_updated(namespace: str, name: str) -> Happening:
    """A Secret's contents became others; the wording is OpenShift's."""
    return _updated(SECRETS, namespace, name)


def configmap_created(namespace: str, name: str) -> Happening:
    """A ConfigMap that should be there was not; the wording is OpenShift's."""
    return _created(CONFIGMAPS, namespace, name)


def configmap_updated(namespace: str, name: str) -> Happening:
    """A ConfigMap's contents became others; the wording is OpenShift's."""
    return _updated(CONFIGMAPS, namespace, name)


def _created(resource: Resource, namespace: str, name: str) -> Happening:
    kind = resource.kind
    return Happening(f"{kind}Created", f"Created {kind}/{name} -n {namespace} because it was missing")


def _updated(resource: Resource, namespace: str, name: str) -> Happening:
    kind = resource.kind
    return Happening(f"{kind}Updated", f"Updated {kind}/{name} -n {namespace} because it changed")


def event_name(about: ObjectReference, happening: Happening) -> str:
    """The name of the one Event for this object, reason and message."""
    parts = (about.kind, about.namespace, about.name, about.uid, happening.type, happening.reason, happening.message)
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    # An object's name has at most 253 characters, as the Event's has.
    return f"{about.name[:236]}.{digest}"


@dataclass(frozen=True, slots=True)
class _Occurrences:
    """How often something happened that the API server does not know of yet."""

    count: int
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class _Written:
    """What the API server is known to hold of an Event."""

    resource_version: str
    count: int


@dataclass(frozen=True, slots=True)
class _Sent:
    """A request whose answer is not known: how the Event reads if it arrived.

    Attributes:
        total: the Event's count then.
        last: its lastTimestamp then.
        occurrences: how many of them were in this request.
    """

    total: int
    last: str
    occurrences: int


class EventRecorder:
    """Writes events about one object.

    `record` only notes; `run`, a task of its own, writes, and repeats what failed after growing pauses.

    Attributes:
        about: the object.
        error: why the last attempt to write failed; None if it did not.
    """

    def __init__(
        self,
        client: KubeClient,
        about: ObjectReference,
        *,
        component: str = COMPONENT,
        rng: random.Random | None = None,
    ) -> None:
        """Nothing is written before `run`.

        Args:
            client: writes; unguarded, since an event tells of what was done while leading.
            about: the object.
            component: who tells.
            rng: source of the retries' jitter.
        """
        self.about = about
        self.error: MonitoringTLSError | None = None
        self._client = client
        self._component = component
        self._pending: dict[Happening, _Occurrences] = {}
        self._written: dict[Happening, _Written] = {}
        self._unanswered: dict[Happening, set[_Sent]] = {}
        self._instance = f"{socket.gethostname()}_{uuid.uuid4()}"
        self._writing = asyncio.Lock()
        self._added = asyncio.Event()
        rng = rng or random.Random()  # noqa: S311 - jitter, no secret
        self._backoff = Backoff(first=_RETRY[0], limit=_RETRY[1], rng=rng)

    @property
    def pending(self) -> int:
        """Occurrences that are not written yet."""
        return sum(occurrences.count for occurrences in self._pending.values())

    def record(self, happening: Happening) -> None:
        """Note that something happened, now. Never blocks, never fails."""
        now = datetime.now(UTC)
        known = self._pending.get(happening, _Occurrences(0, now, now))
        self._pending[happening] = _Occurrences(known.count + 1, known.first, now)
        self._added.set()

    async def run(self) -> None:
        """Write what is recorded, until cancelled."""
        while True:
            await self._added.wait()
            self._added.clear()
            while not await self._write_all():
                asked = self.error.retry_after if isinstance(self.error, TooManyRequestsError) else None
                await asyncio.sleep(self._backoff.next() + (asked or 0.0))
            self._backoff.reset()

    async def flush(self, seconds: float) -> bool:
        """Write everything now, before the process ends; with or without `run`.

        Args:
            seconds: how long to try.

        Returns:
            Whether everything was written.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    if await self._write_all():
                        return True
                    await asyncio.sleep(_RETRY[0])
        return not self._pending

    async def _write_all(self) -> bool:
        """Try each pending happening once, oldest first; whether none is left."""
        async with self._writing:
            trouble: MonitoringTLSError | None = None
            for happening in list(self._pending):
                try:
                    await self._write(happening)
                except (ApiUnreachableError, TooManyRequestsError, ConfigError) as error:
                    trouble = error
                    break
                except KubeError as error:
                    # About this one only: the others need not wait for it.
                    trouble = error
            self.error = trouble
            return not self._pending

    async def _write(self, happening: Happening) -> None:
        while (occurrences := self._pending.get(happening)) is not None:
            done = await self._attempt(happening, occurrences)
            # Others may have been recorded during the request.
            left = self._pending[happening]
            if left.count == done:
                del self._pending[happening]
            else:
                self._pending[happening] = replace(left, count=left.count - done)

    async def _attempt(self, happening: Happening, occurrences: _Occurrences) -> int:
        """One request; how many of the occurrences are known to be written by it, or by an earlier one."""
        written = self._written.get(happening)
        sent = _Sent((written.count if written else 0) + occurrences.count, _time(occurrences.last), occurrences.count)
        unanswered = self._unanswered.setdefault(happening, set())
        unanswered.add(sent)
        try:
            if written is None:
                answer = await self._create(happening, occurrences)
            else:
                answer = await self._raise_count(happening, written, sent)
        except (AlreadyExistsError, ConflictError):
            return await self._read(happening)
        except NotFoundError:
            if written is None:
                raise
            # The API server keeps events for an hour (--event-ttl): a new one begins.
            del self._written[happening]
            return 0
        except ApiError:
            unanswered.discard(sent)
            raise
        self._learn(happening, answer)
        return occurrences.count

    async def _create(self, happening: Happening, occurrences: _Occurrences) -> Object:
        about = self.about
        involved = {
            "apiVersion": about.api_version,
            "kind": about.kind,
            "namespace": about.namespace,
            "name": about.name,
        }
        event = {
            "metadata": {"namespace": about.namespace, "name": event_name(about, happening)},
            "involvedObject": involved | ({"uid": about.uid} if about.uid else {}),
            "type": happening.type,
            "reason": happening.reason,
            "message": happening.message,
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "reportingInstance": self._instance,
            "firstTimestamp": _time(occurrences.first),
            "lastTimestamp": _time(occurrences.last),
            "count": occurrences.count,
        }
        return await self._client.create(EVENTS, event)

    async def _raise_count(self, happening: Happening, written: _Written, sent: _Sent) -> Object:
        patch = {
            "metadata": {"resourceVersion": written.resource_version},
            "count": sent.total,
            "lastTimestamp": sent.last,
            "reportingInstance": self._instance,
        }
        name = event_name(self.about, happening)
        return await self._client.merge_patch(EVENTS, self.about.namespace, name, patch)

    async def _read(self, happening: Happening) -> int:
        """The Event is not as we thought: another process wrote it, or we did and the answer was lost."""
        event = await self._client.get(EVENTS, self.about.namespace, event_name(self.about, happening))
        ours = event.get("reportingInstance") == self._instance
        state = event.get("count"), event.get("lastTimestamp")
        arrived = [sent for sent in self._unanswered[happening] if ours and (sent.total, sent.last) == state]
        self._learn(happening, event)
        return arrived[0].occurrences if arrived else 0

    def _learn(self, happening: Happening, event: Object) -> None:
        self._written[happening] = _Written(event["metadata"]["resourceVersion"], event.get("count") or 1)
        self._unanswered.pop(happening, None)


def _time(moment: datetime) -> str:
    """A Kubernetes Time, which has whole seconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
