"""What the audience sees: sections, progress, and what was asked and seen. Plain lines where there is no terminal."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TextIO

from rich.console import Console
from rich.table import Table

from demo.errors import DemoError
from devcluster.progress import Progress, Step

_LOOK: Final = 0.3
_LOG_WIDTH: Final = 200


@dataclass(frozen=True, slots=True)
class Check:
    """Something that the demo set out to show.

    Attributes:
        asked: what was to be shown.
        seen: what was seen instead of or in support of it, with figures.
        seconds: how long it took, where that says something.
    """

    section: str
    asked: str
    seen: str
    ok: bool
    seconds: float | None = None


class Stage:
    """Shows the demo, and keeps its results."""

    def __init__(self, stream: TextIO | None = None) -> None:
        out = stream or sys.stdout
        self.console = Console(file=out, highlight=False)
        if not self.console.is_terminal:
            self.console.width = _LOG_WIDTH
        self.progress = Progress(out, interval=15.0)
        self.checks: list[Check] = []
        self._section = ""

    @property
    def failed(self) -> bool:
        """Whether something was not seen."""
        return any(not check.ok for check in self.checks)

    def section(self, title: str) -> None:
        """Begin a part of the demo."""
        self._section = title
        if self.console.is_terminal:
            self.console.print()
            self.console.rule(f"[bold]{title}", align="left")
        else:
            self.progress.say(f"\n== {title}")

    def say(self, line: str) -> None:
        """One line that stays."""
        self.progress.say(f"  {line}")

    def show(self, table: Table) -> None:
        """A table."""
        self.console.print(table)

    def check(self, asked: str, seen: str, *, ok: bool, seconds: float | None = None) -> None:
        """Record what was seen of something that was to be shown."""
        self.checks.append(Check(self._section, asked, seen, ok, seconds))
        mark = "✓" if ok else "✗"
        took = "" if seconds is None else f" ({seconds:.1f} s)"
        self.say(f"{mark} {asked}: {seen}{took}")

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Show a step while it runs, then how long it took."""
        with self.progress.step(title) as step:
            yield step

    async def until(
        self,
        title: str,
        missing: Callable[[], Awaitable[str]],
        *,
        seconds: float,
        every: float = _LOOK,
        beside: Callable[[], str] = str,
    ) -> float:
        """Wait until nothing is missing any more.

        Args:
            title: what is waited for.
            missing: what is still missing, in words; empty when it is there.
            seconds: how long to wait.
            every: how often to look.
            beside: a figure to show beside the progress.

        Returns:
            How long it took.

        Raises:
            DemoError: time is up.
        """
        started = time.monotonic()
        with self.step(title) as step:
            while lacking := await missing():
                if time.monotonic() - started > seconds:
                    raise DemoError(
                        f"{title}: not within {seconds:.0f} s", f"still missing: {lacking}; look around in the cluster"
                    )
                step.update(" · ".join(part for part in (beside(), lacking) if part))
                await asyncio.sleep(every)
        return time.monotonic() - started
