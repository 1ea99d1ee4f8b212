"""The few API requests that starting a cluster takes, without a client library.

Tests and the demo use lightkube; the cluster itself must start before anything else is imported.
"""

import base64
import json
import ssl
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final

import yaml

from devcluster.errors import DevClusterError

_POLL: Final = 0.05
_TIMEOUT: Final = 10.0


class ApiError(Exception):
    """The API server answered with something other than success.

    Args:
        status: HTTP status code.
        body: The answer's text.
    """

    def __init__(self, status: int, body: str) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body


class ApiClient:
    """Requests to one API server as the user of a kubeconfig that this project wrote.

    Args:
        kubeconfig: The file; its first cluster and user are taken.
    """

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        user = config["users"][0]["user"]
        self.server: str = cluster["server"]
        self._headers = {"Accept": "application/json", "Content-Type": "application/json"}
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        context = ssl.create_default_context(cadata=authority)
        if "token" in user:
            self._headers["Authorization"] = f"Bearer {user['token']}"
        else:
            with tempfile.NamedTemporaryFile(dir=kubeconfig.parent) as pair:
                pair.write(base64.b64decode(user["client-certificate-data"]))
                pair.write(base64.b64decode(user["client-key-data"]))
                pair.flush()
                context.load_cert_chain(pair.name)
        # An ambient HTTPS_PROXY must not see requests to a local cluster.
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )

    def text(self, method: str, path: str, body: object = None) -> str:
        """One request.

        Raises:
            ApiError: The answer's status was not 2xx.
            OSError: There was no answer.
        """
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - the scheme is https, from a kubeconfig of this project
            self.server + path, data=data, method=method, headers=self._headers
        )
        try:
            with self._opener.open(request, timeout=_TIMEOUT) as response:
                content: bytes = response.read()
        except urllib.error.HTTPError as error:
            with error:
                raise ApiError(error.code, error.read().decode(errors="replace")) from error
        except HTTPException as error:
            raise ConnectionError(str(error)) from error
        return content.decode()

    def get(self, path: str) -> Any:
        """Read an object or list; raises as `text` does."""
        return json.loads(self.text("GET", path))

    def post(self, path: str, body: object) -> Any:
        """Create an object; raises as `text` does."""
        return json.loads(self.text("POST", path, body))

    def holds(self, check: Callable[["ApiClient"], object]) -> bool:
        """Whether a check succeeds at this moment; no answer, or a refusal, is a no."""
        try:
            return bool(check(self))
        except (ApiError, OSError):
            return False


def wait_until(
    what: str, condition: Callable[[], bool], *, seconds: float, broken: Callable[[], str | None], remedy: str
) -> None:
    """Wait for a condition.

    Args:
        what: What is waited for, as it would be named in an error.
        condition: Asked until it holds.
        seconds: How long to go on asking.
        broken: Tells why the condition can never hold any more, such as a program that ended; None to go on.
        remedy: Where to look when it never holds.

    Raises:
        DevClusterError: Time is up, or `broken` gave a reason.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        reason = broken()
        if reason is not None:
            raise DevClusterError(reason, remedy)
        if time.monotonic() >= deadline:
            raise DevClusterError(f"{what} did not come within {seconds:.0f} s", remedy)
        time.sleep(_POLL)


def api_ready(client: ApiClient) -> bool:
    """Whether the API server says of itself that it is ready."""
    return client.text("GET", "/readyz") == "ok"


def default_service_account(namespace: str) -> Callable[[ApiClient], object]:
    """A check that pods can be created in a namespace: without this account they are refused."""
    return lambda client: client.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/default")
