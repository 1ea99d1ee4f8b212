"""A Python runtime for the operator's image, put together from what the machine has.

The interpreter is the one that the project's virtual environment was made from. With it go its standard library, the
runtime dependencies of the lock file, and the closure of shared libraries that these need, so that the image holds no
distribution: no shell, no package manager, nothing that the operator does not import.
"""

import compileall
import hashlib
import os
import platform
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from devcluster.errors import DevClusterError
from devcluster.oci import Entry

HOME: Final = "opt/python"
DEPENDENCIES: Final = "opt/dependencies"
APPLICATION: Final = "opt/application"
PACKAGE: Final = "monitoring_tls"

_FORMAT: Final = "1"  # part of the keys: to be raised when the same input is to give other layers
_TIMEOUT: Final = 600.0

# Parts of the standard library that a server has no use for: tests, development, terminals, databases.
_UNUSED_PACKAGES: Final = frozenset(
    {
        *("test", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "pydoc_data", "curses", "dbm", "sqlite3"),
        *("venv", "__phello__", "site-packages", "dist-packages", "__pycache__"),
    }
)
_UNUSED_EXTENSIONS: Final = re.compile(
    r"(_?test|_xxtest|xxlimited|_xx|_tkinter|_sqlite3|_curses|readline|_gdbm|_dbm|nis|ossaudiodev|_ctypes_test)"
)
# glibc loads these by name when a host name is looked up or a thread ends, so that ldd does not show them.
_LOADED_BY_NAME: Final = ("libnss_dns.so.2", "libnss_files.so.2", "libresolv.so.2", "libgcc_s.so.1")


def environment() -> tuple[tuple[str, str], ...]:
    """The variables with which the interpreter finds its parts; compiled files are in the image, none are written."""
    return (
        ("PATH", f"/{HOME}/bin"),
        ("PYTHONHOME", f"/{HOME}"),
        ("PYTHONPATH", f"/{APPLICATION}:/{DEPENDENCIES}"),
        ("LD_LIBRARY_PATH", f"/{HOME}/lib"),
        ("PYTHONDONTWRITEBYTECODE", "1"),
        ("PYTHONUNBUFFERED", "1"),
        ("PYTHONSAFEPATH", "1"),
        ("PYTHONUTF8", "1"),
    )


def entrypoint() -> tuple[str, ...]:
    """The command that runs the operator; its subcommand is the container's first argument."""
    return (f"/{HOME}/bin/python3", "-m", PACKAGE)


def runtime_key(project: Path) -> str:
    """What the runtime and the dependencies depend on: the lock file and the interpreter."""
    executable = _executable()
    library = _library_file()
    identity = [_FORMAT, sys.version, platform.machine(), str(executable), *map(str, _size_and_time(library))]
    lock = (project / "uv.lock").read_bytes()
    return hashlib.sha256("\0".join(identity).encode() + lock).hexdigest()[:16]


def application_key(project: Path) -> str:
    """What the application's layer depends on: its sources, the project's version and the interpreter."""
    digest = hashlib.sha256(f"{_FORMAT}\0{sys.version}".encode())
    digest.update((project / "pyproject.toml").read_bytes())
    for path in _sources(project):
        content = path.read_bytes()
        digest.update(f"\0{path.relative_to(project)}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def runtime_entries(project: Path, staging: Path) -> list[Entry]:
    """The files of the runtime and of the dependencies.

    Args:
        project: The project's folder, with its lock file.
        staging: An empty folder in which they are gathered; it has to live until the entries are written.

    Raises:
        DevClusterError: uv is missing or could not install the dependencies.
    """
    home = staging / HOME
    library = home / sys.platlibdir / _library().name
    _copy_standard_library(library)
    binary = home / "bin" / _library().name
    binary.parent.mkdir(parents=True)
    shutil.copyfile(_executable(), binary)
    binary.chmod(0o755)
    dependencies = staging / DEPENDENCIES
    _install_dependencies(project, dependencies)
    for folder in (library, dependencies):
        _compile(folder, staging)
    _copy_shared_libraries(staging)
    return [*entries_of(staging), Entry(f"{HOME}/bin/python3", link=binary.name)]


def application_entries(project: Path, staging: Path) -> list[Entry]:
    """The files of the operator itself, compiled, with the metadata by which it knows its version."""
    target = staging / APPLICATION
    for path in _sources(project):
        copy = target / path.relative_to(project / "src")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    _compile(target, staging)
    about = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    metadata = target / f"{about['name'].replace('-', '_')}-{about['version']}.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text(f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n")
    return entries_of(staging)


