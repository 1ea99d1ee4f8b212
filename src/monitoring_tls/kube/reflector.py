"""A store of one kind of objects that a watch keeps up to date.

The raw objects never stay: each is turned into a small value at once, and a Secret's private keys are dropped with it.
"""

import asyncio
import contextlib
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Generic, TypeVar

from monitoring_tls.errors import (
    ConfigError,
    ExpiredError,
    ForbiddenError,
    KubeError,
    MonitoringTLSError,
    NotFoundError,
    TooManyRequestsError,
)
from monitoring_tls.kube.backoff import Backoff
from monitoring_tls.kube.client import KubeClient
from monitoring_tls.kube.failures import error_from_event
from monitoring_tls.kube.resources import Object, Resource
from monitoring_tls.kube.selection import EVERYTHING, Selection
from monitoring_tls.kube.watching import WatchEvent

T = TypeVar("T")

Key = tuple[str, str]
"""(namespace, name); the namespace of cluster-scoped objects is empty."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The periods that a reflector lives by, all in seconds.

    Attributes:
        watch: the server is asked to end each watch after a random time in this range (client-go's is the same), so
            that the watches of many clients spread over the API servers again after one of them restarted.
        bookmark_silence: longest silence on a stream that is known to carry bookmarks. The API server sends one about
            every minute (`bookmarkFrequency` in k8s.io/apiserver/pkg/storage/cacher), so two were missed.
        end_grace: how long after the promised end of a watch the end is waited for. This alone bounds the silence on
            a stream without bookmarks: an API server that sends none must not be asked again and again.
        retry: first and longest pause after failures.
        forbidden_retry: first and longest pause after a 403, which only a person's change of RBAC rules ends.
        kick_window: how long after a kick an absent kind is asked for: a new CRD is served a moment after it is
            established.
        steady: a watch that lived this long was a success even without events.
    """

    watch: tuple[float, float] = (300.0, 600.0)
    bookmark_silence: float = 150.0
    end_grace: float = 30.0
    retry: tuple[float, float] = (0.5, 30.0)
    forbidden_retry: tuple[float, float] = (5.0, 300.0)
    kick_window: float = 30.0
    steady: float = 1.0


DEFAULT_TIMING: Final = Timing()


