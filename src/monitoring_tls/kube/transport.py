"""Sending one request: counted, guarded, repeated where that is safe, and failing with our own exceptions."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version
from typing import Any, Final

import httpx2
from lightkube.core.exceptions import ConfigError as LightkubeConfigError

from monitoring_tls.errors import ApiUnreachableError, ConfigError, TooManyRequestsError
from monitoring_tls.kube.backoff import Backoff
from monitoring_tls.kube.failures import error_from_response
from monitoring_tls.kube.resources import Object, Resource

FIELD_MANAGER: Final = "monitoring-tls-operator"
"""Under this name the API server records which fields are ours."""

JSON: Final = "application/json"

_RETRIES = 3
_LONGEST_RETRY_AFTER = 10.0
_REQUEST_DEADLINE = 60.0
"""Seconds for a whole request, so that a server that sends a byte now and then cannot hold us for ever."""

_READS = frozenset({"get", "list"})
_REPEATABLE = _READS | {"apply", "merge_patch"}
"""Verbs that may be sent again when the answer was lost: doing them twice is the same as once."""

Observer = Callable[[str, str, int], None]
Guard = Callable[[], None]


class Transport:
    """Sends requests over one httpx client.

    Attributes:
        http: the connection, which carries address, trust and credentials.
        requests: how many requests were sent, by (verb, plural). A retry counts again.
        observer: called with (verb, plural, HTTP status) after each request; status 0 for no answer.
    """

    def __init__(self, http: httpx2.AsyncClient, rng: random.Random | None = None) -> None:
        self.requests: Counter[tuple[str, str]] = Counter()
        self.http = http
        self.http.headers["User-Agent"] = f"monitoring-tls-operator/{version('monitoring-tls-operator')}"
        self.observer: Observer | None = None
        self._rng = rng or random.Random()  # noqa: S311 - jitter, no secret

    async def send(
        self,
        verb: str,
        resource: Resource,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: object = None,
        content_type: str = JSON,
        accept: str = JSON,
        guard: Guard | None = None,
    ) -> Object:
        """Send a request until it is answered, at most four times.

        Args:
            verb: what is done, for the counters and the rules of repetition.
            resource: the kind of object.
            method: the HTTP method.
            path: the path.
            params: the query.
            body: to be sent as JSON.
            content_type: the body's type.
            accept: the type asked for.
            guard: called before each single write, and again when its connection is there and the body is about to
                be sent: a connection can take as long to make as a Lease lasts. What it raises keeps the write from
                happening, since the server does not act on half a request.

        Raises:
            KubeError: if there is no answer, or one that is no success.
            ConfigError: if the credentials cannot be had.
        """
        writes = verb not in _READS
        if not writes:
            guard = None
        query = dict(params or {})
        if writes and method != "DELETE":
            query["fieldManager"] = FIELD_MANAGER
        backoff = Backoff(first=0.2, limit=2.0, rng=self._rng)
        for attempt in range(_RETRIES + 1):
            if guard is not None:
                guard()
            request = self.http.build_request(
                method,
                path,
                params=query,
                headers={"Accept": accept} | ({"Content-Type": content_type} if body is not None else {}),
                content=json.dumps(body, separators=(",", ":")).encode() if body is not None else None,
                extensions={} if guard is None else {"trace": _before_body(guard)},
            )
            delay = backoff.next()
            try:
                return _parse(await self.send_once(verb, resource, request))
            except TooManyRequestsError as error:
                delay += error.retry_after or 0.0
                if attempt == _RETRIES or delay > _LONGEST_RETRY_AFTER:
                    raise
            except ApiUnreachableError as error:
                # A connection that was never made carried no request: any verb may be sent again.
                unsent = isinstance(error.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout)
                if attempt == _RETRIES or not (unsent or verb in _REPEATABLE):
                    raise
            await asyncio.sleep(delay)
        raise AssertionError("the last attempt either returns or raises")

    async def send_once(
        self, verb: str, resource: Resource, request: httpx2.Request, *, stream: bool = False
    ) -> httpx2.Response:
        """Send once. An answer that is no success is raised; with `stream`, a success is returned unread."""
        self.requests[verb, resource.plural] += 1
        status = 0
        path = request.url.path
        try:
            async with asyncio.timeout(_REQUEST_DEADLINE):
                response = await self.http.send(request, stream=stream)
                status = response.status_code
                if response.is_success:
                    return response
                body = await response.aread()
                await response.aclose()
        except TimeoutError:
            problem = f"no whole answer in {_REQUEST_DEADLINE:.0f} s"
            raise ApiUnreachableError(request.method, path, problem) from None
        except httpx2.HTTPError as error:
            problem = f"{type(error).__name__} {error}".strip()
            raise ApiUnreachableError(request.method, path, problem) from error
        except LightkubeConfigError as error:
            # Credentials are fetched when they are needed: an exec plugin or a token file can fail at any request.
            raise ConfigError("the credentials", str(error), "check the kubeconfig's user") from error
        finally:
            if self.observer is not None:
                self.observer(verb, resource.plural, status)
        raise error_from_response(status, body, response.headers.get("Retry-After"), request.method, path)


def _before_body(guard: Guard) -> Callable[[str, dict[str, Any]], Awaitable[None]]:
    """A trace for httpcore (https://www.encode.io/httpcore/extensions/#trace) that calls `guard` at the last moment."""

    async def trace(event: str, _info: dict[str, Any]) -> None:
        if event.endswith("send_request_body.started"):
            guard()

    return trace


def _parse(response: httpx2.Response) -> Object:
    try:
        parsed = json.loads(response.content)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        # Not chained and not quoted: a JSON error carries the document, and that may be a Secret.
        raise ApiUnreachableError(response.request.method, response.request.url.path, "the answer is garbled")
    return parsed
