"""Fixtures shared by all tests."""

from collections.abc import Iterator

import pytest

from devcluster.controlplane import ControlPlane


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A real control plane, one for each xdist worker: tests keep apart by their own namespaces."""
    with ControlPlane(tmp_path_factory.mktemp("control-plane")) as running:
        yield running
