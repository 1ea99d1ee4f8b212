import asyncio
import contextlib
import gc
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from devcluster.controlplane import ControlPlane
from monitoring_tls.errors import ApiUnreachableError, ExpiredError, ForbiddenError, TooManyRequestsError
from monitoring_tls.kube.client import KubeClient
from monitoring_tls.kube.reflector import Key, Reflector, Timing
from monitoring_tls.kube.resources import CONFIGMAPS, CRDS, NAMESPACES, SECRETS, Object, Resource
from monitoring_tls.kube.selection import Selection
from tests.integration.kube.conftest import Until
from tests.integration.kube.faults import FaultProxy, status_response, stream_response

FAST = Timing(retry=(0.01, 0.1), forbidden_retry=(0.01, 0.1), kick_window=30.0)
ROLES = Resource("rbac.authorization.k8s.io", "v1", "roles", "Role")
BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")


def value_of(obj: Object) -> str | None:
    """The one datum; objects without it (kube-root-ca.crt) are not kept."""
    value: str | None = (obj.get("data") or {}).get("k")
    return value


@asynccontextmanager
async def running(reflector: Reflector[Any]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(reflector.run())
    try:
        yield
        assert not task.done(), "a reflector only ends when it is cancelled"
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def put(client: KubeClient, namespace: str, name: str, value: str) -> None:
    await client.apply(CONFIGMAPS, {"metadata": {"namespace": namespace, "name": name}, "data": {"k": value}})


def configmaps(client: KubeClient, namespace: str, timing: Timing = FAST, **options: Any) -> Reflector[str]:
    return Reflector(client, CONFIGMAPS, value_of, selection=Selection(namespace), timing=timing, **options)


async def test_the_store_follows_the_cluster(client: KubeClient, namespace: str, until: Until) -> None:
    changes: list[tuple[Key, str | None, str | None]] = []
    await put(client, namespace, "old", "1")
    reflector = configmaps(client, namespace, on_change=lambda *change: changes.append(change))
    assert not reflector.synced
    async with running(reflector):
        await reflector.wait_synced()
        assert dict(reflector.objects) == {(namespace, "old"): "1"}
        await put(client, namespace, "new", "1")
        await put(client, namespace, "new", "2")
        # Of what the value does not show, nobody is told.
        await client.merge_patch(CONFIGMAPS, namespace, "new", {"metadata": {"labels": {"x": "y"}}})
        await client.merge_patch(CONFIGMAPS, namespace, "new", {"data": {"k": None}})
        await client.delete(CONFIGMAPS, namespace, "old")
        await until(lambda: not reflector.objects)
    assert changes == [
        ((namespace, "old"), None, "1"),
        ((namespace, "new"), None, "1"),
        ((namespace, "new"), "1", "2"),
        ((namespace, "new"), "2", None),
        ((namespace, "old"), "1", None),
    ]
    assert client.requests["list", "configmaps"] == 1
    assert client.requests["watch", "configmaps"] == 1


async def test_no_raw_object_stays_in_memory(client: KubeClient, namespace: str, until: Until) -> None:
    key = uuid.uuid4().hex
    for name in ("listed", "watched"):
        if name == "watched":
            reflector = Reflector(client, SECRETS, lambda _: True, selection=Selection(namespace), timing=FAST)
            task = asyncio.ensure_future(reflector.run())
            await reflector.wait_synced()
        await client.create(SECRETS, {"metadata": {"namespace": namespace, "name": name}, "stringData": {key: "x"}})
    await until(lambda: len(reflector.objects) == 2)
    # Give the answers of the requests above, too, the time to go.
    gc.collect()
    # The innermost dict holds only strings, and such ones are not known to the collector; the one around it is.
    known = [found for found in gc.get_objects() if isinstance(found, dict) and "data" in found]
    assert not [found for found in known if isinstance(found["data"], dict) and key in found["data"]]
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_a_cut_connection_loses_no_change_and_lists_nothing_again(
    through: KubeClient, client: KubeClient, proxy: FaultProxy, namespace: str, until: Until
) -> None:
    seen: list[str | None] = []
    reflector = configmaps(through, namespace, on_change=lambda _key, _old, new: seen.append(new))
    async with running(reflector):
        await reflector.wait_synced()
        for number in range(5):
            await until(lambda: proxy.count("watch=true") == number + 1)  # noqa: B023 - used up in this turn
            proxy.refusing = True
            proxy.cut()
            await until(lambda: isinstance(reflector.error, ApiUnreachableError))
            await put(client, namespace, "a", f"{number}a")
            await put(client, namespace, "a", f"{number}b")
            proxy.refusing = False
            await until(lambda: reflector.error is None)
        await until(lambda: reflector.objects.get((namespace, "a")) == "4b")
    assert seen == [f"{number}{letter}" for number in range(5) for letter in "ab"]
    assert proxy.count("watch=true") >= 6
    assert through.requests["list", "configmaps"] == 1


async def test_a_stalled_stream_is_noticed(
    through: KubeClient, client: KubeClient, proxy: FaultProxy, namespace: str, until: Until
) -> None:
    # Without bookmarks only the missing end shows it; the bookmarks' own deadline is tested in virtual time.
    timing = Timing(watch=(1.0, 1.0), end_grace=0.5, retry=(0.01, 0.1))
    reflector = configmaps(through, namespace, timing)
    async with running(reflector):
        await reflector.wait_synced()
        await until(lambda: proxy.count("watch=true") == 1)
        proxy.flowing.clear()
        await put(client, namespace, "a", "1")
        await until(lambda: isinstance(reflector.error, ApiUnreachableError))
        assert "silent" in str(reflector.error)
        assert reflector.synced
        proxy.flowing.set()
        await until(lambda: reflector.objects.get((namespace, "a")) == "1")
    assert through.requests["list", "configmaps"] == 1


async def test_a_watch_that_ends_in_time_goes_on_where_its_bookmark_says(
    client: KubeClient, namespace: str, until: Until
) -> None:
    # lightkube's own watch cannot decode a bookmark.
    reflector = configmaps(client, namespace, Timing(watch=(4.0, 4.0)))
    elsewhere = {"metadata": {"namespace": "default", "name": f"elsewhere-{namespace}"}}
    async with running(reflector):
        await reflector.wait_synced()
        written = await client.create(CONFIGMAPS, elsewhere)
        await until(lambda: client.requests["watch", "configmaps"] == 2)
        assert reflector._version is not None
        assert int(reflector._version) >= int(written["metadata"]["resourceVersion"])
        assert reflector.error is None
    assert client.requests["list", "configmaps"] == 1


async def test_a_restarted_api_server_that_forgot_our_version(
    through: KubeClient,
    client: KubeClient,
    proxy: FaultProxy,
    namespace: str,
    until: Until,
    control_plane: ControlPlane,
) -> None:
    await put(client, namespace, "stays", "1")
    await put(client, namespace, "goes", "1")
    changes: list[tuple[str, str | None, str | None]] = []
    reflector = configmaps(through, namespace, on_change=lambda key, old, new: changes.append((key[1], old, new)))
    async with running(reflector):
        await reflector.wait_synced()
        await until(lambda: proxy.count("watch=true") == 1)
        changes.clear()
        proxy.refusing = True
        proxy.cut()
        await client.delete(CONFIGMAPS, namespace, "goes")
        await put(client, namespace, "comes", "1")
        control_plane.stop_apiserver()
        await until(lambda: isinstance(reflector.error, ApiUnreachableError))
        control_plane.start_apiserver()
        # The new server's watch cache begins at the newest version: ours is older, and is answered with a real 410.
        proxy.refusing = False
        await until(lambda: reflector.error is None and (namespace, "comes") in reflector.objects)
        assert dict(reflector.objects) == {(namespace, "stays"): "1", (namespace, "comes"): "1"}
        await put(client, namespace, "stays", "2")
        await until(lambda: reflector.objects[namespace, "stays"] == "2")
    assert sorted(changes, key=str) == [("comes", None, "1"), ("goes", "1", None), ("stays", "1", "2")]
    assert through.requests["list", "configmaps"] == 2


EXPIRED = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(status_response(410, "Gone"), id="as the HTTP status"),
        pytest.param(stream_response({"type": "ERROR", "object": EXPIRED}), id="as an event"),
    ],
)
async def test_410_lists_again(
    through: KubeClient, client: KubeClient, proxy: FaultProxy, namespace: str, until: Until, answer: bytes
) -> None:
    proxy.canned.append(("watch=true", answer))
    reflector = configmaps(through, namespace)
    async with running(reflector):
        await until(lambda: through.requests["list", "configmaps"] == 2)
        await put(client, namespace, "a", "1")
        await until(lambda: reflector.objects.get((namespace, "a")) == "1")
    assert not isinstance(reflector.error, ExpiredError)


