"""Requests to the Kubernetes API: JSON objects in, JSON objects or our own exceptions out.

Bodies are never logged nor put into exceptions: most of them are Secrets.
"""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx2

from monitoring_tls.kube import config
from monitoring_tls.kube.resources import Object, Resource
from monitoring_tls.kube.selection import EVERYTHING, Page, Selection
from monitoring_tls.kube.transport import JSON, Guard, Observer, Transport
from monitoring_tls.kube.watching import WatchStream

PAGE_SIZE: Final = 250
"""Objects asked for at once, as client-go's pager does with 500: bounds the memory that a list takes for a moment."""

_METADATA_ONLY = "application/json;as=PartialObjectMetadata{list};v=v1;g=meta.k8s.io"


class KubeClient:
    """Speaks with one API server.

    Requests are repeated a few times when the server asks to slow down (429, honouring `Retry-After`), when no
    connection could be made, and, for verbs that may be repeated, when the connection broke.
    """

    def __init__(self, transport: Transport, *, guard: Guard | None = None) -> None:
        """Use `transport`.

        Args:
            transport: sends the requests; closed by `aclose`.
            guard: see `guarded`.
        """
        self._transport = transport
        self._guard = guard

    @classmethod
    def from_kubeconfig(cls, path: Path | None = None, context: str | None = None) -> Self:
        """A client as a kubeconfig says; see `config.http_from_kubeconfig`.

        Raises:
            ConfigError: if the kubeconfig cannot be used.
        """
        return cls(Transport(config.http_from_kubeconfig(path, context)))

    @classmethod
    def in_cluster(cls) -> Self:
        """A client under the pod's service account.

        Raises:
            ConfigError: if there is none.
        """
        return cls(Transport(config.http_from_service_account()))

    @classmethod
    def connect(cls, path: Path | None = None, context: str | None = None) -> Self:
        """The kubeconfig that was given; else the service account in a pod; else the user's default kubeconfig.

        Raises:
            ConfigError: if none can be used.
        """
        if path is None and context is None and config.in_cluster():
            return cls.in_cluster()
        return cls.from_kubeconfig(path, context)

    def guarded(self, guard: Guard) -> Self:
        """The same client, but `guard` is called before each single write, retries included.

        For writes that only the leader may do: what the guard raises comes out, and the write does not happen.
        Connection and counters are shared. A process that is stopped in the instant between the guard and the system
        call sends that one request when it goes on; only a resourceVersion in the request makes the server refuse it.
        """
        return type(self)(self._transport, guard=guard)

    def observe(self, observer: Observer) -> None:
        """Call `observer` with (verb, plural, HTTP status) after each request; status 0 for no answer."""
        self._transport.observer = observer

    @property
    def requests(self) -> Counter[tuple[str, str]]:
        """How many requests were sent, by (verb, plural). A retry counts again."""
        return self._transport.requests

    @property
    def server(self) -> str:
        """The API server's address."""
        return str(self._transport.http.base_url)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def get(self, resource: Resource, namespace: str | None, name: str, *, metadata_only: bool = False) -> Object:
        """Read one object.

        Raises:
            KubeError: `NotFoundError` where there is none.
        """
        accept = _METADATA_ONLY.format(list="") if metadata_only else JSON
        return await self._send("get", resource, "GET", resource.path(namespace, name), accept=accept)

    async def pages(self, resource: Resource, selection: Selection = EVERYTHING) -> AsyncIterator[Page]:
        """Read a list, part by part.

        All parts show the state at one moment, the newest one (`resourceVersion` is left empty: "most recent", see
        https://kubernetes.io/docs/reference/using-api/api-concepts/#semantics-for-get-and-list). The cheaper "any"
        (`0`) could show a state from before this operator's own last writes.

        Raises:
            KubeError: `ExpiredError` if the continue token expired between two parts.
        """
        accept = _METADATA_ONLY.format(list="List") if selection.metadata_only else JSON
        params = selection.params() | {"limit": str(PAGE_SIZE)}
        path = resource.path(selection.namespace)
        while True:
            answer = await self._send("list", resource, "GET", path, params=params, accept=accept)
            metadata = answer["metadata"]
            yield Page(answer.get("items") or [], metadata["resourceVersion"])
            if not metadata.get("continue"):
                return
            params["continue"] = metadata["continue"]

    async def list(self, resource: Resource, selection: Selection = EVERYTHING) -> Page:
        """Read a whole list.

        Raises:
            KubeError: as `pages`.
        """
        items: list[Object] = []
        resource_version = ""
        async for page in self.pages(resource, selection):
            items += page.items
            resource_version = page.resource_version
        return Page(items, resource_version)

    @asynccontextmanager
    async def watch(
        self,
        resource: Resource,
        selection: Selection = EVERYTHING,
        *,
        resource_version: str,
        timeout_seconds: int,
        silence: float,
    ) -> AsyncIterator[WatchStream]:
        """Watch a kind of objects; bookmarks are asked for. Never retried here.

        Args:
            resource: the kind.
            selection: which of them.
            resource_version: the state after which changes are sent.
            timeout_seconds: after this the server ends the stream.
            silence: see `WatchStream.silence`.

        Raises:
            KubeError: if the watch does not start; see `WatchStream` for what happens later.
        """
        path = resource.path(selection.namespace)
        request = self._transport.http.build_request(
            "GET",
            path,
            params=selection.params()
            | {
                "watch": "true",
                "allowWatchBookmarks": "true",
                "resourceVersion": resource_version,
                "timeoutSeconds": str(timeout_seconds),
            },
            headers={"Accept": _METADATA_ONLY.format(list="") if selection.metadata_only else JSON},
            timeout=httpx2.Timeout(config.READ_TIMEOUT, connect=config.CONNECT_TIMEOUT, read=None),
        )
        response = await self._transport.send_once("watch", resource, request, stream=True)
        try:
            stream = WatchStream(response, silence)
            try:
                yield stream
            finally:
                await stream.aclose()
        finally:
            await response.aclose()

    async def create(self, resource: Resource, obj: Object) -> Object:
        """Create an object, in the namespace that its metadata names.

        Raises:
            KubeError: `AlreadyExistsError` where the name is taken.
        """
        path = resource.path(obj["metadata"].get("namespace"))
        return await self._send("create", resource, "POST", path, body=_typed(resource, obj))

    async def apply(
        self, resource: Resource, obj: Object, *, force: bool = True, subresource: str | None = None
    ) -> Object:
        """Server-side apply: own exactly the fields in `obj`, and create the object where it is missing.

        See https://kubernetes.io/docs/reference/using-api/server-side-apply/. Fields that were ours and are no longer
        in `obj` are given up. JSON is YAML, so the body is JSON.

        Args:
            resource: the kind.
            obj: the fields to own, with `metadata.name`. A `metadata.resourceVersion` makes it fail if the object
                changed meanwhile.
            force: take fields that another manager owns.
            subresource: e.g. `status`.

        Raises:
            KubeError: `ConflictError` if another manager owns a field and `force` is not set.
        """
        metadata = obj["metadata"]
        return await self._send(
            "apply",
            resource,
            "PATCH",
            resource.path(metadata.get("namespace"), metadata["name"], subresource),
            params={"force": "true"} if force else None,
            body=_typed(resource, obj),
            content_type="application/apply-patch+yaml",
        )

    async def replace(self, resource: Resource, obj: Object, *, subresource: str | None = None) -> Object:
        """Write a whole object that was read before (PUT); its `resourceVersion` guards against a change in between.

        Raises:
            KubeError: `ConflictError` if it changed.
        """
        metadata = obj["metadata"]
        path = resource.path(metadata.get("namespace"), metadata["name"], subresource)
        return await self._send("replace", resource, "PUT", path, body=_typed(resource, obj))

    async def json_patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        operations: Sequence[Mapping[str, Any]],
        *,
        subresource: str | None = None,
    ) -> Object:
        """Apply JSON Patch operations (RFC 6902), all or none.

        Raises:
            KubeError: 422 with reason `Invalid` if a `test` operation fails; `ConflictError` if the operations change
                an object whose resourceVersion is no longer the one they name.
        """
        return await self._send(
            "json_patch",
            resource,
            "PATCH",
            resource.path(namespace, name, subresource),
            body=operations,
            content_type="application/json-patch+json",
        )

    async def merge_patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        patch: Object,
        *,
        subresource: str | None = None,
    ) -> Object:
        """Apply a JSON Merge Patch (RFC 7386).

        Raises:
            KubeError: `ConflictError` if it names a resourceVersion that is no longer the object's.
        """
        return await self._send(
            "merge_patch",
            resource,
            "PATCH",
            resource.path(namespace, name, subresource),
            body=patch,
            content_type="application/merge-patch+json",
        )

    async def delete(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        grace_seconds: int | None = None,
    ) -> None:
        """Delete an object.

        Args:
            resource: the kind.
            namespace: the namespace; None for a cluster-scoped kind.
            name: the object.
            uid: only if it is still this very object, and not one made anew under its name.
            resource_version: only if it did not change since.
            grace_seconds: overrides a pod's own grace period.

        Raises:
            KubeError: `ConflictError` if a precondition does not hold, `NotFoundError` if it is gone already.
        """
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        options: Object = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {key: value for key, value in preconditions.items() if value is not None},
        }
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        await self._send("delete", resource, "DELETE", resource.path(namespace, name), body=options)

    async def _send(self, verb: str, resource: Resource, method: str, path: str, **options: Any) -> Object:
        return await self._transport.send(verb, resource, method, path, guard=self._guard, **options)


def _typed(resource: Resource, obj: Object) -> Object:
    return {"apiVersion": resource.api_version, "kind": resource.kind, **obj}
