"""Building the local cluster's programs, once a user, into the cache folder.

A unit of programs lives in ``programs/UNIT-KEY/``, where the key is a digest of everything that the result depends on:
go.mod, go.sum, own sources, Go's version, tags and flags. A folder that exists is complete, because a build happens
beside it and is renamed into place. A lock per unit lets two builds side by side wait for each other's unit, and only
for that.
"""

import fcntl
import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

from devcluster.compiler import Compiler
from devcluster.errors import DevClusterError
from devcluster.host import links_seccomp, system_runc
from devcluster.programs import CONTROL_PLANE, GOMOD_ROOT, GROUPS, RUNC, STACK, UNITS, Unit
from devcluster.progress import Progress
from devcluster.toolchain import Go, cache_folder, find_go

ASSETS_VARIABLE: Final = "KUBEBUILDER_ASSETS"
_ASSETS: Final = ("etcd", "kube-apiserver")


def ensure(groups: Iterable[str], progress: Progress | None = None) -> dict[str, Path]:
    """Provide the programs of the named groups, building those that are not in the cache folder.

    Args:
        groups: Out of ``control-plane``, ``node``, ``stack``, ``tools``, ``extra``.
        progress: Where builds are shown; by default standard error.

    Returns:
        Program name to executable. The CNI plugins lie in a folder of their own, as containerd wants them.

    Raises:
        DevClusterError: A toolchain or library is missing, or a build failed.
        ValueError: A group of that name does not exist.
    """
    wanted = set(groups)
    if unknown := wanted - GROUPS:
        message = f"no such group of programs: {', '.join(sorted(unknown))}"
        raise ValueError(message)
    shown = progress or Progress()
    found = assets(os.environ) if CONTROL_PLANE in wanted else {}
    units = [unit for unit in UNITS if unit.group in wanted]
    remaining = [unit for unit in (without(unit, found) for unit in units) if unit.programs]
    if not remaining:
        return found
    go = find_go(shown)
    folders = {unit: folder_of(unit, go) for unit in remaining}
    if RUNC in folders and not folders[RUNC].is_dir() and not links_seccomp():
        found["runc"] = system_runc()
        del folders[RUNC]
    missing = [unit for unit, folder in folders.items() if not folder.is_dir()]
    for number, unit in enumerate(missing, start=1):
        names = ", ".join(program.name for program in unit.programs)
        _build_locked(unit, folders[unit], go, shown, f"Building {names} ({number} of {len(missing)})")
    for unit, folder in folders.items():
        found |= {program.name: folder / program.name for program in unit.programs}
    return found


def crds(progress: Progress | None = None) -> Path:
    """The folder with prometheus-operator's own custom resource definitions, of the version that is built."""
    executable = ensure({STACK}, progress)["prometheus-operator"]
    return executable.parent / "crds"


def assets(environment: Mapping[str, str]) -> dict[str, Path]:
    """The control plane that ``$KUBEBUILDER_ASSETS`` names, or nothing where it is unset or incomplete."""
    folder = environment.get(ASSETS_VARIABLE)
    found = {name: Path(folder) / name for name in _ASSETS} if folder else {}
    return found if all(os.access(path, os.X_OK) for path in found.values()) else {}


def without(unit: Unit, found: Mapping[str, Path]) -> Unit:
    """The unit less the programs that are already there."""
    return replace(unit, programs=tuple(program for program in unit.programs if program.name not in found))


def key_of(unit: Unit, go_version: str, gomod_root: Path = GOMOD_ROOT) -> str:
    """A digest of all that the unit's programs depend on."""
    digest = hashlib.sha256()
    digest.update(json.dumps([asdict(unit), go_version, platform.machine()], sort_keys=True).encode())
    module = gomod_root / unit.module
    for path in sorted(path for path in module.rglob("*") if path.is_file()):
        content = path.read_bytes()
        digest.update(f"\0{path.relative_to(module)}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def folder_of(unit: Unit, go: Go) -> Path:
    """Where in the cache folder the unit's programs are, or will be."""
    return cache_folder() / "programs" / f"{unit.name}-{key_of(unit, go.version)}"


@contextmanager
def locked(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold a lock between processes; ``waiting`` is called once where another holds it. Ends with the process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _build_locked(unit: Unit, folder: Path, go: Go, progress: Progress, title: str) -> None:
    def waiting() -> None:
        progress.say(f"Waiting: {unit.name} is being built by another process of this user")

    with locked(cache_folder() / "locks" / f"{folder.name}.lock", waiting):
        if folder.is_dir():
            return
        _remove_leftovers(folder)
        with progress.step(title) as step:
            folder.parent.mkdir(parents=True, exist_ok=True)
            partial = Path(tempfile.mkdtemp(prefix=f"{folder.name}.partial-", dir=folder.parent))
            log = cache_folder() / "logs" / f"{folder.name}.log"
            try:
                partial.chmod(0o755)
                Compiler(unit, go, GOMOD_ROOT / unit.module, log, step).build(partial)
                partial.rename(folder)
            except OSError as error:
                raise DevClusterError(
                    f"Building {unit.name} failed: {error}",
                    f"see that {cache_folder()} is writable and has free space, then run the same command again",
                ) from error
            finally:
                shutil.rmtree(partial, ignore_errors=True)


def _remove_leftovers(folder: Path) -> None:
    # Left by a build that was killed; the lock says that nobody is at it.
    for partial in folder.parent.glob(f"{folder.name}.partial-*"):
        shutil.rmtree(partial, ignore_errors=True)