@pytest.mark.parametrize("request_part", ["limit=", "watch=true"])
async def test_429_is_waited_out(
    through: KubeClient, client: KubeClient, proxy: FaultProxy, namespace: str, until: Until, request_part: str
) -> None:
    # Injected, as in the client's tests. One list is repeated by the client itself, so it takes four to get through.
    refusal = status_response(429, "TooManyRequests", headers="Retry-After: 0\r\n")
    proxy.canned += [(request_part, refusal)] * 4
    troubles: list[type] = []
    reflector: Reflector[str] = configmaps(through, namespace, on_status=lambda: troubles.append(type(reflector.error)))
    async with running(reflector):
        await until(lambda: TooManyRequestsError in troubles and not proxy.canned)
        await put(client, namespace, "a", "1")
        await until(lambda: reflector.objects.get((namespace, "a")) == "1" and reflector.error is None)


async def test_a_server_that_breaks_every_watch_is_asked_ever_slower(
    through: KubeClient, proxy: FaultProxy, namespace: str, until: Until
) -> None:
    proxy.canned += [("watch=true", stream_response())] * 6
    reflector = configmaps(through, namespace, Timing(retry=(0.01, 0.16)))
    pauses: list[float] = []
    original = reflector._pause

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        await original(seconds)

    reflector._pause = pause  # type: ignore[method-assign]
    async with running(reflector):
        await until(lambda: proxy.count("watch=true") == 7)
    assert len(pauses) == 6
    for seconds, step in zip(pauses, [0.01, 0.02, 0.04, 0.08, 0.16, 0.16], strict=True):
        assert step / 2 <= seconds <= step


