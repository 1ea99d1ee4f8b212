import base64
import json
import logging
import uuid

import httpx2
import pytest

from devcluster.controlplane import ControlPlane
from monitoring_tls import errors
from monitoring_tls.kube import client as client_module
from monitoring_tls.kube.client import KubeClient
from monitoring_tls.kube.resources import CONFIGMAPS, DEPLOYMENTS, NAMESPACES, PROMETHEUSES, SECRETS
from monitoring_tls.kube.selection import Selection
from monitoring_tls.kube.transport import FIELD_MANAGER
from tests.integration.kube.faults import FaultProxy, status_response


def configmap(namespace: str, name: str, **data: str) -> dict[str, object]:
    return {"metadata": {"namespace": namespace, "name": name}, "data": data}


async def test_an_object_lives_its_life(client: KubeClient, namespace: str) -> None:
    created = await client.create(CONFIGMAPS, configmap(namespace, "a", k="1"))
    with pytest.raises(errors.AlreadyExistsError):
        await client.create(CONFIGMAPS, configmap(namespace, "a"))
    replaced = await client.replace(CONFIGMAPS, created | {"data": {"k": "2"}})
    with pytest.raises(errors.ConflictError):
        await client.replace(CONFIGMAPS, created | {"data": {"k": "3"}})
    stale = {"metadata": {"resourceVersion": created["metadata"]["resourceVersion"]}, "data": {"k": "3"}}
    with pytest.raises(errors.ConflictError):
        await client.merge_patch(CONFIGMAPS, namespace, "a", stale)
    await client.merge_patch(CONFIGMAPS, namespace, "a", {"data": {"other": "x"}})
    assert (await client.get(CONFIGMAPS, namespace, "a"))["data"] == {"k": "2", "other": "x"}
    with pytest.raises(errors.ConflictError):
        await client.delete(CONFIGMAPS, namespace, "a", uid=str(uuid.uuid4()))
    with pytest.raises(errors.ConflictError):
        await client.delete(
            CONFIGMAPS, namespace, "a", resource_version=replaced["metadata"]["resourceVersion"], grace_seconds=0
        )
    await client.delete(CONFIGMAPS, namespace, "a", uid=created["metadata"]["uid"])
    with pytest.raises(errors.NotFoundError):
        await client.get(CONFIGMAPS, namespace, "a")


async def test_apply_owns_exactly_its_fields(client: KubeClient, namespace: str) -> None:
    await client.create(CONFIGMAPS, configmap(namespace, "a", theirs="1", contested="theirs"))
    # create and apply are separate entries of the same manager, so this one must look foreign.
    foreign = {"metadata": {"annotations": {"x": "y"}}, "data": {"contested": "theirs"}}
    await client.merge_patch(CONFIGMAPS, namespace, "a", foreign)
    with pytest.raises(errors.ConflictError, match="contested"):
        await client.apply(CONFIGMAPS, configmap(namespace, "a", contested="ours"), force=False)
    applied = await client.apply(CONFIGMAPS, configmap(namespace, "a", ours="1", contested="ours"))
    assert applied["data"] == {"theirs": "1", "contested": "ours", "ours": "1"}
    owners = [entry["manager"] for entry in applied["metadata"]["managedFields"] if entry["operation"] == "Apply"]
    assert owners == [FIELD_MANAGER]
    given_up = await client.apply(CONFIGMAPS, configmap(namespace, "a", contested="ours"))
    assert given_up["data"] == {"theirs": "1", "contested": "ours"}


async def test_json_patch_tests_before_it_changes(client: KubeClient, namespace: str) -> None:
    created = await client.create(CONFIGMAPS, configmap(namespace, "a", k="1"))
    version = created["metadata"]["resourceVersion"]
    change = [
        {"op": "test", "path": "/metadata/resourceVersion", "value": version},
        {"op": "replace", "path": "/data/k", "value": "2"},
    ]
    assert (await client.json_patch(CONFIGMAPS, namespace, "a", change))["data"] == {"k": "2"}
    with pytest.raises(errors.ApiError) as refused:
        await client.json_patch(CONFIGMAPS, namespace, "a", change)
    assert (refused.value.status, refused.value.reason) == (422, "Invalid")


