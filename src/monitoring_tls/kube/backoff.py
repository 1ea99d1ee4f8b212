"""How long to wait before trying again."""

import random


class Backoff:
    """Doubling delays with jitter, from `first` up to `limit` seconds.

    Each delay is drawn from the upper half of its step ("equal jitter", see
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), so that many clients of a restarted API
    server do not come back together, and none comes back at once.
    """

    def __init__(self, *, first: float, limit: float, rng: random.Random) -> None:
        self._first = first
        self._limit = limit
        self._rng = rng
        self._step = first

    def next(self) -> float:
        """Seconds to wait now; the following call answers about twice as much."""
        step = self._step
        self._step = min(self._limit, step * 2)
        return step * self._rng.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Something worked: begin with `first` again."""
        self._step = self._first