async def test_a_slow_stream_is_read_whole(
    through: KubeClient, client: KubeClient, proxy: FaultProxy, namespace: str, until: Until
) -> None:
    proxy.trickling = True
    reflector = configmaps(through, namespace)
    async with running(reflector):
        await reflector.wait_synced()
        for number in range(3):
            await put(client, namespace, f"a{number}", "ä" * 10_000)
        await until(lambda: len(reflector.objects) == 3)
        assert set(reflector.objects.values()) == {"ä" * 10_000}
    assert through.requests["watch", "configmaps"] == 1


@pytest.mark.parametrize("garbage", [b"not json\n", b'{"type": "ADDED"}\n', b'{"type": "ADDED", "object": {"k'])
async def test_a_garbled_stream_is_begun_again(
    through: KubeClient, client: KubeClient, proxy: FaultProxy, namespace: str, until: Until, garbage: bytes
) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(garbage)}\r\n\r\n".encode()
    proxy.canned.append(("watch=true", head + garbage))
    reflector = configmaps(through, namespace)
    async with running(reflector):
        await until(lambda: proxy.count("watch=true") == 2)
        await put(client, namespace, "a", "1")
        await until(lambda: reflector.objects.get((namespace, "a")) == "1")


def _crd(plural: str, group: str) -> Object:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": plural, "singular": plural[:-1], "kind": plural[:-1].capitalize()}
    return {
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "scope": "Cluster", "names": names, "versions": [version]},
    }


