"""An operator that dies in the middle of its work, by SIGKILL, and the next one that goes on from what it finds."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.operator.checks import Rotation, bundle, consistent, leaf, served
from tests.integration.operator.stack import PATIENCE, PODS, Operators, Request, World
from tests.integration.operator.test_install import MADE

_STATE_WRITES = 14
"""Of a rotation: twice the CA's Secret and its four copies, and between them each of the four workloads once."""


@pytest.fixture(scope="module")
def crashing(operators: Operators, shared: World) -> World:
    shared.until("the fixed point", shared.settled)
    operators.stop()
    return shared


@pytest.fixture
def stopped(crashing: World) -> Iterator[World]:
    """The world at its fixed point, without an operator."""
    crashing.operators.stop()
    crashing.drop_lease()
    yield crashing
    crashing.operators.stop()


def test_dies_after_every_single_write(stopped: World) -> None:
    world, deaths = stopped, 0
    rotation = Rotation(world)
    while True:
        world.start_operator(writes=1, state_only=True)
        if not _lives_until(world, rotation.over):
            assert world.operators.wait() == -signal.SIGKILL
            world.drop_lease()
            deaths += 1
            continue
        break
    rotation.check()
    written = [f"{r.verb} {r.resource}/{r.name}" for r in world.work_requests(rotation.begun) if _changes_state(r)]
    assert len(written) == _STATE_WRITES, written
    assert deaths == _STATE_WRITES


@pytest.mark.parametrize("writes", [3, 9, 16])
def test_dies_once_after_some_write(stopped: World, writes: int) -> None:
    """Writes of events and of the status count here too: each number is another moment of the same rotation."""
    world = stopped
    rotation = Rotation(world)
    world.start_operator(writes=writes)
    if not _lives_until(world, rotation.over):
        assert world.operators.wait() == -signal.SIGKILL
        world.drop_lease()
        world.start_operator()
        world.until("the end of the rotation", rotation.over)
    rotation.check()


def test_the_command_is_killed_in_the_middle(stopped: World) -> None:
    world = stopped
    argv = [sys.executable, "-m", "monitoring_tls", "run", "--kubeconfig", str(world.kubeconfig), "--metrics-port=0"]
    rotation = Rotation(world)
    with world.log.open("ab") as log:
        first = subprocess.Popen(["setpriv", "--pdeathsig=KILL", "--", *argv], stdout=log, stderr=log)
        world.until("the new CA", lambda: len(bundle(world)) > 1)
        os.kill(first.pid, signal.SIGKILL)
        assert first.wait() == -signal.SIGKILL
        world.drop_lease()
        second = subprocess.Popen(["setpriv", "--pdeathsig=KILL", "--", *argv], stdout=log, stderr=log)
        world.until("the end of the rotation", rotation.over)
        second.terminate()
        assert second.wait() == 0
    rotation.check()


def _changes_state(request: Request) -> bool:
    return (
        request.status < 300
        and request.verb in {"create", "patch", "update", "delete"}
        and request.resource != "events"
        and (request.subresource != "status")
    )


def _lives_until(world: World, condition: Callable[[], bool]) -> bool:
    """Wait for the condition or the end of the operator: whether it was the condition."""
    pid, deadline = world.operators.pid, time.monotonic() + PATIENCE
    while Path(f"/proc/{pid}").exists():
        if condition():
            return True
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return False


def test_dies_after_every_single_write_of_an_installation(world: World) -> None:
    world.install_stack()
    world.until("pods that wait", lambda: world.kubelet.waiting() == sum(PODS.values()))
    world.ask()
    deaths = 0
    while True:
        world.start_operator(writes=1, state_only=True)
        if _lives_until(world, world.settled):
            break
        assert world.operators.wait() == -signal.SIGKILL
        world.drop_lease()
        deaths += 1
    assert len(world.kubelet.bundles) == 1, "one CA was made"
    assert consistent(world)
    assert set(served(world)) == {leaf(world, "prometheus-server")}
    assert set(list(world.generations().values())[:4]) == {2}, "each workload was changed once"
    assert world.kubelet.traffic.failures == []
    # Two Secrets of CAs, four copies, two ConfigMaps, four workloads; and pods that waited may have been made anew.
    assert deaths >= 12
    # Each process died before it could tell; the next one told it.
    made = [f"Created {name} -n {namespace} because it was missing" for name, namespace in MADE.items()]
    world.until("every event", lambda: all(any(text in event for event in world.events()) for text in made))
