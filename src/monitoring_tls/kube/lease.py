"""Leader election by a coordination.k8s.io Lease, by the algorithm of client-go's tools/leaderelection.

No machine's wall clock is compared with another's: a foreign Lease counts as held until it was seen unchanged for its
whole duration on our own monotonic clock. The times in the Lease are for people.
"""

import asyncio
import contextlib
import math
import random
import socket
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeVar

from monitoring_tls.errors import (
    AlreadyExistsError,
    ConfigError,
    ConflictError,
    KubeError,
    LeadershipLostError,
    NotFoundError,
)
from monitoring_tls.kube.client import KubeClient
from monitoring_tls.kube.resources import LEASES, Object

T = TypeVar("T")

_ACQUIRE_JITTER = 1.2
"""client-go's JitterFactor: those who wait for the Lease ask after 1 to 2.2 retry periods."""


@dataclass(frozen=True, slots=True)
class LeaseTiming:
    """client-go's periods, in seconds; the defaults are its own.

    Attributes:
        lease_duration: an unchanged Lease is taken over after this time.
        renew_deadline: without a renewal for this long the leader stops. The distance to `lease_duration` is what a
            request that is under way may take, and what clocks may differ in speed.
        retry_period: time between two renewals, and between two looks at a foreign Lease.
    """

    lease_duration: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 2.0

    def __post_init__(self) -> None:
        if not self.lease_duration > self.renew_deadline > self.retry_period * _ACQUIRE_JITTER > 0:
            remedy = f"choose lease_duration > renew_deadline > {_ACQUIRE_JITTER} * retry_period > 0"
            raise ConfigError("leader election", f"its periods contradict each other: {self}", remedy)


DEFAULT_TIMING: Final = LeaseTiming()


def new_identity() -> str:
    """A name for this process in the Lease: the host (in a pod, the pod) and something no other process has."""
    return f"{socket.gethostname()}_{uuid.uuid4()}"


