"""One run of ``go build``: its arguments, its progress, and what is said when it fails."""

import json
import os
import posixpath
import shutil
import signal
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TextIO

from devcluster.errors import DevClusterError
from devcluster.programs import Unit
from devcluster.progress import Step
from devcluster.toolchain import Go

_LAST_LINES: Final = 15


class Compiler:
    """Builds one unit.

    Args:
        unit: What to build.
        go: The toolchain.
        module: The folder with the unit's go.mod; it is copied, never written to.
        log: File for everything that Go prints.
        step: Shown while it goes on.
    """

    def __init__(self, unit: Unit, go: Go, module: Path, log: Path, step: Step) -> None:
        self._unit = unit
        self._go = go
        self._module = module
        self._log = log
        self._step = step
        self._to_compile = 0
        self._environment = {**go.environment, "CGO_ENABLED": "1" if unit.cgo else "0"}

    def build(self, target: Path) -> None:
        """Build the unit's programs, and copy its modules' data files, into an existing folder.

        Raises:
            DevClusterError: Fetching a module, compiling or linking failed.
        """
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("w") as log, tempfile.TemporaryDirectory(prefix="go-module-") as scratch:
            work = Path(scratch) / "module"
            shutil.copytree(self._module, work)
            if self._unit.patch:
                self._add_patched_module(work, log)
            self._count_packages(work, log)
            self._compile(work, target, log)
            self._copy_files(work, target, log)

    def _flags(self) -> list[str]:
        return ["-trimpath", "-tags", ",".join(self._unit.tags), "-ldflags", self._unit.ldflags]

    def _count_packages(self, work: Path, log: TextIO) -> None:
        """Fetch the modules and count what has to be compiled, so that the display can say how far it is."""
        self._step.update("fetching modules")
        packages = [program.package for program in self._unit.programs]
        template = "{{if .Stale}}{{.ImportPath}}{{end}}"
        stale: list[str] = []
        self._run(
            ["list", "-deps", "-f", template, *self._flags(), *packages],
            work,
            log,
            on_error=self._show_download,
            on_output=stale.append,
        )
        self._to_compile = sum(1 for line in stale if line)

    def _compile(self, work: Path, target: Path, log: TextIO) -> None:
        compiled = 0

        def show(line: str) -> None:
            nonlocal compiled
            if " " in line:
                self._show_download(line)
                return
            compiled += 1
            # The last packages are the programs themselves: what is left is linking, which says nothing more.
            self._step.update(line if compiled < self._to_compile else "linking", done=compiled)

        self._step.update("compiling" if self._to_compile else "linking", done=0, total=self._to_compile)

        packages = [program.package for program in self._unit.programs]
        produced = target / "bin"
        produced.mkdir()
        self._run(["build", "-v", *self._flags(), "-o", f"{produced}/", *packages], work, log, on_error=show)
        for program in self._unit.programs:
            (produced / executable_name(self._unit.module, program.package)).rename(target / program.name)
        produced.rmdir()

    def _copy_files(self, work: Path, target: Path, log: TextIO) -> None:
        for files in self._unit.files:
            folder: list[str] = []
            self._run(["list", "-m", "-f", "{{.Dir}}", files.module], work, log, on_output=folder.append)
            (target / files.folder).mkdir()
            for path in sorted(Path(folder[0]).glob(files.pattern)):
                shutil.copyfile(path, target / files.folder / path.name)

    def _add_patched_module(self, work: Path, log: TextIO) -> None:
        patch = self._unit.patch
        if patch is None:
            return
        answer: list[str] = []
        self._run(
            ["mod", "download", "-json", f"{patch.module}@{patch.version}"],
            work,
            log,
            on_output=answer.append,
            on_error=self._show_download,
        )
        copy = work / patch.folder
        # Modules in Go's cache are read-only, and their folders with them.
        shutil.copytree(json.loads("".join(answer))["Dir"], copy, copy_function=shutil.copyfile)
        for folder in (copy, *(path for path in copy.rglob("*") if path.is_dir())):
            folder.chmod(0o755)
        added = copy / patch.file
        added.parent.mkdir(parents=True, exist_ok=True)
        added.write_text(patch.content)

    def _show_download(self, line: str) -> None:
        if line.startswith("go: downloading "):
            self._step.update(line.removeprefix("go: "))

    def _run(
        self,
        arguments: Sequence[str],
        work: Path,
        log: TextIO,
        *,
        on_output: Callable[[str], object] | None = None,
        on_error: Callable[[str], object] | None = None,
    ) -> None:
        """Run ``go``: lines of standard error go to the log and ``on_error``, of output to ``on_output``."""
        last: deque[str] = deque(maxlen=_LAST_LINES)
        log.write(f"$ go {' '.join(arguments)}\n")
        with (
            tempfile.TemporaryFile("w+") as output,
            subprocess.Popen(
                [self._go.executable, *arguments],
                cwd=work,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                process_group=0,
            ) as process,
        ):
            try:
                for line in process.stderr or ():
                    log.write(line)
                    last.append(line.rstrip())
                    if on_error:
                        on_error(line.rstrip())
            except BaseException:
                # Go's compilers run in its process group: none of them may outlive an interrupted build.
                os.killpg(process.pid, signal.SIGTERM)
                raise
            if process.wait() != 0:
                raise self._failure(last)
            output.seek(0)
            for line in output:
                if on_output:
                    on_output(line.rstrip("\n"))

    def _failure(self, last: Sequence[str]) -> DevClusterError:
        text = "\n".join(last)
        if "no space left on device" in text:
            remedy = "free some disk space (a build from nothing wants 15 GB), then run the same command again"
        elif "dial tcp" in text or "proxy" in text or "i/o timeout" in text:
            remedy = "see that the Go module proxy can be reached (GOPROXY), then run the same command again"
        elif "signal: killed" in text:
            remedy = "the machine seems to be out of memory: a build wants 4 GB; then run the same command again"
        else:
            remedy = "read the log, then run the same command again: what is already compiled is kept"
        return DevClusterError(f"Building {self._unit.name} failed (log: {self._log})", remedy, text)


def executable_name(module: str, package: str) -> str:
    """The name that ``go build`` gives an executable: its import path's last element that is not a major version."""
    path = posixpath.normpath(posixpath.join(module, package)) if package.startswith(".") else package
    *_, parent, last = path.split("/") if "/" in path else ("", path)
    return parent if last.removeprefix("v").isdecimal() else last