class Reflector(Generic[T]):
    """Lists and watches one kind of objects, and keeps a value of each.

    A quiet cluster costs one request each time a watch ends, every 5 to 10 minutes. The first list is a consistent
    read of the newest state. Then the watch goes on from the last version seen, across disconnects; only when the
    server no longer knows that version (410) everything is listed again.

    Attributes:
        resource: the kind.
        objects: the values by key; a live, read-only view.
        absent: the API server does not know the kind (its CRD is not installed). Then `objects` is empty.
        error: why the store cannot be kept up to date just now; None while all is well. An outdated store keeps its
            values.
    """

    def __init__(
        self,
        client: KubeClient,
        resource: Resource,
        transform: Callable[[Object], T | None],
        *,
        selection: Selection = EVERYTHING,
        on_change: Callable[[Key, T | None, T | None], None] | None = None,
        on_status: Callable[[], None] | None = None,
        timing: Timing = DEFAULT_TIMING,
        rng: random.Random | None = None,
    ) -> None:
        """Nothing happens before `run`.

        Args:
            client: reads.
            resource: the kind.
            transform: makes the value to keep; None keeps nothing. Pure, and must not raise, whatever the object.
            selection: which objects.
            on_change: called with (key, old, new) when a value appeared, became another one, or went (new is None).
            on_status: called when `synced`, `absent` or `error` changed.
            timing: the periods.
            rng: source of jitter.
        """
        self.resource = resource
        self.absent = False
        self.error: MonitoringTLSError | None = None
        self._values: dict[Key, T] = {}
        self.objects: Mapping[Key, T] = MappingProxyType(self._values)
        self._client = client
        self._transform = transform
        self._selection = selection
        self._on_change = on_change
        self._on_status = on_status
        self._timing = timing
        self._rng = rng or random.Random()  # noqa: S311 - jitter, no secret
        self._backoff = Backoff(first=timing.retry[0], limit=timing.retry[1], rng=self._rng)
        first, limit = timing.forbidden_retry
        self._forbidden_backoff = Backoff(first=first, limit=limit, rng=self._rng)
        self._synced = asyncio.Event()
        self._kick = asyncio.Event()
        self._kicked_at = float("-inf")
        self._version: str | None = None
        self._steady = False
        self._sends_bookmarks = False

    @property
    def synced(self) -> bool:
        """Whether `objects` has shown the cluster's state at least once (an absent kind has no objects)."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        """Return when `synced`. A missing permission makes this last until it is given; see `error`."""
        await self._synced.wait()

    def kick(self) -> None:
        """Try again now: a CRD appeared, or a permission may have been given."""
        self._kicked_at = asyncio.get_running_loop().time()
        self._kick.set()

    async def run(self) -> None:
        """Keep the store up to date until cancelled."""
        while True:
            try:
                if self._version is None:
                    await self._list()
                await self._watch()
            except ExpiredError:
                # The changes since the last version are lost, so everything is listed. Not at once: a restarted API
                # server says this to all its clients together.
                self._version = None
                await self._pause(self._backoff.next())
            except NotFoundError:
                await self._wait_for_kind()
            except ForbiddenError as error:
                self._set_status(error=error)
                await self._pause(self._forbidden_backoff.next())
            except TooManyRequestsError as error:
                self._set_status(error=error)
                await self._pause((error.retry_after or 0.0) + self._backoff.next())
            except (KubeError, ConfigError) as error:
                self._set_status(error=error)
                await self._pause(self._backoff.next())
            else:
                # The watch ended as announced. A server that ends each at once is asked ever slower.
                if not self._steady:
                    await self._pause(self._backoff.next())

    async def _list(self) -> None:
        found: dict[Key, T] = {}
        version = ""
        async for page in self._client.pages(self.resource, self._selection):
            version = page.resource_version
            while page.items:
                self._keep(found, page.items.pop())
        for key in [*found, *(key for key in self._values if key not in found)]:
            self._change(key, found.get(key))
        self._version = version
        self._set_status(error=None)

    def _keep(self, found: dict[Key, T], obj: Object) -> None:
        value = self._transform(obj)
        if value is not None:
            found[_key(obj)] = value

    async def _watch(self) -> None:
        """One watch, until it ends in whatever way. Its events are in the store by then, and its version is ours."""
        clock = asyncio.get_running_loop().time
        timeout = self._rng.uniform(*self._timing.watch)
        opened = self._client.watch(
            self.resource,
            self._selection,
            resource_version=self._version or "",
            timeout_seconds=math.ceil(timeout),
            silence=timeout + self._timing.end_grace,
        )
        self._steady = False
        async with opened as stream:
            started = clock()
            self._kick.clear()
            self._set_status(error=None)
            try:
                if self._sends_bookmarks:
                    stream.silence = self._timing.bookmark_silence
                async for event in stream:
                    self._take(event)
                    if event.type == "BOOKMARK" and clock() - started < self._timing.watch[0] / 2:
                        # Not the one that announces the end of the watch, so there will be more.
                        self._sends_bookmarks = True
                        stream.silence = self._timing.bookmark_silence
                    # Not kept until the next event, which may be minutes away: it can hold private keys.
                    del event
            finally:
                # If it was no stall, but a server that stopped sending bookmarks, it must not look like one again.
                self._sends_bookmarks = self._sends_bookmarks and not stream.stalled
                if clock() - started >= self._timing.steady:
                    self._has_worked()

    def _take(self, event: WatchEvent) -> None:
        if event.type == "ERROR":
            raise error_from_event(event.object, self.resource.path(self._selection.namespace))
        self._has_worked()
        key = _key(event.object)
        match event.type:
            case "ADDED" | "MODIFIED":
                self._change(key, self._transform(event.object))
            case "DELETED":
                self._change(key, None)
        self._version = event.object["metadata"]["resourceVersion"]

    def _has_worked(self) -> None:
        self._steady = True
        self._backoff.reset()
        self._forbidden_backoff.reset()

    def _change(self, key: Key, new: T | None) -> None:
        old = self._values.get(key)
        if new is None:
            self._values.pop(key, None)
        else:
            self._values[key] = new
        if self._on_change is not None and new != old:
            self._on_change(key, old, new)

    def _set_status(self, *, error: MonitoringTLSError | None, absent: bool = False) -> None:
        changed = absent != self.absent or type(error) is not type(self.error) or not self._synced.is_set()
        self.absent = absent
        self.error = error
        if error is None:
            self._synced.set()
        if changed and self._on_status is not None:
            self._on_status()

    async def _pause(self, seconds: float) -> None:
        """Wait, but no longer than until a kick."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._kick.wait()
        self._kick.clear()

    async def _wait_for_kind(self) -> None:
        """The API server does not know the kind: ask again when kicked, and for a while after each kick."""
        self._version = None
        for key in list(self._values):
            self._change(key, None)
        self._set_status(error=None, absent=True)
        if asyncio.get_running_loop().time() < self._kicked_at + self._timing.kick_window:
            await self._pause(self._backoff.next())
        else:
            self._backoff.reset()
            await self._kick.wait()
            self._kick.clear()


def _key(obj: Object) -> Key:
    metadata = obj["metadata"]
    return metadata.get("namespace", ""), metadata.get("name", "")