def entries_of(tree: Path) -> list[Entry]:
    """A folder's contents as entries of a layer. Only what is executable keeps that bit, whatever the umask was."""
    entries = []
    for path in sorted(tree.rglob("*")):
        name = str(path.relative_to(tree))
        if path.is_dir():
            entries.append(Entry(name, mode=0o755))
        else:
            entries.append(Entry(name, path, 0o755 if os.access(path, os.X_OK) else 0o644))
    return entries


def parse_ldd(output: str) -> dict[str, Path]:
    """The libraries in the output of ``ldd``: name to file; the ELF interpreter's name is its absolute path."""
    found: dict[str, Path] = {}
    for line in output.splitlines():
        if match := re.match(r"\s+(\S+) => (/\S+) \(0x", line):
            found[match[1]] = Path(match[2])
        elif match := re.match(r"\s+(/\S+) \(0x", line):
            found[match[1]] = Path(match[1])
    return found


def _executable() -> Path:
    # In a virtual environment this is the interpreter that it was made from.
    return Path(getattr(sys, "_base_executable", sys.executable)).resolve()


def _library() -> Path:
    return Path(sysconfig.get_path("stdlib"))


def _library_file() -> Path:
    return _library() / "os.py"


def _size_and_time(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _sources(project: Path) -> list[Path]:
    package = project / "src" / PACKAGE
    return sorted(
        path
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.endswith((".pyc", "~", ".swp"))
    )


def _copy_standard_library(target: Path) -> None:
    source = _library()

    def unused(folder: str, names: list[str]) -> set[str]:
        left_out = {name for name in names if name.endswith((".a", ".exe", ".pyc")) or name == "__pycache__"}
        if Path(folder) == source:
            left_out |= {name for name in names if name in _UNUSED_PACKAGES or name.startswith("config-")}
        if Path(folder).name == "lib-dynload":
            left_out |= {name for name in names if _UNUSED_EXTENSIONS.match(name)}
        return left_out

    shutil.copytree(source, target, ignore=unused)


def _install_dependencies(project: Path, target: Path) -> None:
    uv = shutil.which("uv", path=f"{sys.prefix}/bin{os.pathsep}{os.environ.get('PATH', '')}")
    if not uv:
        raise DevClusterError("uv is missing, which installs the operator's dependencies", "run make, which sets it up")
    with tempfile.NamedTemporaryFile(suffix=".txt") as listed:
        _uv(uv, "export", "--project", str(project), "--frozen", "--no-dev", "--no-emit-project", "-o", listed.name)
        _uv(
            uv,
            *("pip", "install", "--target", str(target), "--python", sys.executable, "--no-deps"),
            *("--require-hashes", "--link-mode", "copy", "-r", listed.name),
        )
    shutil.rmtree(target / "bin", ignore_errors=True)
    for left_over in (*target.glob("*.dist-info/RECORD"), *target.glob(".lock")):
        left_over.unlink()


def _uv(uv: str, *arguments: str) -> None:
    try:
        result = subprocess.run(
            [uv, "--quiet", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DevClusterError(
            f"uv {arguments[0]} did not finish in {_TIMEOUT:.0f} s", "see that the package index can be reached"
        ) from None
    if result.returncode != 0:
        raise DevClusterError(
            "The operator's dependencies could not be installed for its image",
            "see that the package index can be reached, then run the same command again",
            result.stderr.strip(),
        )


def _compile(folder: Path, staging: Path) -> None:
    """Compile in place, to files that are used without a look at their source's time, which a layer does not keep."""
    compileall.compile_dir(
        folder,
        maxlevels=20,
        stripdir=str(staging),
        prependdir="/",
        quiet=2,
        workers=0,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )


def _copy_shared_libraries(staging: Path) -> None:
    binaries = [path for path in staging.rglob("*") if path.is_file() and _is_elf(path)]
    libraries = _libraries_of(binaries)
    glibc = next((path.parent for name, path in libraries.items() if name.startswith("libc.")), None)
    for name in _LOADED_BY_NAME:
        if glibc and (glibc / name).exists():
            libraries.setdefault(name, glibc / name)
    for name, path in libraries.items():
        if path.is_relative_to(staging):
            continue  # a wheel's own, found from where it lies
        # The ELF interpreter is named by its absolute path in every executable; the rest is found by LD_LIBRARY_PATH.
        copy = staging / name.lstrip("/") if name.startswith("/") else staging / HOME / "lib" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        copy.chmod(0o755)


def _libraries_of(binaries: Iterable[Path]) -> dict[str, Path]:
    # An extension module whose library the machine lacks cannot be imported here either: it is left as it is.
    result = subprocess.run(["ldd", *binaries], capture_output=True, text=True, check=False)
    return parse_ldd(result.stdout)


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"