async def test_a_kind_that_is_installed_later_and_removed_again(client: KubeClient, until: Until) -> None:
    group = f"g{uuid.uuid4().hex[:8]}.example.com"
    things = Resource(group, "v1", "things", "Thing", namespaced=False)
    told: list[bool] = []
    reflector = Reflector(
        client,
        things,
        lambda obj: obj["metadata"]["name"],
        timing=FAST,
        on_status=lambda: told.append(reflector.absent),
    )
    async with running(reflector):
        await reflector.wait_synced()
        assert reflector.absent
        assert reflector.error is None
        assert client.requests["list", "things"] == 1
        await client.create(CRDS, _crd("things", group))
        # Right after its creation it is not served yet: the kick must outlast that.
        reflector.kick()
        await until(lambda: not reflector.absent)
        await client.create(things, {"metadata": {"name": "one"}})
        await until(lambda: ("", "one") in reflector.objects)
        await client.delete(CRDS, None, f"things.{group}")
        await until(lambda: reflector.absent)
        assert not reflector.objects
    assert told == [True, False, True]


async def test_an_absent_namespace_is_empty_and_is_noticed_when_it_appears(client: KubeClient, until: Until) -> None:
    name = f"later-{uuid.uuid4().hex[:8]}"
    reflector = configmaps(client, name)
    async with running(reflector):
        await reflector.wait_synced()
        assert not reflector.objects
        assert not reflector.absent
        await client.create(NAMESPACES, {"metadata": {"name": name}})
        await put(client, name, "a", "1")
        await until(lambda: reflector.objects.get((name, "a")) == "1")
    assert client.requests["watch", "configmaps"] == 1


async def test_a_missing_permission_shows_and_ends(
    client: KubeClient, namespace: str, until: Until, control_plane: ControlPlane
) -> None:
    user = f"user-{uuid.uuid4().hex[:8]}"
    async with KubeClient.from_kubeconfig(control_plane.user_kubeconfig(user)) as limited:
        reflector = configmaps(limited, namespace, Timing(forbidden_retry=(600.0, 600.0)))
        async with running(reflector):
            await until(lambda: isinstance(reflector.error, ForbiddenError))
            assert not reflector.synced
            rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "watch"]}
            metadata = {"namespace": namespace, "name": "reader"}
            await client.create(ROLES, {"metadata": metadata, "rules": [rule]})
            role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"}
            subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}
            await client.create(BINDINGS, {"metadata": metadata, "roleRef": role, "subjects": [subject]})

            def kicked_until_synced() -> bool:
                # The authorizer learns of the binding by a watch of its own, a moment later.
                reflector.kick()
                return reflector.synced

            await until(kicked_until_synced)
            assert reflector.error is None


async def test_a_connect_error_while_watching_again_is_shown(tmp_path: Path, control_plane: ControlPlane) -> None:
    # lightkube's own watch lets this one pass its on_error handler by.
    async with FaultProxy(control_plane.kubeconfig) as proxy:
        kubeconfig = proxy.kubeconfig(tmp_path / "kubeconfig")
        client = KubeClient.from_kubeconfig(kubeconfig)
        reflector = configmaps(client, "default")
        task = asyncio.ensure_future(reflector.run())
        await reflector.wait_synced()
    # The proxy is gone: its port refuses connections.
    watches = client.requests["watch", "configmaps"]
    async with asyncio.timeout(60):
        while client.requests["watch", "configmaps"] < watches + 3:  # noqa: ASYNC110 - a counter is no event
            await asyncio.sleep(0.01)
    assert isinstance(reflector.error, ApiUnreachableError)
    assert not task.done()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await client.aclose()
