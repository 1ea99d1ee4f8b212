"""What the operator's processes take of the node's memory."""

import re
from dataclasses import dataclass

from devcluster.cluster import Cluster

# The process's arguments, and its own account of its memory, for each process of the operator.
_SCRIPT = (
    "for p in /proc/[0-9]*; do "
    "if tr '\\0' ' ' < $p/cmdline 2>/dev/null | grep -q '^[^ ]*python[^ ]* -m monitoring_tls run'; "
    "then grep -E '^(VmRSS|RssAnon|RssFile|VmHWM)' $p/status; echo; fi; done"
)


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of one process, in MiB: all, its own, of files (program and libraries), and the most ever."""

    resident: float
    own: float
    files: float
    most: float

    def __str__(self) -> str:
        return f"{self.resident:.1f} MiB ({self.own:.1f} own, {self.files:.1f} files; most {self.most:.1f})"


def of_operator(cluster: Cluster) -> list[Memory]:
    """The operator's processes in the local node, the largest first."""
    return parse(cluster.exec(["sh", "-c", _SCRIPT]).stdout)


def parse(text: str) -> list[Memory]:
    """Read blocks of ``/proc/PID/status`` lines."""
    found = []
    for block in text.split("\n\n"):
        kibibytes = {key: int(value) for key, value in re.findall(r"(\w+):\s+(\d+) kB", block)}
        if kibibytes:
            found.append(Memory(*(kibibytes[key] / 1024 for key in ("VmRSS", "RssAnon", "RssFile", "VmHWM"))))
    return sorted(found, key=lambda memory: -memory.resident)
