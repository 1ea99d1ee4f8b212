"""The node's control groups: one folder in every hierarchy, which its cgroup namespace shows it as the root.

Version 1 and hybrid: a folder under the starter's own group in each hierarchy. Version 2 (cgroups(7), "no internal
processes"): a folder under the real root, since only the root may both hold processes and enable controllers, and in
it a folder `init` for the node's own programs, as a group that enables controllers for pods may hold none itself.
"""

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devcluster.errors import DevClusterError

_REMOVE_SECONDS: Final = 10.0
_POLL: Final = 0.05
_V1_NEEDED: Final = frozenset({"cpu", "cpuacct", "cpuset", "memory", "pids"})
_V2_NEEDED: Final = frozenset({"cpu", "cpuset", "memory", "pids"})
_V2_WANTED: Final = ("cpuset", "cpu", "io", "memory", "hugetlb", "pids")
_CPUSET_INHERITED: Final = ("cpuset.cpus", "cpuset.mems")  # empty in a new version 1 group, which nothing can join
INIT: Final = "init"


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One mounted control group hierarchy.

    Args:
        options: Mount options that name it, such as `cpu,cpuacct` or `name=systemd`; empty for version 2.
        root: Where its root is mounted.
        own: Folder of this process's group.
    """

    options: str
    root: Path
    own: Path

    @property
    def controllers(self) -> tuple[str, ...]:
        """Version 1 controllers."""
        return controllers(self.options)


def controllers(options: str) -> tuple[str, ...]:
    """The version 1 controllers among the options of a hierarchy; none for version 2 and for named hierarchies."""
    return () if "=" in options or not options else tuple(options.split(","))


def options_of(memberships: str) -> tuple[str, ...]:
    """The options of every hierarchy in the text of /proc/self/cgroup.

    All that can be told in a new cgroup namespace, where the mounts that were there before show a root out of reach.
    """
    return tuple(line.split(":", 2)[1] for line in memberships.splitlines())


def parse(memberships: str, mountinfo: str) -> tuple[Hierarchy, ...]:
    """The hierarchies that a process is in and that are mounted.

    Args:
        memberships: Text of /proc/self/cgroup, see cgroups(7).
        mountinfo: Text of /proc/self/mountinfo, see proc_pid_mountinfo(5).
    """
    mounts = [_Mount.parse(line) for line in mountinfo.splitlines() if " - cgroup" in line]
    found = []
    for line in memberships.splitlines():
        _, options, group = line.split(":", 2)
        for mount in mounts:
            inside = Path(group)
            if mount.is_of(options) and inside.is_relative_to(mount.root):
                own = mount.point / inside.relative_to(mount.root)
                found.append(Hierarchy(options, mount.point, own))
                break
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Mount:
    kind: str
    root: Path
    point: Path
    options: frozenset[str]

    @classmethod
    def parse(cls, line: str) -> "_Mount":
        fields, _, source = line.partition(" - ")
        _, _, _, root, point, *_ = fields.split()
        kind, _, options = source.split()
        return cls(kind, Path(root), Path(point), frozenset(options.split(",")))

    def is_of(self, options: str) -> bool:
        if not options:
            return self.kind == "cgroup2"
        return self.kind == "cgroup" and set(options.split(",")) <= self.options


def own_hierarchies() -> tuple[Hierarchy, ...]:
    """The hierarchies of this process."""
    return parse(Path("/proc/self/cgroup").read_text(), Path("/proc/self/mountinfo").read_text())


def only_v2(options: Iterable[str]) -> bool:
    """Whether controllers are those of version 2; a hybrid machine has a bare version 2 hierarchy beside version 1."""
    return not any(map(controllers, options))


def unsupported() -> DevClusterError | None:
    """Why a node cannot be given control groups here, known before anything is built; None where it can."""
    hierarchies = own_hierarchies()
    if only_v2(hierarchy.options for hierarchy in hierarchies):
        root = next((hierarchy.root for hierarchy in hierarchies if not hierarchy.options), None)
        if root is None:
            return DevClusterError("no control groups are mounted", "mount -t cgroup2 none /sys/fs/cgroup")
        if (root / "cgroup.type").exists():  # the real root alone lacks it
            return DevClusterError(
                "control groups are of version 2 and their root is not visible here, as in a container",
                "use the machine itself, a container with --cgroupns=host, or make cluster NODES=0",
            )
        missing = _V2_NEEDED - set((root / "cgroup.controllers").read_text().split())
    else:
        missing = _V1_NEEDED - {name for hierarchy in hierarchies for name in hierarchy.controllers}
    if missing:
        return DevClusterError(
            f"a node needs the control group controllers {', '.join(sorted(missing))}",
            "enable them in the kernel's command line, or make cluster NODES=0",
        )
    return None


def planned(name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What `create` will make: the folders, and the controllers to be enabled in the root (version 2 only)."""
    hierarchies = own_hierarchies()
    if not only_v2(hierarchy.options for hierarchy in hierarchies):
        return tuple(str(hierarchy.own / name) for hierarchy in hierarchies), ()
    root = next(hierarchy.root for hierarchy in hierarchies if not hierarchy.options)
    available = set((root / "cgroup.controllers").read_text().split())
    enabled = set((root / "cgroup.subtree_control").read_text().split())
    wanted = tuple(name for name in _V2_WANTED if name in available and name not in enabled)
    return (str(root / name),), wanted


def create(folders: Iterable[str], enabled: Sequence[str]) -> None:
    """Make the folders that `planned` named."""
    for folder in map(Path, folders):
        if enabled:
            _control(folder.parent, "+", enabled)
        folder.mkdir(exist_ok=True)
        for file in _CPUSET_INHERITED:
            parent = folder.parent / file
            if parent.exists() and not (folder / "cgroup.controllers").exists():
                (folder / file).write_text(parent.read_text())


def join(folders: Iterable[str]) -> None:
    """Move this process into the folders."""
    for folder in folders:
        (Path(folder) / "cgroup.procs").write_text(str(os.getpid()))


def delegate(folders: Iterable[str], pids: Iterable[int]) -> None:
    """Make room for pods where version 2 has the controllers: the processes into `init`, then enable all for children.

    Args:
        folders: The node's folders.
        pids: Every process that is in them.
    """
    for folder in map(Path, folders):
        available = folder / "cgroup.controllers"
        if not available.exists() or not available.read_text().split():
            continue  # version 1, or the bare hierarchy of a hybrid machine
        init = folder / INIT
        init.mkdir(exist_ok=True)
        for pid in pids:
            (init / "cgroup.procs").write_text(str(pid))
        _control(folder, "+", available.read_text().split())


def remove(folders: Iterable[str], enabled: Sequence[str]) -> list[str]:
    """Remove the folders with all that is below them, once their processes have ended.

    Returns:
        Those that are still there, because a process in them does not end.
    """
    left = []
    for folder in map(Path, folders):
        deadline = time.monotonic() + _REMOVE_SECONDS
        while not _removed(folder):
            if time.monotonic() >= deadline:
                left.append(str(folder))
                break
            time.sleep(_POLL)
        if enabled:
            _control(folder.parent, "-", enabled)
    return left


def _removed(folder: Path) -> bool:
    for path, _, _ in os.walk(folder, topdown=False):
        try:
            Path(path).rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            return False
    return not folder.exists()


def _control(folder: Path, sign: str, controllers: Iterable[str]) -> None:
    for controller in controllers:
        try:
            (folder / "cgroup.subtree_control").write_text(f"{sign}{controller}")
        except OSError:
            # Enabling: the kubelet names what it misses. Disabling: another group came to use it meanwhile.
            continue
