"""Programs are cached by what they depend on, built once, and a failed build is told in one line."""

import io
import os
import stat
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from devcluster import build
from devcluster.build import assets, ensure, folder_of, key_of, locked, without
from devcluster.compiler import executable_name
from devcluster.errors import DevClusterError
from devcluster.programs import GOMOD_ROOT, UNITS, Program, Unit
from devcluster.progress import Progress
from devcluster.toolchain import Go, cache_folder, go_environment, parse_version

UNIT = Unit("tool", "tools", "tool", (Program("tool", "example.com/tool/v2"),))

# Stands in for Go: it writes each asked program to the folder given with -o, or fails as the test says.
FAKE_GO = """#!/bin/sh
echo "$@" >> "$FAKE_LOG"
[ "$1" = build ] || exit 0
if [ -n "$FAKE_FAILURE" ]; then echo "$FAKE_FAILURE" >&2; exit 1; fi
echo example.com/tool/v2 >&2
while [ "$1" != -o ]; do shift; done
touch "$2/tool"
"""


@pytest.fixture
def fake_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Go:
    monkeypatch.setenv("MONITORING_TLS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    executable = tmp_path / "go"
    executable.write_text(FAKE_GO)
    executable.chmod(0o755)
    gomod = tmp_path / "gomod"
    (gomod / "tool").mkdir(parents=True)
    (gomod / "tool" / "go.mod").write_text("module devcluster/tool\n")
    go = Go(executable, "go1.26.8", {"PATH": os.environ["PATH"], "FAKE_LOG": str(tmp_path / "calls")})
    monkeypatch.setattr(build, "UNITS", (UNIT,))
    monkeypatch.setattr(build, "GOMOD_ROOT", gomod)
    monkeypatch.setattr(build, "find_go", lambda _progress: go)
    return go


def calls(go: Go) -> list[str]:
    log = Path(go.environment["FAKE_LOG"])
    return log.read_text().splitlines() if log.exists() else []


def quiet() -> Progress:
    return Progress(io.StringIO())


def test_a_program_is_built_once_and_found_again(fake_go: Go) -> None:
    first = ensure({"tools"}, quiet())
    count = len(calls(fake_go))
    second = ensure({"tools"}, quiet())
    assert first == second
    assert first["tool"].is_file()
    assert count > 0
    assert len(calls(fake_go)) == count


def test_the_build_uses_the_committed_module_unchanged(fake_go: Go) -> None:
    ensure({"tools"}, quiet())
    built = next(call for call in calls(fake_go) if call.startswith("build"))
    assert "-trimpath" in built
    assert built.endswith("example.com/tool/v2")
    assert not any("tidy" in call for call in calls(fake_go))


def test_a_failed_build_leaves_nothing_that_looks_finished(fake_go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = replace(fake_go, environment={**fake_go.environment, "FAKE_FAILURE": "x.go:1: undefined: y"})
    monkeypatch.setattr(build, "find_go", lambda _progress: failing)
    with pytest.raises(DevClusterError) as caught:
        ensure({"tools"}, quiet())
    assert "Building tool failed" in caught.value.problem
    assert "undefined: y" in caught.value.details
    log = Path(caught.value.problem.partition("log: ")[2].rstrip(")"))
    assert "undefined: y" in log.read_text()
    assert "\n" not in str(caught.value)
    programs = cache_folder() / "programs"
    assert list(programs.iterdir()) == []
    monkeypatch.setattr(build, "find_go", lambda _progress: fake_go)
    assert ensure({"tools"}, quiet())["tool"].is_file()


@pytest.mark.parametrize(
    ("output", "remedy"),
    [
        ("write /x: no space left on device", "disk space"),
        ("Get https://proxy: dial tcp: lookup failed", "GOPROXY"),
        ("compile: signal: killed", "out of memory"),
        ("anything else", "read the log"),
    ],
)
def test_the_remedy_fits_the_failure(fake_go: Go, monkeypatch: pytest.MonkeyPatch, output: str, remedy: str) -> None:
    failing = replace(fake_go, environment={**fake_go.environment, "FAKE_FAILURE": output})
    monkeypatch.setattr(build, "find_go", lambda _progress: failing)
    with pytest.raises(DevClusterError, match=remedy):
        ensure({"tools"}, quiet())


def test_what_a_killed_build_left_is_removed(fake_go: Go) -> None:
    folder = folder_of(UNIT, fake_go)
    left = folder.with_name(f"{folder.name}.partial-killed")
    left.mkdir(parents=True)
    ensure({"tools"}, quiet())
    assert not left.exists()


def test_a_finished_unit_is_found_while_another_is_being_built(fake_go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(UNIT, name="other", group="stack")
    monkeypatch.setattr(build, "UNITS", (UNIT, other))
    ensure({"tools"}, quiet())
    lock = cache_folder() / "locks" / f"{folder_of(other, fake_go).name}.lock"
    with locked(lock, lambda: None):
        assert ensure({"tools"}, quiet())["tool"].is_file()


def test_a_second_build_of_the_same_unit_waits_for_the_first_and_says_so(fake_go: Go) -> None:
    lock = cache_folder() / "locks" / f"{folder_of(UNIT, fake_go).name}.lock"
    said = _SaidWaiting()
    found: dict[str, Path] = {}
    second = threading.Thread(target=lambda: found.update(ensure({"tools"}, Progress(said))))
    with locked(lock, lambda: None):
        second.start()
        assert said.waiting.wait(30)
        assert found == {}
    second.join(30)
    assert found["tool"].is_file()


class _SaidWaiting(io.StringIO):
    def __init__(self) -> None:
        super().__init__()
        self.waiting = threading.Event()

    def write(self, text: str) -> int:
        if "Waiting: tool" in text:
            self.waiting.set()
        return super().write(text)


@pytest.mark.parametrize(
    "changed",
    [
        replace(UNIT, tags=("seccomp",)),
        replace(UNIT, ldflags="-s"),
        replace(UNIT, cgo=True),
        replace(UNIT, programs=(Program("tool", "example.com/tool/v3"),)),
    ],
)
def test_the_key_changes_with_a_flag(tmp_path: Path, changed: Unit) -> None:
    assert key_of(changed, "go1.26.8", tmp_path) != key_of(UNIT, "go1.26.8", tmp_path)


def test_the_key_changes_with_go_and_with_each_file_of_the_module(tmp_path: Path) -> None:
    module = tmp_path / "tool"
    (module / "command").mkdir(parents=True)
    keys = {key_of(UNIT, "go1.26.8", tmp_path), key_of(UNIT, "go1.26.9", tmp_path)}
    for name in ("go.mod", "go.sum", "command/main.go"):
        (module / name).write_text("text")
        keys.add(key_of(UNIT, "go1.26.8", tmp_path))
    (module / "go.sum").write_text("another")
    keys.add(key_of(UNIT, "go1.26.8", tmp_path))
    assert len(keys) == 6
    assert key_of(UNIT, "go1.26.8", tmp_path) in keys


def test_a_ready_control_plane_replaces_its_programs_only_when_it_is_complete(tmp_path: Path) -> None:
    (tmp_path / "etcd").touch(mode=0o755)
    environment = {"KUBEBUILDER_ASSETS": str(tmp_path)}
    assert assets(environment) == {}
    assert assets({}) == {}
    (tmp_path / "kube-apiserver").touch(mode=0o755)
    found = assets(environment)
    assert set(found) == {"etcd", "kube-apiserver"}
    control_plane = next(unit for unit in UNITS if unit.name == "kubernetes-control-plane")
    remaining = without(control_plane, found)
    assert {program.name for program in remaining.programs} == {"kube-controller-manager", "kube-scheduler"}


def test_an_unknown_group_is_refused() -> None:
    with pytest.raises(ValueError, match="nodes"):
        ensure({"nodes"}, quiet())


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("go.etcd.io/etcd/server/v3", "server"),
        ("k8s.io/kubernetes/cmd/kubelet", "kubelet"),
        (".", "tiny"),
        ("./pause", "pause"),
    ],
)
def test_the_name_that_go_gives_an_executable(package: str, name: str) -> None:
    assert executable_name("tiny", package) == name


def test_every_unit_has_its_module_and_every_program_one_name() -> None:
    names = [program.name for unit in UNITS for program in unit.programs]
    assert len(names) == len(set(names))
    for unit in UNITS:
        assert (GOMOD_ROOT / unit.module / "go.mod").read_text().startswith(f"module devcluster/{unit.module}\n")


def test_no_own_file_is_written_while_building(fake_go: Go, tmp_path: Path) -> None:
    module = tmp_path / "gomod" / "tool"
    for path in (module, module / "go.mod"):
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    before = {path.name: path.read_bytes() for path in module.iterdir()}
    ensure({"tools"}, quiet())
    assert {path.name: path.read_bytes() for path in module.iterdir()} == before


def test_an_own_cache_folder_holds_gos_caches_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONITORING_TLS_CACHE", str(tmp_path))
    monkeypatch.setenv("GOFLAGS", "-mod=mod")
    environment = go_environment()
    assert environment["GOCACHE"].startswith(str(tmp_path))
    assert environment["GOMODCACHE"].startswith(str(tmp_path))
    assert "-mod=readonly" in environment["GOFLAGS"]
    assert "-mod=mod" not in environment["GOFLAGS"]


@pytest.mark.parametrize(
    ("text", "version"),
    [("go1.26.8", (1, 26, 8)), ("go1.27", (1, 27, 0)), ("go1.26.10-X:x", (1, 26, 10)), ("devel", None)],
)
def test_go_versions_are_read(text: str, version: tuple[int, int, int] | None) -> None:
    assert parse_version(text) == version


def test_the_plain_display_says_where_a_long_step_is() -> None:
    said = _SaidWaiting()
    progress = Progress(said, interval=0.01)
    with progress.step("Waiting: tool") as step:
        step.update("linking", done=3, total=4)
        said.waiting.clear()
        assert said.waiting.wait(30)
    lines = said.getvalue().splitlines()
    assert lines[0] == "… Waiting: tool"
    assert any("3/4, linking" in line for line in lines)
    assert lines[-1].startswith("✓ Waiting: tool")
