"""What the machine has to have, checked before anything is built: each missing piece is one line with its remedy."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devcluster.errors import DevClusterError
from devcluster.host import links_seccomp, system_runc
from devcluster.progress import Progress
from devcluster.toolchain import cache_folder

PYTHON: Final = (3, 11)
MACHINES: Final = ("x86_64", "aarch64")
GIGABYTE: Final = 10**9
COLD_SPACE: Final = 15 * GIGABYTE  # module cache 4.8, build cache 8.6, programs 1
WARM_SPACE: Final = 3 * GIGABYTE  # the cluster's state with the unpacked images
MEMORY: Final = 4 * GIGABYTE
_APT_TIMEOUT: Final = 600.0

# A check of the node's own, such as whether the machine's control groups are of a kind it supports; it returns the
# problem and the remedy, or None.
Check = Callable[[], DevClusterError | None]


@dataclass(frozen=True, slots=True)
class SystemPackage:
    """A piece of the operating system that cannot be built or bundled.

    Attributes:
        purpose: What it is for.
        debian: Names of the packages on Debian and Ubuntu.
        present: Whether the machine has it.
    """

    purpose: str
    debian: tuple[str, ...]
    present: Callable[[], bool]


def _command(name: str) -> Callable[[], bool]:
    return lambda: bool(shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin"))


def _runc_available() -> bool:
    if links_seccomp():
        return True
    try:
        system_runc()
    except DevClusterError:
        return False
    return True


SYSTEM_PACKAGES: Final = (
    SystemPackage("kube-proxy programs service addresses with nft", ("nftables",), _command("nft")),
    SystemPackage("the node's network is set up with ip", ("iproute2",), _command("ip")),
    SystemPackage("the node's namespaces are made with unshare", ("util-linux",), _command("unshare")),
    SystemPackage("runc is built with seccomp", ("gcc", "libc6-dev", "pkg-config", "libseccomp-dev"), _runc_available),
)


def check(*, node: bool, node_checks: Sequence[Check] = ()) -> None:
    """Check everything that can be known before anything is built.

    Args:
        node: Whether a node is wanted, which needs root; a control plane alone does not.
        node_checks: Further checks of the node's own, made when ``node`` is set.

    Raises:
        DevClusterError: The first thing that is missing.
    """
    checks: list[Check] = [_linux, _python, _machine, _space]
    if node:
        checks += [_root, _memory, *node_checks]
    for made in checks:
        if found := made():
            raise found


def install_packages(progress: Progress) -> None:
    """Install the packages of the operating system that are missing, after saying so.

    Raises:
        DevClusterError: Some are missing and this is not root on a machine with apt, or apt failed.
    """
    missing = missing_packages()
    if not missing:
        return
    names = " ".join(name for package in missing for name in package.debian)
    purposes = "; ".join(package.purpose for package in missing)
    remedy = f"apt-get install {names} (or your system's packages of the same name)"
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise DevClusterError(f"The machine lacks {names}: {purposes}", remedy)
    progress.say(f"The machine lacks {names}: {purposes}. Installing them with apt-get.")
    with progress.step(f"Installing {names}") as step:
        install = ("install", "--yes", "--no-install-recommends", *names.split())
        failure = _apt_get(*install)
        if failure:
            # The lists of packages may be missing, as in a container, or older than the archive.
            step.update("updating the lists of packages")
            _apt_get("update")
            failure = _apt_get(*install)
    if failure:
        raise DevClusterError(f"apt-get could not install {names}", f"install them by hand: {remedy}", failure)
    links_seccomp.cache_clear()
    if still := missing_packages():
        names = " ".join(name for package in still for name in package.debian)
        raise DevClusterError(f"{names}: installed, but not usable", "; ".join(package.purpose for package in still))


def missing_packages() -> list[SystemPackage]:
    """The packages that a node needs and the machine lacks."""
    return [package for package in SYSTEM_PACKAGES if not package.present()]


def _apt_get(*arguments: str) -> str:
    try:
        result = subprocess.run(
            ["apt-get", "--quiet", *arguments],
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_APT_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"apt-get {arguments[0]} did not finish in {_APT_TIMEOUT:.0f} s"
    return "" if result.returncode == 0 else "\n".join(result.stderr.strip().splitlines()[-5:]) or "apt-get failed"


def _linux() -> DevClusterError | None:
    if platform.system() == "Linux":
        return None
    return DevClusterError(
        f"The local cluster needs Linux, this is {platform.system()}", "use a Linux machine or virtual machine"
    )


def _python() -> DevClusterError | None:
    if sys.version_info[:2] >= PYTHON:
        return None
    return DevClusterError(f"This is Python {platform.python_version()}", "install Python 3.11 or newer with venv")


def _machine() -> DevClusterError | None:
    if platform.machine() in MACHINES:
        return None
    return DevClusterError(f"The processor is {platform.machine()}", f"use one of: {', '.join(MACHINES)}")


def _space() -> DevClusterError | None:
    folder = cache_folder()
    wanted = WARM_SPACE if _has_programs(folder) else COLD_SPACE
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free >= wanted:
        return None
    return DevClusterError(
        f"{folder} has {free / GIGABYTE:.1f} GB free, the cluster and its build need {wanted / GIGABYTE:.0f} GB",
        "free some, or name another folder in MONITORING_TLS_CACHE",
    )


def _has_programs(folder: Path) -> bool:
    # The last of the programs that the demo needs: where it was built once, Go's caches are filled.
    return any((folder / "programs").glob("prometheus-operator-*"))


def _root() -> DevClusterError | None:
    if os.geteuid() == 0:
        return None
    return DevClusterError(
        "A node needs root, for its namespaces and control groups",
        "run it as root (sudo make …), or without a node: make cluster NODES=0",
    )


def _memory() -> DevClusterError | None:
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if total >= MEMORY:
        return None
    return DevClusterError(
        f"The machine has {total / GIGABYTE:.1f} GB of memory",
        f"the cluster and its build need {MEMORY // GIGABYTE} GB",
    )
