"""Tests that need the node: where a machine has none to give, they are reported as not run, with the reason."""

import os

import pytest

from devcluster import cgroups, prerequisites


def _missing() -> str | None:
    if os.geteuid() != 0:
        return "this is not root, and a node needs namespaces and control groups"
    if problem := cgroups.unsupported():
        return str(problem)
    if packages := prerequisites.missing_packages():
        return f"the machine lacks {' '.join(name for package in packages for name in package.debian)}"
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    end_to_end = [item for item in items if item.get_closest_marker("e2e")]
    if end_to_end and (reason := _missing()):
        for item in end_to_end:
            item.add_marker(pytest.mark.skip(reason=f"e2e: not run here because {reason}"))
