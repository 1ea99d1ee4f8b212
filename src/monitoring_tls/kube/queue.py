"""When the operator's one loop runs next: a work queue with a single, level-based item.

Everything that happens only says "look again, because …". What is done is decided from the state that is then found,
so any number of reasons make one run.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from monitoring_tls.kube.backoff import Backoff

RETRY: Final = "retry"
"""The reason of a run that follows a failed one."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the loop may run, in seconds.

    Attributes:
        debounce: wait after the first reason, so that the events of one change (many objects) make one run. Later
            reasons do not prolong it.
        interval: least time between the starts of two runs.
        failing_interval: the same after a failed run. News may end the failure, so they are not kept waiting for the
            whole retry; but a failing run that itself causes news must not spin.
        retry: first and longest time until a failed run is repeated without news.
    """

    debounce: float = 0.1
    interval: float = 0.2
    failing_interval: float = 2.0
    retry: tuple[float, float] = (1.0, 120.0)


DEFAULT_PACE: Final = Pace()


class Schedule:
    """The rules of `Trigger` without its waiting: all times are given by the caller."""

    def __init__(self, pace: Pace, rng: random.Random) -> None:
        self._pace = pace
        self._backoff = Backoff(first=pace.retry[0], limit=pace.retry[1], rng=rng)
        self._reasons: set[str] = set()
        self._marked_at = float("inf")
        self._timers: dict[str, float] = {}
        self._last_run = float("-inf")
        self._retry_at: float | None = None

    def mark(self, reason: str, now: float) -> None:
        """There is a reason to run."""
        self._reasons.add(reason)
        self._marked_at = min(self._marked_at, now)

    def mark_at(self, reason: str, when: float) -> None:
        """There will be a reason to run; replaces the time that was set for the same reason."""
        self._timers[reason] = when

    def failed(self, now: float) -> None:
        """The run that was begun did not reach its end."""
        self._retry_at = now + self._backoff.next()

    def succeeded(self) -> None:
        """The run that was begun reached its end."""
        self._retry_at = None
        self._backoff.reset()

    def due(self) -> float:
        """When the next run is due as things stand; infinity for never."""
        interval = self._pace.interval if self._retry_at is None else self._pace.failing_interval
        wanted = min([self._marked_at + self._pace.debounce, *self._timers.values()])
        paced = max(wanted, self._last_run + interval)
        return paced if self._retry_at is None else min(paced, self._retry_at)

    def take(self, now: float) -> frozenset[str]:
        """Begin a run that is due: all reasons that led to it."""
        reasons = self._reasons | {reason for reason, when in self._timers.items() if when <= now}
        if self._retry_at is not None:
            reasons.add(RETRY)
        self._timers = {reason: when for reason, when in self._timers.items() if when > now}
        self._reasons = set()
        self._marked_at = float("inf")
        self._last_run = now
        # The consumer says how the run ended; until then only news lead to another one.
        self._retry_at = None
        return frozenset(reasons)


class Trigger:
    """What the operator's loop waits on; marked from anywhere in the same event loop.

    The one consumer calls `next`, runs, and then calls `succeeded` or `failed`. Reasons that arrive during a run lead
    to another one.
    """

    def __init__(
        self,
        pace: Pace = DEFAULT_PACE,
        *,
        clock: Callable[[], float] | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """Nothing is due yet.

        Args:
            pace: how often to run.
            clock: monotonic seconds; the running event loop's by default.
            rng: source of the retries' jitter.
        """
        self._schedule = Schedule(pace, rng or random.Random())  # noqa: S311 - jitter, no secret
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._changed = asyncio.Event()

    def mark(self, reason: str) -> None:
        """Run soon."""
        self._schedule.mark(reason, self._clock())
        self._changed.set()

    def mark_after(self, seconds: float, reason: str) -> None:
        """Run after so many seconds; a later call for the same reason replaces an earlier one."""
        self._schedule.mark_at(reason, self._clock() + seconds)
        self._changed.set()

    def failed(self) -> None:
        """The last run failed: repeat it after a pause that doubles from failure to failure."""
        self._schedule.failed(self._clock())
        self._changed.set()

    def succeeded(self) -> None:
        """The last run did all it could."""
        self._schedule.succeeded()

    async def next(self) -> frozenset[str]:
        """Wait until a run is due, and begin it: its reasons, for the log."""
        while (wait := self._schedule.due() - self._clock()) > 0:
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if wait == float("inf") else wait):
                    await self._changed.wait()
        return self._schedule.take(self._clock())
