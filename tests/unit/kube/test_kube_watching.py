import itertools
import json
from collections.abc import AsyncIterator

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring_tls.errors import ApiUnreachableError
from monitoring_tls.kube.watching import WatchEvent, WatchStream
from tests.unit.kube.virtual_time import run

EVENTS = [WatchEvent("ADDED", {"n": number, "text": "ä\n" * number}) for number in range(6)]
BYTES = b"".join(json.dumps({"type": event.type, "object": event.object}).encode() + b"\n" for event in EVENTS)


def _stream(*chunks: bytes) -> WatchStream:
    async def content() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    request = httpx2.Request("GET", "http://server/api/v1/secrets")
    return WatchStream(httpx2.Response(200, content=content(), request=request), 60)


@given(st.sets(st.integers(1, len(BYTES) - 1)))
def test_events_do_not_depend_on_how_the_bytes_arrive(cuts: set[int]) -> None:
    edges = [0, *sorted(cuts), len(BYTES)]
    chunks = [BYTES[start:end] for start, end in itertools.pairwise(edges)]

    async def main() -> None:
        assert [event async for event in _stream(*chunks)] == EVENTS

    run(main())


async def test_an_event_that_was_cut_off_is_not_an_end() -> None:
    stream = _stream(BYTES[:-3])
    for expected in EVENTS[:-1]:
        assert await anext(stream) == expected
    with pytest.raises(ApiUnreachableError, match="inside an event"):
        await anext(stream)


@pytest.mark.parametrize("line", [b"canary\n", b'"canary"\n', b'{"type": "canary"}\n', b"\n", b"[]\n"])
async def test_what_is_no_event_is_not_quoted(line: bytes) -> None:
    with pytest.raises(ApiUnreachableError, match="garbled") as failure:
        await anext(_stream(line))
    assert "canary" not in repr(failure.value)
    assert failure.value.__suppress_context__
