import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from devcluster.controlplane import ControlPlane
from monitoring_tls.errors import ApiUnreachableError, ForbiddenError
from monitoring_tls.kube.client import KubeClient
from monitoring_tls.kube.events import EventRecorder, Happening, ObjectReference, event_name, secret_updated
from monitoring_tls.kube.resources import DEPLOYMENTS, EVENTS, Object
from monitoring_tls.kube.selection import Selection
from tests.integration.kube.conftest import Until
from tests.integration.kube.faults import FaultProxy, status_response

UPDATED = secret_updated("openshift-monitoring", "grpc-tls")


@pytest.fixture
def about(namespace: str) -> ObjectReference:
    return ObjectReference("apps/v1", "Deployment", namespace, "monitoring-tls-operator", str(uuid.uuid4()))


@asynccontextmanager
async def running(recorder: EventRecorder) -> AsyncIterator[None]:
    task = asyncio.ensure_future(recorder.run())
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def written(client: KubeClient, about: ObjectReference, happening: Happening = UPDATED) -> Object:
    return await client.get(EVENTS, about.namespace, event_name(about, happening))


async def test_the_same_happening_is_one_event_whose_count_rises(
    client: KubeClient, about: ObjectReference, until: Until
) -> None:
    recorder = EventRecorder(client, about)
    async with running(recorder):
        recorder.record(UPDATED)
        await until(lambda: recorder.pending == 0)
        first = await written(client, about)
        for _ in range(3):
            recorder.record(UPDATED)
        await until(lambda: recorder.pending == 0)
        await recorder.flush(60)
    last = await written(client, about)
    assert (first["count"], last["count"]) == (1, 4)
    assert first["metadata"]["uid"] == last["metadata"]["uid"]
    assert first["firstTimestamp"] == last["firstTimestamp"] <= last["lastTimestamp"]
    assert last["involvedObject"] == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "namespace": about.namespace,
        "name": "monitoring-tls-operator",
        "uid": about.uid,
    }
    assert (last["type"], last["reason"]) == ("Normal", "SecretUpdated")
    assert last["message"] == "Updated Secret/grpc-tls -n openshift-monitoring because it changed"
    assert last["source"] == {"component": "monitoring-tls-operator"}
    found = await client.list(EVENTS, Selection(about.namespace, field_selector="involvedObject.kind=Deployment"))
    assert len(found.items) == 1


async def test_what_is_recorded_together_is_written_together(client: KubeClient, about: ObjectReference) -> None:
    recorder = EventRecorder(client, about)
    for _ in range(1000):
        recorder.record(UPDATED)
    assert recorder.pending == 1000
    assert await recorder.flush(60)
    assert (await written(client, about))["count"] == 1000
    assert client.requests["create", "events"] == 1


async def test_another_process_goes_on_counting(client: KubeClient, about: ObjectReference) -> None:
    for expected in (1, 2):
        successor = EventRecorder(client, about)
        successor.record(UPDATED)
        assert await successor.flush(60)
        assert (await written(client, about))["count"] == expected
    reads = client.requests["get", "events"]
    successor.record(UPDATED)
    assert await successor.flush(60)
    assert client.requests["get", "events"] == reads, "what it read once it knows"
    assert (await written(client, about))["count"] == 3


async def test_two_processes_that_count_at_once_lose_nothing(client: KubeClient, about: ObjectReference) -> None:
    recorders = [EventRecorder(client, about) for _ in range(2)]
    for _ in range(5):
        for recorder in recorders:
            recorder.record(UPDATED)
        assert all(await asyncio.gather(*(recorder.flush(60) for recorder in recorders)))
    assert (await written(client, about))["count"] == 10


async def test_an_event_that_the_api_server_forgot_begins_anew(client: KubeClient, about: ObjectReference) -> None:
    recorder = EventRecorder(client, about)
    for _ in range(2):
        recorder.record(UPDATED)
        assert await recorder.flush(60)
        assert (await written(client, about))["count"] == 1
        await client.delete(EVENTS, about.namespace, event_name(about, UPDATED))


async def test_nothing_is_lost_while_the_api_server_is_away(
    client: KubeClient, about: ObjectReference, until: Until, control_plane: ControlPlane
) -> None:
    recorder = EventRecorder(client, about)
    async with running(recorder):
        recorder.record(UPDATED)
        await until(lambda: recorder.pending == 0)
        control_plane.stop_apiserver()
        try:
            for number in range(50):
                recorder.record(UPDATED)
                recorder.record(Happening("Other", f"message {number}"))
            await until(lambda: isinstance(recorder.error, ApiUnreachableError))
            assert recorder.pending == 100
        finally:
            await asyncio.to_thread(control_plane.start_apiserver)
        await until(lambda: recorder.pending == 0 and recorder.error is None)
        assert await recorder.flush(60)
    assert (await written(client, about))["count"] == 51
    for number in range(50):
        assert (await written(client, about, Happening("Other", f"message {number}")))["count"] == 1


async def test_a_lost_answer_counts_once(
    through: KubeClient, client: KubeClient, proxy: FaultProxy, about: ObjectReference
) -> None:
    recorder = EventRecorder(through, about)
    for expected, verb in enumerate(("POST", "PATCH", "PATCH"), start=1):
        proxy.lost.append(verb)
        recorder.record(UPDATED)
        assert await recorder.flush(60)
        assert not proxy.lost
        assert (await written(client, about))["count"] == expected
    assert recorder.pending == 0


async def test_a_lost_answer_counts_once_among_later_ones(
    through: KubeClient, client: KubeClient, proxy: FaultProxy, about: ObjectReference
) -> None:
    recorder = EventRecorder(through, about)
    proxy.lost.append("POST")
    recorder.record(UPDATED)
    assert not await recorder._write_all()
    recorder.record(UPDATED)
    assert await recorder.flush(60)
    assert (await written(client, about))["count"] == 2


async def test_one_that_is_refused_holds_up_no_other(
    through: KubeClient, client: KubeClient, proxy: FaultProxy, about: ObjectReference, until: Until
) -> None:
    recorder = EventRecorder(through, about)
    other = Happening("Other", "another message")
    proxy.canned.append(("POST", status_response(403, "Forbidden")))
    async with running(recorder):
        recorder.record(UPDATED)
        recorder.record(other)
        await until(lambda: recorder.pending == 1)
        assert isinstance(recorder.error, ForbiddenError)
        assert (await written(client, about, other))["count"] == 1
        await until(lambda: recorder.pending == 0)
    assert (await written(client, about))["count"] == 1


async def test_a_flush_ends_in_time_and_keeps_what_it_could_not_write(
    through: KubeClient, proxy: FaultProxy, about: ObjectReference
) -> None:
    recorder = EventRecorder(through, about)
    proxy.flowing.clear()
    recorder.record(UPDATED)
    assert not await recorder.flush(0.2)
    assert recorder.pending == 1
    proxy.flowing.set()
    assert await recorder.flush(60)


async def test_describe_finds_the_events_by_the_uid(client: KubeClient, namespace: str) -> None:
    labels = {"app": "a"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "localhost/absent:1"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    deployment = await client.create(DEPLOYMENTS, {"metadata": {"namespace": namespace, "name": "a"}, "spec": spec})
    uid = deployment["metadata"]["uid"]
    recorder = EventRecorder(client, ObjectReference("apps/v1", "Deployment", namespace, "a", uid))
    recorder.record(UPDATED)
    assert await recorder.flush(60)
    found = await client.list(EVENTS, Selection(namespace, field_selector=f"involvedObject.uid={uid}"))
    assert UPDATED.message in {event["message"] for event in found.items}
