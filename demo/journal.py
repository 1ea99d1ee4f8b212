"""What became of each pod of the stack, as a watch told: who should answer a query now, and who was restarted."""

import asyncio
import contextlib
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from demo.serving import PLATFORM, USER_WORKLOAD
from monitoring_tls.errors import KubeError
from monitoring_tls.kube.client import KubeClient
from monitoring_tls.kube.resources import PODS, Object
from monitoring_tls.kube.selection import Selection

NAMESPACES: Final = (PLATFORM, USER_WORKLOAD)

SETTLE: Final = 6.0
"""Seconds from a replica's Ready condition until a query has to show it.

The sum of what the stack needs by its own settings: the name is looked up each 1 s, the endpoints found are looked at
each 2 s, the first scrape comes within 1 s; 2 s for a busy machine."""

_WATCH_SECONDS: Final = 300
_SILENCE: Final = 120.0
_AGAIN: Final = 0.5


@dataclass(slots=True)
class PodLife:
    """One pod from its first event to its last; times by ``time.monotonic``.

    Attributes:
        workload: name of the Deployment or StatefulSet that made it.
        first_ready: when it became Ready; None while it never was.
        leaving: since when it is being deleted; None while it isn't.
    """

    namespace: str
    name: str
    uid: str
    workload: str
    seen: float
    ip: str | None = None
    ready: bool = False
    first_ready: float | None = None
    leaving: float | None = None
    container_restarts: int = 0


class PodJournal:
    """Follows the pods of both namespaces. `lives` may be read from other threads."""

    def __init__(self, client: KubeClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._lock = threading.Lock()
        self._lives: dict[str, PodLife] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._listed = [asyncio.Event() for _ in NAMESPACES]

    async def start(self) -> None:
        """Begin to watch; returns when the pods that exist are known."""
        self._tasks = [
            asyncio.create_task(self._follow(namespace, listed))
            for namespace, listed in zip(NAMESPACES, self._listed, strict=True)
        ]
        for listed in self._listed:
            await listed.wait()

    async def stop(self) -> None:
        """End the watches."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def lives(self) -> list[PodLife]:
        """Every pod that was ever seen."""
        with self._lock:
            return list(self._lives.values())

    def present(self, workload: str | None = None) -> list[PodLife]:
        """The pods that are not being deleted, of one workload or of all."""
        return [life for life in self.lives() if life.leaving is None and workload in {None, life.workload}]

    def expected(self, workload: str, started: float) -> int:
        """How many replicas of a StatefulSet a query that began at ``started`` has to show.

        A replica counts from `SETTLE` after it became Ready until its deletion begins. One that stops being Ready
        without being deleted still counts: it should be up. There is always one to be expected.
        """
        settled = [
            life
            for life in self.present(workload)
            if life.first_ready is not None and life.first_ready + SETTLE <= started
        ]
        return max(1, len(settled))

    def made_since(self, moment: float) -> Counter[str]:
        """How many pods each workload got after a moment."""
        return Counter(life.workload for life in self.lives() if life.seen > moment)

    def container_restarts(self) -> int:
        """Containers that ended and were started again in their pods."""
        return sum(life.container_restarts for life in self.lives())

    async def _follow(self, namespace: str, listed: asyncio.Event) -> None:
        while True:
            try:
                page = await self._client.list(PODS, Selection(namespace))
                self._replace(namespace, page.items)
                listed.set()
                async with self._client.watch(
                    PODS,
                    Selection(namespace),
                    resource_version=page.resource_version,
                    timeout_seconds=_WATCH_SECONDS,
                    silence=_SILENCE,
                ) as stream:
                    async for event in stream:
                        if event.type == "ERROR":
                            break
                        if event.type != "BOOKMARK":
                            self.note(event.object, gone=event.type == "DELETED")
            except KubeError:
                # The API server may be busy or restarting: what is missed meanwhile shows in the next list.
                await asyncio.sleep(_AGAIN)

    def _replace(self, namespace: str, pods: Iterable[Object]) -> None:
        pods = list(pods)
        there = {pod["metadata"]["uid"] for pod in pods}
        with self._lock:
            for life in self._lives.values():
                if life.namespace == namespace and life.uid not in there and life.leaving is None:
                    life.leaving = self._clock()
        for pod in pods:
            self.note(pod, gone=False)

    def note(self, pod: Object, *, gone: bool) -> None:
        """Take in one state of a pod."""
        now = self._clock()
        metadata, status = pod["metadata"], pod.get("status", {})
        uid = metadata["uid"]
        with self._lock:
            life = self._lives.get(uid)
            if life is None:
                life = PodLife(metadata["namespace"], metadata["name"], uid, workload_of(pod), now)
                self._lives[uid] = life
            life.ip = status.get("podIP", life.ip)
            life.ready = not gone and _is_ready(status)
            life.container_restarts = sum(each.get("restartCount", 0) for each in status.get("containerStatuses", []))
            if life.ready and life.first_ready is None:
                life.first_ready = now
            if (gone or metadata.get("deletionTimestamp")) and life.leaving is None:
                life.leaving = now


def workload_of(pod: Object) -> str:
    """The name of the Deployment or StatefulSet that a pod is from; the pod's own where there is none."""
    for owner in pod["metadata"].get("ownerReferences", []):
        name: str = owner["name"]
        if owner["kind"] == "ReplicaSet":
            return re.sub(r"-[^-]+$", "", name)
        if owner.get("controller"):
            return name
    own: str = pod["metadata"]["name"]
    return own


def _is_ready(status: Object) -> bool:
    return any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions", []))
