"""Progress of long work: a live line on a terminal, a few plain lines elsewhere.

A step that takes minutes must never look like one that hangs, and the log of an unattended run must not fill with
control characters. So on a terminal the current step has a bar, what it is at, and the elapsed time; elsewhere there is
one line when it starts, one when it ends, and one every half minute in between.
"""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TextIO

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress
from rich.table import Column

PLAIN_INTERVAL: Final = 30.0


class Step:
    """One step of the work while it runs; the work tells it what it is at."""

    def __init__(self) -> None:
        self.detail = ""
        self.done: int | None = None
        self.total: int | None = None

    def update(self, detail: str = "", *, done: int | None = None, total: int | None = None) -> None:
        """Say what the step is at.

        Args:
            detail: A few words; an empty one keeps what was said before.
            done: How many of ``total`` parts are done, where that is known.
            total: How many parts there are.
        """
        if detail:
            self.detail = detail
        if done is not None:
            self.done = done
        if total is not None:
            self.total = total

    def counted(self) -> str:
        """How far the step is, as ``done/total``, or nothing where that is not known."""
        return f"{self.done}/{self.total}" if self.done is not None and self.total else ""


class Progress:
    """Shows steps one after the other.

    Args:
        stream: Where to write; standard error by default, so that a command's own output stays clean.
        interval: Seconds between two plain lines of a step.
    """

    def __init__(self, stream: TextIO | None = None, *, interval: float = PLAIN_INTERVAL) -> None:
        self._stream = stream or sys.stderr
        self._console = Console(file=self._stream, highlight=False)
        self._interval = interval

    def say(self, line: str) -> None:
        """Write one line that stays."""
        if self._console.is_terminal:
            self._console.print(line, markup=False, soft_wrap=True)
        else:
            print(line, file=self._stream, flush=True)

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Show a step for as long as the ``with`` block runs, then one line with the time it took."""
        step = _LiveStep(title, self._console) if self._console.is_terminal else _PlainStep(title, self)
        started = time.monotonic()
        try:
            with step.shown(self._interval):
                yield step
        except BaseException:
            self.say(f"✗ {title} ({_seconds(started)})")
            raise
        self.say(f"✓ {title} ({_seconds(started)})")


class _LiveStep(Step):
    def __init__(self, title: str, console: Console) -> None:
        super().__init__()
        self._bar = RichProgress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            BarColumn(bar_width=16),
            TextColumn("{task.fields[counted]}", markup=False, table_column=Column(no_wrap=True)),
            TimeElapsedColumn(table_column=Column(no_wrap=True)),
            # What is left of the line, so that a long name neither wraps nor squeezes the rest.
            TextColumn(
                "{task.fields[detail]}",
                markup=False,
                style="dim",
                table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1),
            ),
            console=console,
            transient=True,
            expand=True,
        )
        self._task = self._bar.add_task(title, total=None, counted="", detail="")

    def update(self, detail: str = "", *, done: int | None = None, total: int | None = None) -> None:
        super().update(detail, done=done, total=total)
        self._bar.update(
            self._task, completed=self.done, total=self.total or None, counted=self.counted(), detail=self.detail
        )

    @contextmanager
    def shown(self, _interval: float) -> Iterator[None]:
        with self._bar:
            yield


class _PlainStep(Step):
    def __init__(self, title: str, progress: Progress) -> None:
        super().__init__()
        self._title = title
        self._progress = progress

    @contextmanager
    def shown(self, interval: float) -> Iterator[None]:
        self._progress.say(f"… {self._title}")
        ended = threading.Event()
        started = time.monotonic()

        def tick() -> None:
            while not ended.wait(interval):
                self._progress.say(f"  {self._title}: {_seconds(started)}, {self._at()}")

        thread = threading.Thread(target=tick, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _at(self) -> str:
        return ", ".join(part for part in (self.counted(), self.detail) if part) or "still at it"


def _seconds(started: float) -> str:
    elapsed = time.monotonic() - started
    if elapsed < 60:
        return f"{elapsed:.1f} s"
    return f"{int(elapsed // 60)} min {int(elapsed % 60)} s"
