"""The process that is the node: pid 1 of its namespaces, which starts every program and reaps what it is left with.

`join` runs on the machine: it enters the node's control groups and becomes `unshare`. `boot` is what `unshare` starts.
Nothing but this process's end is needed to end the node: its pid namespace, and with it every container and mount.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

from devcluster import cgroups, pki
from devcluster.client import ApiClient, api_ready
from devcluster.network import ip
from devcluster.node_commands import CONTAINERD_SOCKET, KERNEL_TUNABLES, NODE_NAME, NodeLayout
from devcluster.state import ClusterState, record_launcher

LAYOUT: Final = "node.json"
_NAMESPACES: Final = ("--pid", "--net", "--mount", "--uts", "--ipc", "--cgroup")
_TICK: Final = 0.05
_LINK_SECONDS: Final = 60.0
_RESTART_SECONDS: Final = 1.0
_CGROUP_ROOT: Final = Path("/sys/fs/cgroup")


def join(state: Path) -> NoReturn:
    """Become the process whose end is the node's end."""
    record_launcher(state)
    recorded = ClusterState.load(state)
    if recorded is None:
        sys.exit(f"{state} has no state")
    cgroups.join(recorded.cgroups)
    os.execvp(  # noqa: S606 - it takes over this process, which is the recorded one
        "unshare",
        [
            "unshare",
            "--fork",
            "--kill-child",
            *_NAMESPACES,
            "--mount-proc",
            sys.executable,
            "-m",
            "devcluster.node_init",
            "boot",
            str(state),
        ],
    )


def boot(state: Path) -> NoReturn:
    """Be pid 1."""
    layout = NodeLayout.parse((state / LAYOUT).read_text())
    hierarchies = cgroups.options_of(Path("/proc/self/cgroup").read_text())
    socket.sethostname(NODE_NAME)
    _mount_all(layout, hierarchies)
    _configure_network(layout)
    os.environ.clear()
    os.environ |= {"PATH": layout.search_path, "HOME": "/root", "TMPDIR": str(state / "tmp"), "LANG": "C.UTF-8"}
    node = _Supervisor(layout)
    node.start("etcd", "kube-apiserver", "containerd")
    node.until(_containerd_answers)
    subprocess.run(layout.import_argv(layout.pause_tar), check=True)
    administrator = ApiClient(layout.control_plane.kubeconfig(pki.ADMIN))
    node.until(lambda: administrator.holds(api_ready))
    node.start("kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "coredns")
    node.until(lambda: False)
    sys.exit("unreachable")


class _Supervisor:
    """Starts programs, starts one again that ended, and reaps the orphans of all containers."""

    def __init__(self, layout: NodeLayout) -> None:
        self._layout = layout
        self._running: dict[int, str] = {}
        self._due: dict[str, float] = {}

    def start(self, *programs: str) -> None:
        self._due |= dict.fromkeys(programs, 0.0)

    def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._reap()
            now = time.monotonic()
            for program in [name for name, moment in self._due.items() if moment <= now]:
                del self._due[program]
                self._running[self._spawn(program)] = program
            time.sleep(_TICK)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            program = self._running.pop(pid, None)
            if program is not None:
                print(f"{program} ended with status {os.waitstatus_to_exitcode(status)}", flush=True)
                self._due[program] = time.monotonic() + _RESTART_SECONDS

    def _spawn(self, program: str) -> int:
        layout = self._layout
        own = program in {"containerd", "kubelet", "kube-proxy", "coredns"}
        argv = layout.argv(program) if own else layout.control_plane.argv(program)
        log = layout.state / "log" / f"{program}.log"
        appended = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), appended, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ]
        return os.posix_spawn(argv[0], argv, os.environ, file_actions=actions, setsid=True)


def _containerd_answers() -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(CONTAINERD_SOCKET)
        except OSError:
            return False
    return True


def _mount_all(layout: NodeLayout, hierarchies: tuple[str, ...]) -> None:
    """Make the machine's file system look like a node's, to the processes of this namespace alone."""
    _mount("-t", "sysfs", "sysfs", "/sys")  # the one that was there shows the machine's network devices
    _mount_cgroups(hierarchies)
    _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    _add_below("/var/lib", {"kubelet": layout.state / "kubelet", "cni": layout.state / "cni"})
    _mount("--bind", str(layout.state / "log"), "/var/log")
    for name in ("hosts", "resolv.conf"):
        target = Path("/etc", name).resolve()
        if not target.exists():  # a link into /run
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch()
        _mount("--bind", str(layout.config / name), str(target))
    _protect_tunables()
    _mount("--make-rshared", "/")  # pods may ask for propagation; last, or the steps above would propagate as well


def _mount_cgroups(hierarchies: tuple[str, ...]) -> None:
    if cgroups.only_v2(hierarchies):
        _mount("-t", "cgroup2", "cgroup2", str(_CGROUP_ROOT))
        return
    _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", str(_CGROUP_ROOT))
    for options in filter(None, hierarchies):  # the bare version 2 hierarchy would make runc take this for a hybrid
        controllers = cgroups.controllers(options)
        folder = _CGROUP_ROOT / options.removeprefix("name=")
        folder.mkdir()
        _mount("-t", "cgroup", "-o", options if controllers else f"none,{options}", "cgroup", str(folder))
        for controller in controllers:
            if controller != options:
                (_CGROUP_ROOT / controller).symlink_to(options)


def _add_below(parent: str, added: dict[str, Path]) -> None:
    """Show further folders in a folder, without making them in the machine's file system."""
    folder = Path(parent)
    aside = Path("/run/aside")
    aside.mkdir()
    _mount("--rbind", parent, str(aside))
    _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", parent)
    for entry in sorted(aside.iterdir()):
        shown = folder / entry.name
        if entry.name in added:
            continue
        if entry.is_symlink():
            shown.symlink_to(entry.readlink())
        elif entry.is_dir():
            shown.mkdir()
            _mount("--rbind", str(entry), str(shown))
        elif entry.is_file():
            shown.touch()
            _mount("--bind", str(entry), str(shown))
    for name, source in added.items():
        (folder / name).mkdir()
        _mount("--bind", str(source), str(folder / name))
    subprocess.run(["umount", "--recursive", "--lazy", str(aside)], check=True)
    aside.rmdir()


def _protect_tunables() -> None:
    """Keep the kubelet from changing the machine's kernel settings."""
    folder = Path("/run/tunables")
    for name, value in KERNEL_TUNABLES.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")
        _mount("--bind", str(file), f"/proc/sys/{name}")


def _configure_network(layout: NodeLayout) -> None:
    """Wait for the machine to lay the link, which it does when everything outside is ready, and set it up."""
    deadline = time.monotonic() + _LINK_SECONDS
    while not Path("/sys/class/net/eth0").exists():
        if time.monotonic() >= deadline:
            sys.exit("the machine laid no link to the node")
        time.sleep(_TICK)
    network = layout.network
    ip("link", "set", "lo", "up")
    ip("address", "add", f"{network.node_address}/30", "dev", "eth0")
    ip("link", "set", "eth0", "up")
    ip("route", "add", "default", "via", network.machine_address)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _, _action, _state = sys.argv
    {"join": join, "boot": boot}[_action](Path(_state))
