"""Hours of waiting in a moment: an event loop whose time passes only when there is nothing else to do."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any


class _VirtualTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        super().__init__(_JumpingSelector(self))
        self.now = 1000.0

    def time(self) -> float:
        return self.now


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, loop: _VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "the test would wait for ever"
            self._loop.now += timeout
        return ready


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a test on such a loop."""
    loop = _VirtualTimeLoop()
    try:
        loop.run_until_complete(asyncio.wait_for(main, 1_000_000))
    finally:
        loop.close()
