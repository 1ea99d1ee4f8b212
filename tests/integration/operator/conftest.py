from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.operator.stack import Operators, World


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
def new_world(operators: Operators, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], World]]:
    """Makes a control plane with CRDs, a node and prometheus-operator, and nothing else."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(World(tmp_path_factory.mktemp("world"), operators))


@pytest.fixture
def world(operators: Operators, tmp_path: Path) -> Iterator[World]:
    """A control plane of the test's own, on which no operator ever ran."""
    with World(tmp_path, operators) as made:
        yield made
