"""The local control plane itself: what the other integration tests stand on."""

import json
import os
import shutil
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from devcluster.client import ApiClient, ApiError, wait_until
from devcluster.controlplane import ControlPlane
from devcluster.processes import ProcessRef

pytestmark = pytest.mark.integration

_PROJECT = Path(__file__).parents[2]


@pytest.fixture
def namespace(control_plane: ControlPlane) -> str:
    name = f"test-{uuid.uuid4().hex[:8]}"
    ApiClient(control_plane.kubeconfig).post("/api/v1/namespaces", {"metadata": {"name": name}})
    return name


def test_answers_as_kubernetes(control_plane: ControlPlane) -> None:
    assert ApiClient(control_plane.kubeconfig).get("/version")["gitVersion"].startswith("v1.")


@pytest.mark.skipif(shutil.which("ss") is None, reason="iproute2's ss, which lists listening sockets, is not here")
def test_listens_on_loopback_only(control_plane: ControlPlane) -> None:
    listening = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout.splitlines()
    pids = set(control_plane.pids.values())
    ours = [line for line in listening if any(f"pid={pid}," in line for pid in pids)]
    assert len(ours) >= 5
    assert all(line.split()[3].startswith("127.0.0.1:") for line in ours)


def test_a_service_account_has_only_the_rights_it_was_given(control_plane: ControlPlane, namespace: str) -> None:
    account = ApiClient(control_plane.service_account_kubeconfig(namespace, "default"))
    with pytest.raises(ApiError) as refused:
        account.get(f"/api/v1/namespaces/{namespace}/secrets")
    assert refused.value.status == 403
    assert f"system:serviceaccount:{namespace}:default" in refused.value.body


def test_any_user_with_any_groups(control_plane: ControlPlane) -> None:
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    user = ApiClient(control_plane.user_kubeconfig("someone", ["first", "second"]))
    told = user.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", review)["status"]["userInfo"]
    assert told["username"] == "someone"
    assert {"first", "second"} <= set(told["groups"])


def test_audit_log_has_every_request_and_no_body(control_plane: ControlPlane, namespace: str) -> None:
    marker = uuid.uuid4().hex
    secret = {"metadata": {"name": "audited"}, "stringData": {"value": marker}}
    ApiClient(control_plane.kubeconfig).post(f"/api/v1/namespaces/{namespace}/secrets", secret)
    text = control_plane.audit_log.read_text()
    events = [json.loads(line) for line in text.splitlines() if line.endswith("}")]
    created = [
        event
        for event in events
        if event["verb"] == "create" and event.get("objectRef", {}).get("namespace") == namespace
    ]
    assert any(event["objectRef"]["name"] == "audited" for event in created)
    assert {event["level"] for event in events} == {"Metadata"}
    assert marker not in text


def test_objects_and_port_survive_a_restart_of_the_api_server(tmp_path: Path) -> None:
    with ControlPlane(tmp_path / "state") as own:
        server = own.server
        admin = ApiClient(own.kubeconfig)
        admin.post("/api/v1/namespaces", {"metadata": {"name": "kept"}})
        own.stop_apiserver()
        with pytest.raises(OSError, match="Connection refused"):
            admin.get("/api/v1/namespaces/kept")
        own.start_apiserver()
        assert own.server == server
        assert admin.get("/api/v1/namespaces/kept")["metadata"]["name"] == "kept"


def test_stop_leaves_no_process_and_a_second_start_finds_the_objects(tmp_path: Path) -> None:
    own = ControlPlane(tmp_path / "state")
    with own:
        server = own.server
        ApiClient(own.kubeconfig).post("/api/v1/namespaces", {"metadata": {"name": "kept"}})
        started = _references(own.pids)
    assert len(started) == 4
    assert not [process for process in started if process.alive()]
    with own:
        assert own.server == server
        assert ApiClient(own.kubeconfig).get("/api/v1/namespaces/kept")


def test_every_program_dies_with_a_killed_starter(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib; from devcluster.controlplane import ControlPlane\n"
        "with ControlPlane(pathlib.Path(sys.argv[1])) as own:\n"
        "    print(*own.pids.values(), flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "state")],
        cwd=_PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as starter:
        assert starter.stdout is not None
        started = _references({str(number): int(pid) for number, pid in enumerate(starter.stdout.readline().split())})
        assert len(started) == 4
        os.kill(starter.pid, signal.SIGKILL)
    assert all(process.wait(10) for process in started)


def test_a_program_that_ended_is_named(tmp_path: Path) -> None:
    with ControlPlane(tmp_path / "state") as own:
        assert own.ended() is None
        os.kill(own.pids["kube-scheduler"], signal.SIGKILL)
        wait_until("the end", lambda: own.ended() is not None, seconds=10, broken=lambda: None, remedy="")
        assert own.ended() == "kube-scheduler ended with status -9"


def _references(pids: dict[str, int]) -> list[ProcessRef]:
    return [found for found in map(ProcessRef.of, pids.values()) if found]