async def test_status_is_written_apart_from_spec(client: KubeClient, namespace: str) -> None:
    labels = {"app": "a"}
    container = {"name": "a", "image": "localhost/absent:1"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    await client.create(DEPLOYMENTS, {"metadata": {"namespace": namespace, "name": "a"}, "spec": spec})
    condition = {"type": "Ours", "status": "True", "reason": "R", "message": "m"}
    patch = {"spec": {"replicas": 3}, "status": {"conditions": [condition]}}
    patched = await client.merge_patch(DEPLOYMENTS, namespace, "a", patch, subresource="status")
    assert patched["spec"]["replicas"] == 0
    assert "Ours" in {entry["type"] for entry in patched["status"]["conditions"]}


async def test_a_long_list_comes_in_parts_of_one_moment(
    client: KubeClient, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "PAGE_SIZE", 2)
    names = {f"n{number}" for number in range(5)}
    for name in names:
        await client.create(CONFIGMAPS, configmap(namespace, name) | {"metadata": _labelled(namespace, name)})
    selection = Selection(namespace, label_selector="mine=yes")
    pages = [page async for page in client.pages(CONFIGMAPS, selection)]
    assert [len(page.items) for page in pages] == [2, 2, 1]
    assert len({page.resource_version for page in pages}) == 1
    assert {item["metadata"]["name"] for page in pages for item in page.items} == names
    assert len((await client.list(CONFIGMAPS, selection)).items) == 5
    one = await client.list(CONFIGMAPS, Selection(namespace, field_selector="metadata.name=n3"))
    assert [item["metadata"]["name"] for item in one.items] == ["n3"]


def _labelled(namespace: str, name: str) -> dict[str, object]:
    return {"namespace": namespace, "name": name, "labels": {"mine": "yes"}}


async def test_metadata_alone(client: KubeClient, namespace: str) -> None:
    await client.create(CONFIGMAPS, configmap(namespace, "a", k="1"))
    assert "data" not in await client.get(CONFIGMAPS, namespace, "a", metadata_only=True)
    selection = Selection(namespace, field_selector="metadata.name=a", metadata_only=True)
    page = await client.list(CONFIGMAPS, selection)
    assert [set(item) & {"metadata", "data"} for item in page.items] == [{"metadata"}]
    watch = client.watch(CONFIGMAPS, selection, resource_version="0", timeout_seconds=60, silence=60)
    async with watch as stream:
        event = await anext(stream)
    assert event.object["metadata"]["name"] == "a"
    assert "data" not in event.object


async def test_an_unknown_kind_and_an_absent_namespace(client: KubeClient) -> None:
    with pytest.raises(errors.NotFoundError):
        await client.list(PROMETHEUSES)
    assert (await client.list(SECRETS, Selection("absent"))).items == []


async def test_a_missing_permission(control_plane: ControlPlane) -> None:
    async with KubeClient.from_kubeconfig(control_plane.user_kubeconfig("nobody-special")) as client:
        with pytest.raises(errors.ForbiddenError, match="nobody-special"):
            await client.list(SECRETS)


async def test_requests_are_counted_and_say_who_asks(
    client: KubeClient, namespace: str, control_plane: ControlPlane
) -> None:
    observed: list[tuple[str, str, int]] = []
    client.observe(lambda *request: observed.append(request))
    before = client.requests["get", "configmaps"]
    name = uuid.uuid4().hex
    with pytest.raises(errors.NotFoundError):
        await client.get(CONFIGMAPS, namespace, name)
    assert client.requests["get", "configmaps"] == before + 1
    assert observed == [("get", "configmaps", 404)]
    lines = [json.loads(line) for line in control_plane.audit_log.read_text().splitlines() if name in line]
    assert {line["userAgent"] for line in lines} == {"monitoring-tls-operator/0.1.0"}


async def test_no_body_is_ever_logged(
    client: KubeClient, namespace: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    canary = uuid.uuid4().hex
    encoded = base64.b64encode(canary.encode()).decode()
    secret = {"metadata": {"namespace": namespace, "name": "a"}, "data": {"key": encoded}}
    await client.create(SECRETS, secret)
    await client.apply(SECRETS, secret)
    with pytest.raises(errors.ApiError) as refused:
        await client.apply(SECRETS, secret | {"data": {"not a key": encoded, "key": f"{canary}!"}})
    await client.list(SECRETS, Selection(namespace))
    told = caplog.text + "".join(capfd.readouterr()) + repr(refused.value)
    assert namespace in told, "the requests themselves are logged, so this test would see a body"
    assert canary not in told
    assert encoded not in told


async def test_429_is_waited_out_and_then_tried_again(through: KubeClient, proxy: FaultProxy, namespace: str) -> None:
    # Injected: making a real API server's priority-and-fairness refuse takes more load than this machine has.
    proxy.canned += [("POST", status_response(429, "TooManyRequests", headers="Retry-After: 0\r\n"))] * 2
    await through.create(CONFIGMAPS, configmap(namespace, "a"))
    assert proxy.count("POST") == 3
    assert through.requests["create", "configmaps"] == 3


async def test_a_long_retry_after_is_left_to_the_caller(through: KubeClient, proxy: FaultProxy, namespace: str) -> None:
    proxy.canned.append(("GET", status_response(429, "TooManyRequests", headers="Retry-After: 60\r\n")))
    with pytest.raises(errors.TooManyRequestsError) as refused:
        await through.get(CONFIGMAPS, namespace, "a")
    assert refused.value.retry_after == 60
    assert proxy.count("GET") == 1


async def test_a_lost_answer_is_asked_for_again_only_where_that_is_safe(
    through: KubeClient, client: KubeClient, proxy: FaultProxy, namespace: str
) -> None:
    proxy.lost += ["PATCH", "GET"]
    await through.apply(CONFIGMAPS, configmap(namespace, "a"))
    await through.get(CONFIGMAPS, namespace, "a")
    assert (proxy.count("PATCH"), proxy.count("GET")) == (2, 2)
    proxy.lost.append("POST")
    with pytest.raises(errors.ApiUnreachableError):
        await through.create(CONFIGMAPS, configmap(namespace, "b"))
    assert proxy.count("POST") == 1
    assert await client.get(CONFIGMAPS, namespace, "b"), "it had arrived: a second one would have failed"


async def test_a_cut_and_a_refused_connection_are_tried_again(
    through: KubeClient, proxy: FaultProxy, namespace: str
) -> None:
    await through.get(NAMESPACES, None, namespace)
    proxy.cut()
    await through.get(NAMESPACES, None, namespace)
    proxy.cut()
    proxy.refusing = True
    before = through.requests["get", "namespaces"]
    with pytest.raises(errors.ApiUnreachableError):
        await through.get(NAMESPACES, None, namespace)
    assert through.requests["get", "namespaces"] == before + 4


async def test_nothing_listens(tmp_path_factory: pytest.TempPathFactory, control_plane: ControlPlane) -> None:
    async with FaultProxy(control_plane.kubeconfig) as gone:
        kubeconfig = gone.kubeconfig(tmp_path_factory.mktemp("gone") / "kubeconfig")
    async with KubeClient.from_kubeconfig(kubeconfig) as client:
        with pytest.raises(errors.ApiUnreachableError) as failure:
            await client.create(CONFIGMAPS, configmap("a", "b"))
        assert isinstance(failure.value.__cause__, httpx2.ConnectError)
        assert client.requests["create", "configmaps"] == 4, "what never left may be sent again, whatever it is"


async def test_an_answer_that_is_no_json_is_not_quoted(through: KubeClient, proxy: FaultProxy, namespace: str) -> None:
    proxy.canned += [("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{canary: ")] * 4
    with pytest.raises(errors.ApiUnreachableError) as failure:
        await through.get(SECRETS, namespace, "a")
    assert "canary" not in repr(failure.value)
    assert failure.value.__context__ is None


async def test_a_guard_keeps_writes_from_being_sent(client: KubeClient, namespace: str) -> None:
    def refuse() -> None:
        raise errors.LeadershipLostError("a/b", "me", None)

    guarded = client.guarded(refuse)
    sent = client.requests.total()
    writes = [
        guarded.create(CONFIGMAPS, configmap(namespace, "a")),
        guarded.apply(CONFIGMAPS, configmap(namespace, "a")),
        guarded.replace(CONFIGMAPS, configmap(namespace, "a")),
        guarded.json_patch(CONFIGMAPS, namespace, "a", []),
        guarded.merge_patch(CONFIGMAPS, namespace, "a", {}),
        guarded.delete(CONFIGMAPS, namespace, "a"),
    ]
    for write in writes:
        with pytest.raises(errors.LeadershipLostError):
            await write
    assert client.requests.total() == sent
    await guarded.list(CONFIGMAPS, Selection(namespace))
    await client.create(CONFIGMAPS, configmap(namespace, "a"))


async def test_a_guard_that_turns_while_the_connection_is_made_keeps_the_write_from_happening(
    client: KubeClient, namespace: str
) -> None:
    calls: list[None] = []

    def turn() -> None:
        calls.append(None)
        if len(calls) == 2:
            raise errors.LeadershipLostError("a/b", "me", 16.0)

    guarded = client.guarded(turn)
    with pytest.raises(errors.LeadershipLostError):
        await guarded.create(CONFIGMAPS, configmap(namespace, "a"))
    with pytest.raises(errors.NotFoundError):
        await client.get(CONFIGMAPS, namespace, "a")
    await guarded.create(CONFIGMAPS, configmap(namespace, "b"))
    assert len(calls) == 4
