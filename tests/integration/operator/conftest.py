from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.operator.stack import Operators, World
from tests.leaks import search


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="session")
def operators() -> Iterator[Operators]:
    made = Operators()
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared(operators: Operators, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world for the tests of one module, with stack and operator."""
    with World(tmp_path_factory.mktemp("world"), operators) as made:
        made.install_stack()
        made.start_operator()
        made.ask()
        yield made
        no_leaks(made)


@pytest.fixture
def settled(shared: World) -> Iterator[World]:
    """The shared world at its fixed point, where each test begins and is to end."""
    kubelet = shared.kubelet
    usual = kubelet.refresh_delay, kubelet.old_copies
    if shared.operators.pid is None:
        shared.drop_lease()
        shared.start_operator()
    shared.until("the fixed point", shared.settled)
    yield shared
    kubelet.refresh_delay, kubelet.old_copies = usual


@pytest.fixture
def world(operators: Operators, tmp_path: Path) -> Iterator[World]:
    """A control plane of the test's own, on which no operator ever ran."""
    with World(tmp_path, operators) as made:
        yield made
        no_leaks(made)


def no_leaks(world: World) -> None:
    """Look for every key that was ever in a Secret in everything that others may read."""
    # In names of their own, as a failing assertion shows the arguments of its calls.
    known = len(world.kubelet.keys)
    found = search(world.everything_public(), world.kubelet.keys)
    assert known
    assert found == []
