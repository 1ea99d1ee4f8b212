"""When a reflector asks again, over hours of virtual time. What it does with real answers is an integration test."""

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2

from monitoring_tls.kube.client import KubeClient
from monitoring_tls.kube.reflector import DEFAULT_TIMING, Reflector
from monitoring_tls.kube.resources import SECRETS
from monitoring_tls.kube.transport import Transport
from tests.unit.kube.virtual_time import run

HOUR = 3600.0
BOOKMARK = json.dumps({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "7"}}}).encode() + b"\n"

Script = Callable[[int, float], AsyncIterator[bytes]]
"""(which watch this is, its timeoutSeconds) -> what is sent."""


class _Server:
    """Lists nothing, and sends on each watch what a script says."""

    def __init__(self, script: Script) -> None:
        self.lists = 0
        self.watches: list[float] = []
        self._script = script

    async def answer(self, request: httpx2.Request) -> httpx2.Response:
        if "watch" not in request.url.params:
            self.lists += 1
            return httpx2.Response(200, json={"metadata": {"resourceVersion": "1"}, "items": []})
        self.watches.append(asyncio.get_running_loop().time())
        timeout = float(request.url.params["timeoutSeconds"])
        return httpx2.Response(200, content=self._script(len(self.watches), timeout))

    @property
    def pauses(self) -> list[float]:
        """Seconds from each watch to the next."""
        return [later - earlier for earlier, later in zip(self.watches, self.watches[1:], strict=False)]


def _watched(script: Script, hours: float) -> _Server:
    """What a server saw of a reflector that ran for so long."""
    server = _Server(script)

    async def main() -> None:
        http = httpx2.AsyncClient(transport=httpx2.MockTransport(server.answer), base_url="http://server")
        async with KubeClient(Transport(http)) as client:
            rng = random.Random(1)  # noqa: S311 - reproducible jitter
            reflector: Reflector[Any] = Reflector(client, SECRETS, lambda _: None, rng=rng)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(hours * HOUR):
                    await reflector.run()

    run(main())
    return server


async def _bookmarks(period: float) -> AsyncIterator[bytes]:
    """As seen of kube-apiserver 1.36 on quiet resources: every minute, and 2 s before the end."""
    spent = 0.0
    while spent + 60 < period - 2:
        await asyncio.sleep(60)
        spent += 60
        yield BOOKMARK
    await asyncio.sleep(period - 2 - spent)
    yield BOOKMARK
    await asyncio.sleep(2)


async def _nothing(period: float) -> AsyncIterator[bytes]:
    await asyncio.sleep(period)
    nothing: tuple[bytes, ...] = ()
    for chunk in nothing:
        yield chunk


def test_a_quiet_hour_costs_one_request_every_5_to_10_minutes() -> None:
    server = _watched(lambda _number, period: _bookmarks(period), 24)
    assert server.lists == 1
    assert all(300 <= pause <= 601 for pause in server.pauses)
    assert len({round(pause) for pause in server.pauses}) > 10, "the ends are spread"


def test_a_server_without_bookmarks_is_not_asked_more_often() -> None:
    server = _watched(lambda _number, period: _nothing(period), 24)
    assert server.lists == 1
    assert all(300 <= pause <= 601 for pause in server.pauses)


def test_the_bookmark_before_the_end_promises_no_others() -> None:
    async def script(period: float) -> AsyncIterator[bytes]:
        await asyncio.sleep(period - 2)
        yield BOOKMARK
        await asyncio.sleep(2)

    server = _watched(lambda _number, period: script(period), 24)
    assert all(300 <= pause <= 601 for pause in server.pauses)


def test_a_stream_that_falls_silent_is_given_up_after_two_missed_bookmarks() -> None:
    async def script(number: int, period: float) -> AsyncIterator[bytes]:
        if number == 3:
            await asyncio.sleep(60)
            yield BOOKMARK
            await asyncio.sleep(HOUR)
        async for chunk in _bookmarks(period):
            yield chunk

    server = _watched(script, 4)
    assert server.lists == 1
    stalled = server.pauses[2]
    assert 60 + DEFAULT_TIMING.bookmark_silence <= stalled <= 60 + DEFAULT_TIMING.bookmark_silence + 1
    assert all(300 <= pause <= 601 for pause in server.pauses[:2] + server.pauses[3:])


def test_a_stream_that_was_silent_from_its_start_is_given_up_as_soon_where_bookmarks_are_known() -> None:
    async def script(number: int, period: float) -> AsyncIterator[bytes]:
        if number == 2:
            await asyncio.sleep(HOUR)
        async for chunk in _bookmarks(period):
            yield chunk

    server = _watched(script, 4)
    assert DEFAULT_TIMING.bookmark_silence <= server.pauses[1] <= DEFAULT_TIMING.bookmark_silence + 1


def test_a_server_that_stops_sending_bookmarks_is_taken_for_stalled_only_once() -> None:
    async def script(number: int, period: float) -> AsyncIterator[bytes]:
        async for chunk in _bookmarks(period) if number == 1 else _nothing(period):
            yield chunk

    server = _watched(script, 24)
    assert [pause for pause in server.pauses if pause < 300] == [server.pauses[1]]


def test_an_end_that_does_not_come_is_not_waited_for() -> None:
    server = _watched(lambda _number, _timeout: _nothing(10 * HOUR), 24)
    assert server.lists == 1
    assert all(300 <= pause <= 632 for pause in server.pauses)