def elapsing_seconds() -> float:
    """Monotonic seconds that go on while the machine is suspended, as the other candidates' do."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class LeaderElector:
    """Holds, or waits for, one Lease.

    `ensure_leader` belongs before every single write (see `KubeClient.guarded`): a process that was stopped for a
    while goes on in the middle of its work, before its own timers run.

    Attributes:
        identity: our name in the Lease.
    """

    def __init__(
        self,
        client: KubeClient,
        namespace: str,
        name: str,
        identity: str,
        *,
        timing: LeaseTiming = DEFAULT_TIMING,
        clock: Callable[[], float] = elapsing_seconds,
        rng: random.Random | None = None,
    ) -> None:
        """Nothing is asked before `run`.

        Args:
            client: unguarded.
            namespace: the Lease's namespace.
            name: the Lease's name.
            identity: see `new_identity`.
            timing: the periods.
            clock: monotonic seconds.
            rng: source of jitter.
        """
        self.identity = identity
        self._client = client
        self._namespace = namespace
        self._name = name
        self._timing = timing
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - jitter, no secret
        self._observed: Object = {}
        self._observed_at = float("-inf")
        self._renewed_at: float | None = None

    @property
    def holder(self) -> str:
        """The Lease's holder as last seen; empty for none."""
        return self._spec.get("holderIdentity") or ""

    @property
    def is_leader(self) -> bool:
        """Whether we hold the Lease, renewed less than `renew_deadline` ago."""
        return self._age() < self._timing.renew_deadline

    def ensure_leader(self) -> None:
        """Do nothing if we may write.

        Raises:
            LeadershipLostError: if we may not.
        """
        if not self.is_leader:
            raise self._lost()

    async def run(self, lead: Callable[[], Awaitable[T]]) -> T:
        """Wait for the Lease, then run `lead` for as long as we hold it.

        However it ends, `lead` has ended before the Lease is given back.

        Raises:
            LeadershipLostError: if the Lease was lost; `lead` was cancelled.
        """
        await self._acquire()
        work = asyncio.ensure_future(lead())
        renewal = asyncio.ensure_future(self._renew())
        try:
            await asyncio.wait({work, renewal}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                renewal.result()
            return await work
        finally:
            await _cancelled(work)
            await _cancelled(renewal)
            await self._release()

    async def _acquire(self) -> None:
        while True:
            if await self._try():
                return
            await asyncio.sleep(self._timing.retry_period * (1 + _ACQUIRE_JITTER * self._rng.random()))

    async def _renew(self) -> None:
        """Renew until that failed for too long."""
        while self.is_leader:
            await asyncio.sleep(self._timing.retry_period)
            # After the deadline others may write already: a late renewal would be no proof that none of them did.
            if not self.is_leader or (not await self._try() and self.holder != self.identity):
                break
        error = self._lost()
        self._renewed_at = None
        raise error

    async def _try(self) -> bool:
        """One attempt to take or renew; whether it worked. Failures are what the next attempt is for."""
        began = self._clock()
        # One request that hangs must leave time for another; client-go's clients are set up the same way.
        limit = self._timing.renew_deadline / 2
        try:
            async with asyncio.timeout(limit):
                held = await self._take_or_renew()
        except (KubeError, ConfigError, TimeoutError):
            return False
        if held:
            # Counted from before the request: nobody can have seen the renewal earlier.
            self._renewed_at = began
        return held

    async def _take_or_renew(self) -> bool:
        if self.is_leader:
            # Nobody else can have taken it, so no need to look first; the resourceVersion guards against a surprise.
            with contextlib.suppress(ConflictError, NotFoundError):
                return await self._write(self._renewed_spec())
        try:
            self._observe(await self._client.get(LEASES, self._namespace, self._name))
        except NotFoundError:
            return await self._create()
        if self.holder not in {"", self.identity} and self._is_valid():
            return False
        try:
            return await self._write(self._renewed_spec())
        except ConflictError:
            return False

    async def _create(self) -> bool:
        self._observed = {}
        metadata = {"namespace": self._namespace, "name": self._name}
        try:
            created = await self._client.create(LEASES, {"metadata": metadata, "spec": self._renewed_spec()})
        except AlreadyExistsError:
            return False
        self._observe(created)
        return True

    async def _write(self, spec: Object) -> bool:
        self._observe(await self._client.replace(LEASES, self._observed | {"spec": spec}))
        return True

    def _renewed_spec(self) -> Object:
        now = _micro_time()
        spec = self._spec
        ours = self.holder == self.identity
        transitions = spec.get("leaseTransitions") or 0
        return spec | {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": math.ceil(self._timing.lease_duration),
            "acquireTime": spec.get("acquireTime") or now if ours else now,
            "renewTime": now,
            "leaseTransitions": transitions + 1 if spec and not ours else transitions,
        }

    async def _release(self) -> None:
        """Give the Lease back, so that the next leader need not wait. Best effort: it runs out by itself."""
        held = self.is_leader
        self._renewed_at = None
        if not held:
            return
        spec = self._spec | {"leaseDurationSeconds": 1, "renewTime": _micro_time()}
        spec.pop("holderIdentity", None)
        with contextlib.suppress(KubeError, ConfigError, TimeoutError):
            async with asyncio.timeout(self._timing.retry_period):
                await self._write(spec)

    @property
    def _spec(self) -> Object:
        spec: Object = self._observed.get("spec") or {}
        return spec

    def _observe(self, lease: Object) -> None:
        if lease.get("spec") != self._observed.get("spec"):
            self._observed_at = self._clock()
        self._observed = lease

    def _is_valid(self) -> bool:
        """Whether the holder may still believe in the Lease: it was seen to change less than its duration ago."""
        duration = self._spec.get("leaseDurationSeconds") or self._timing.lease_duration
        return self._clock() < self._observed_at + duration

    def _age(self) -> float:
        return float("inf") if self._renewed_at is None else self._clock() - self._renewed_at

    def _lost(self) -> LeadershipLostError:
        age = None if self._renewed_at is None else self._age()
        return LeadershipLostError(f"{self._namespace}/{self._name}", self.identity, age)


async def _cancelled(task: "asyncio.Future[T]") -> None:
    """Cancel a task, and wait for its end. What it raised was either passed on already or is its cancellation."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()


def _micro_time() -> str:
    """Now as a Kubernetes MicroTime, whose parser insists on six digits of fraction (k8s.io/apimachinery)."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
