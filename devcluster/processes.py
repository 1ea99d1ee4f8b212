"""Processes known beyond doubt: by process id and start time, so that a recycled id is never signalled."""

import os
import select
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_ENDED_STATES: Final = frozenset("ZXx")
_START_TIME_FIELD: Final = 19  # of the fields after "(comm)"; field 22 in proc_pid_stat(5)


@dataclass(frozen=True, slots=True)
class ProcessRef:
    """One process of this boot.

    Args:
        pid: Its process id, as seen by the machine.
        start_time: When it started, in clock ticks since boot (proc_pid_stat(5), field 22).
    """

    pid: int
    start_time: int

    @classmethod
    def of(cls, pid: int) -> "ProcessRef | None":
        """The running process with this id, or None where there is none (a zombie counts as ended)."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None
        fields = stat.rpartition(")")[2].split()
        return None if fields[0] in _ENDED_STATES else cls(pid, int(fields[_START_TIME_FIELD]))

    @classmethod
    def of_self(cls) -> "ProcessRef":
        """This process.

        Raises:
            RuntimeError: /proc does not show it.
        """
        own = cls.of(os.getpid())
        if own is None:
            msg = "/proc does not belong to this process's namespace"
            raise RuntimeError(msg)
        return own

    def alive(self) -> bool:
        """Whether this very process still runs."""
        return ProcessRef.of(self.pid) == self

    def send(self, signum: signal.Signals) -> None:
        """Signal this very process; does nothing where it has ended.

        The process file descriptor pins the process while its start time is compared, so there is no moment in
        which the id could come to belong to another process.
        """
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if self.alive():
                signal.pidfd_send_signal(descriptor, signum)
        except ProcessLookupError:
            return
        finally:
            os.close(descriptor)

    def end(self, *, grace: float) -> bool:
        """Ask the process to end, and insist after `grace` seconds.

        Returns:
            Whether it has ended.
        """
        if grace > 0:
            self.send(signal.SIGTERM)
            if self.wait(grace):
                return True
        self.send(signal.SIGKILL)
        return self.wait(10.0)

    def wait(self, seconds: float) -> bool:
        """Wait at most `seconds` for the process to end, with all its threads; tells whether it has."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        try:
            if not self.alive() and ProcessRef.of(self.pid) is not None:
                return True  # the id is another process's by now
            ended = select.poll()
            ended.register(descriptor, select.POLLIN)
            return bool(ended.poll(seconds * 1000))
        finally:
            os.close(descriptor)

    def children(self) -> tuple["ProcessRef", ...]:
        """The processes that this one started and that still run."""
        try:
            listed = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        except (FileNotFoundError, ProcessLookupError):
            return ()
        found = (ProcessRef.of(int(pid)) for pid in listed)
        return tuple(child for child in found if child)
