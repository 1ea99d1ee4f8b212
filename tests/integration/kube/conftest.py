import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from devcluster.controlplane import ControlPlane
from monitoring_tls.kube.client import KubeClient
from monitoring_tls.kube.resources import NAMESPACES
from tests.integration.kube.faults import FaultProxy

Until = Callable[[Callable[[], bool]], Awaitable[None]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.integration)


@pytest.fixture
async def client(control_plane: ControlPlane) -> AsyncIterator[KubeClient]:
    async with KubeClient.from_kubeconfig(control_plane.kubeconfig) as client:
        yield client


@pytest.fixture
async def namespace(client: KubeClient) -> str:
    name = f"kube-{uuid.uuid4().hex[:8]}"
    await client.create(NAMESPACES, {"metadata": {"name": name}})
    return name


@pytest.fixture
async def proxy(control_plane: ControlPlane) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(control_plane.kubeconfig) as proxy:
        yield proxy


@pytest.fixture
async def through(proxy: FaultProxy, tmp_path: Path) -> AsyncIterator[KubeClient]:
    """A client whose every byte goes through `proxy`."""
    async with KubeClient.from_kubeconfig(proxy.kubeconfig(tmp_path / "through-proxy")) as client:
        yield client


@pytest.fixture
def until() -> Until:
    """Wait for a condition, with a deadline that only a failure reaches."""

    async def wait(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():  # noqa: ASYNC110 - conditions of any kind have no event to wait for
                await asyncio.sleep(0.01)

    return wait
