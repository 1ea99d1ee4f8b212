"""The main job, end to end: the story of `make demo`, on a node of the test's own."""

import asyncio
import base64
import io
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from demo import story
from demo.context import Demo
from demo.place import local_place
from demo.stack import AFFECTED, PODS_EACH, SECRETS_MADE
from demo.stage import Stage
from devcluster.cluster import Cluster
from monitoring_tls.kube.client import KubeClient
from monitoring_tls.kube.resources import EVENTS, MONITORINGTLSES, SECRETS
from tests.leaks import search

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def output() -> Iterator[io.StringIO]:
    with closing(io.StringIO()) as shown:
        yield shown


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, output: io.StringIO) -> Iterator[Demo]:
    root = tmp_path_factory.mktemp("demo")
    stage = Stage(output)
    try:
        place = local_place(root, stage)
        yield asyncio.run(story.tell(place, stage))
    except Exception as error:
        error.add_note(output.getvalue())  # what was shown until then
        raise
    finally:
        Cluster(root).down()


def test_everything_was_seen(told: Demo) -> None:
    assert [f"{check.asked}: {check.seen}" for check in told.stage.checks if not check.ok] == []
    assert len(told.stage.checks) >= 25


def test_the_load_was_a_load(told: Demo) -> None:
    tally = told.running_load().tally()
    assert tally.asked > 500
    assert tally.failed == 0


def test_a_rotation_makes_each_affected_pod_new_once_and_no_other(told: Demo) -> None:
    (rotation,) = [change for change in told.changes if change.name == "CA rotation"]
    assert rotation.restarts == {each.name: PODS_EACH for each in AFFECTED}
    assert rotation.requests is not None
    assert rotation.requests <= 60


async def test_no_private_key_is_anywhere_but_in_secrets(told: Demo, output: io.StringIO) -> None:
    local = told.place.local
    assert local is not None
    async with KubeClient.from_kubeconfig(told.place.kubeconfig) as client:
        keys = [
            base64.b64decode(value)
            for namespace, name in SECRETS_MADE
            for key, value in (await client.get(SECRETS, namespace, name))["data"].items()
            if key.endswith(".key")
        ]
        pages = [await client.list(EVENTS), await client.list(MONITORINGTLSES)]
    logs = "".join(path.read_text(errors="replace") for path in operator_logs(local))
    assert "certificates changed" in logs
    places = {
        "events": repr(pages[0].items),
        "status": repr(pages[1].items),
        "audit log": local.audit_log.read_text(),
        "the operator's logs": logs,
        "what was shown": output.getvalue(),
    }
    assert len(keys) >= 6
    assert search(places, keys) == []
    # A search that can't find anything proves nothing: the same places with one key in each, in another form each time.
    planted = {
        "events": places["events"] + keys[0].decode(),
        "status": places["status"] + base64.b64encode(b"x" + keys[1]).decode(),
        "the operator's logs": logs + repr(keys[2]),
    }
    assert {leak.place for leak in search(planted, keys)} == planted.keys()


def operator_logs(cluster: Cluster) -> list[Path]:
    """The logs of the operator's containers, as the kubelet keeps them."""
    folder = cluster.kubeconfig.parent
    return [path for path in folder.rglob("pods/*_monitoring-tls-operator-*/*/*.log") if path.is_file()]
