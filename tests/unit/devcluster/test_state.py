import datetime as dt
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from devcluster.cluster import Cluster, node_ready
from devcluster.errors import DevClusterError
from devcluster.processes import ProcessRef
from devcluster.state import ClusterState, forget_launcher, launcher, record_launcher


def test_state_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    written = ClusterState(nodes=1, network=7, cgroups=("/sys/fs/cgroup/mtls7",), enabled=("cpuset",))
    written.save(tmp_path)
    assert ClusterState.load(tmp_path) == written
    changed = written.changed(tmp_path, enabled=())
    assert ClusterState.load(tmp_path) == changed
    assert changed.cgroups == written.cgroups


def test_no_state_is_no_cluster(tmp_path: Path) -> None:
    assert ClusterState.load(tmp_path) is None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"nodes": "many"}'])
def test_a_damaged_state_is_named_with_a_remedy(tmp_path: Path, content: str) -> None:
    (tmp_path / "state.json").write_text(content)
    with pytest.raises(DevClusterError, match=r"state\.json cannot be read") as raised:
        ClusterState.load(tmp_path)
    assert raised.value.remedy


def test_launcher_is_this_very_process_until_forgotten(tmp_path: Path) -> None:
    record_launcher(tmp_path)
    assert launcher(tmp_path) == ProcessRef.of(os.getpid())
    forget_launcher(tmp_path)
    assert launcher(tmp_path) is None


def test_a_recycled_process_id_is_never_signalled() -> None:
    own = ProcessRef.of_self()
    earlier = ProcessRef(own.pid, own.start_time - 1)
    assert own.alive()
    assert not earlier.alive()
    earlier.send(signal.SIGKILL)  # would end this test run
    assert earlier.end(grace=0)


def test_a_process_that_ignores_the_request_is_killed() -> None:
    script = (
        "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); signal.pause()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        reference = ProcessRef.of(child.pid)
        assert reference is not None
        assert reference in ProcessRef.of_self().children()
        assert reference.end(grace=0.1)  # a zombie counts as ended
        assert child.wait() == -signal.SIGKILL


def test_down_without_a_cluster_does_nothing(tmp_path: Path) -> None:
    Cluster(tmp_path).down()
    assert not list(tmp_path.iterdir())


def test_down_removes_what_an_interrupted_start_left(tmp_path: Path) -> None:
    state = tmp_path / ".devcluster"
    ClusterState(nodes=0).save(state)
    (state / "pki").mkdir()
    Cluster(tmp_path).down()
    assert not state.exists()


_NOW = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("status", "heartbeat", "ready"),
    [
        ("True", "2026-01-02T03:04:05Z", True),
        ("True", "2026-01-02T03:04:04Z", False),
        ("Unknown", "2026-01-02T03:04:06Z", False),
    ],
)
def test_node_is_ready_only_with_a_fresh_heartbeat(status: str, heartbeat: str, *, ready: bool) -> None:
    other = {"type": "DiskPressure", "status": "True", "lastHeartbeatTime": "2026-01-02T03:04:06Z"}
    condition = {"type": "Ready", "status": status, "lastHeartbeatTime": heartbeat}
    assert node_ready({"status": {"conditions": [other, condition]}}, _NOW) is ready


def test_a_node_without_conditions_is_not_ready() -> None:
    assert not node_ready({"status": {}}, _NOW)
