import asyncio
import random

from hypothesis import given
from hypothesis import strategies as st

from monitoring_tls.kube.backoff import Backoff
from monitoring_tls.kube.queue import RETRY, Pace, Schedule, Trigger
from tests.unit.kube.virtual_time import run

PACE = Pace(debounce=0.1, interval=1.0, failing_interval=5.0, retry=(10.0, 40.0))
NEVER = float("inf")


def _schedule() -> Schedule:
    return Schedule(PACE, random.Random(1))  # noqa: S311 - reproducible jitter


def test_nothing_is_due_without_a_reason() -> None:
    assert _schedule().due() == NEVER


def test_later_reasons_join_a_run_and_do_not_put_it_off() -> None:
    schedule = _schedule()
    schedule.mark("a", 0.0)
    schedule.mark("b", 0.09)
    assert schedule.due() == 0.1
    assert schedule.take(0.1) == {"a", "b"}
    assert schedule.due() == NEVER


def test_runs_keep_their_distance() -> None:
    schedule = _schedule()
    schedule.take(0.0)
    schedule.mark("a", 0.2)
    assert schedule.due() == 1.0
    schedule.failed(0.3)
    assert schedule.due() == 5.0, "news after a failure wait longer, but not for the whole retry"


def test_a_failed_run_is_repeated_after_growing_pauses_until_one_succeeds() -> None:
    schedule = _schedule()
    pauses = []
    now = 0.0
    for _ in range(6):
        schedule.take(now)
        schedule.failed(now)
        pauses.append(schedule.due() - now)
        now = schedule.due()
    for pause, step in zip(pauses, [10, 20, 40, 40, 40, 40], strict=True):
        assert step / 2 <= pause <= step
    assert schedule.take(now) == {RETRY}
    schedule.succeeded()
    assert schedule.due() == NEVER
    schedule.failed(now)
    assert schedule.due() - now <= 10, "the pauses begin anew"


def test_timers() -> None:
    schedule = _schedule()
    schedule.mark_at("renew", 500.0)
    schedule.mark_at("scan", 50.0)
    schedule.mark_at("renew", 600.0)
    assert schedule.due() == 50.0
    assert schedule.take(50.0) == {"scan"}
    assert schedule.due() == 600.0
    assert schedule.take(600.0) == {"renew"}
    assert schedule.due() == NEVER


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["mark", "timer", "failed", "succeeded", "take"]),
        st.sampled_from("abc"),
        st.floats(0, 100, allow_nan=False),
    )
)


@given(STEPS)
def test_no_reason_is_lost_and_no_run_comes_too_soon(steps: list[tuple[str, str, float]]) -> None:
    schedule = _schedule()
    now = 0.0
    last = float("-inf")
    marked: set[str] = set()
    for step, reason, seconds in steps:
        now += seconds
        match step:
            case "mark":
                schedule.mark(reason, now)
                marked.add(reason)
                assert schedule.due() <= max(now, last + PACE.failing_interval) + PACE.debounce
            case "timer":
                schedule.mark_at(reason, now + seconds)
                assert schedule.due() <= max(now + seconds, last + PACE.failing_interval)
            case "failed":
                schedule.failed(now)
                assert schedule.due() <= now + PACE.retry[1]
            case "succeeded":
                schedule.succeeded()
            case _ if schedule.due() != NEVER:
                now = max(now, schedule.due())
                assert now >= last + min(PACE.interval, PACE.retry[0] / 2)
                assert marked <= schedule.take(now)
                marked.clear()
                last = now
    assert not marked or schedule.due() < NEVER


@given(st.integers())
def test_backoff_doubles_up_to_its_limit_and_never_vanishes(seed: int) -> None:
    backoff = Backoff(first=1, limit=8, rng=random.Random(seed))  # noqa: S311 - reproducible jitter
    for step in (1, 2, 4, 8, 8):
        assert step / 2 <= backoff.next() <= step
    backoff.reset()
    assert backoff.next() <= 1


def test_the_consumer_waits_exactly_as_scheduled() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        trigger = Trigger(PACE, rng=random.Random(1))  # noqa: S311 - reproducible jitter
        trigger.mark_after(1_000, "timer")
        loop.call_later(7, trigger.mark, "news")
        started = loop.time()
        assert await trigger.next() == {"news"}
        assert round(loop.time() - started, 3) == 7.1
        trigger.failed()
        assert await trigger.next() == {RETRY}
        assert 12 <= loop.time() - started <= 17.2
        trigger.succeeded()
        assert await trigger.next() == {"timer"}
        assert round(loop.time() - started, 3) == 1000

    run(main())


def test_a_reason_that_comes_during_a_run_makes_another_one() -> None:
    async def main() -> None:
        trigger = Trigger(PACE)
        trigger.mark("first")
        assert await trigger.next() == {"first"}
        trigger.mark("meanwhile")
        trigger.succeeded()
        assert await trigger.next() == {"meanwhile"}

    run(main())


def test_a_nearer_timer_wakes_a_consumer_that_waits_for_a_later_one() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        trigger = Trigger(PACE)
        trigger.mark_after(500, "far")
        loop.call_later(1, trigger.mark_after, 10, "near")
        started = loop.time()
        assert await trigger.next() == {"near"}
        assert round(loop.time() - started, 3) == 11

    run(main())
