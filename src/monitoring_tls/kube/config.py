"""Where the API server is and who we are there: the kubeconfig or the pod's service account, by lightkube."""

import os
import ssl
from pathlib import Path

import httpx2
from lightkube.config.client_adapter import AsyncClient, ConnectionParams
from lightkube.config.kubeconfig import KubeConfig, SingleConfig
from lightkube.config.models import User
from lightkube.core.exceptions import ConfigError as LightkubeConfigError

from monitoring_tls.errors import ConfigError

CONNECT_TIMEOUT = 5.0
"""Seconds for a connection to be made, TLS handshake included."""

READ_TIMEOUT = 30.0
"""Seconds without a byte of an answer."""


def in_cluster() -> bool:
    """Whether this process runs in a pod (https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/)."""
    return "KUBERNETES_SERVICE_HOST" in os.environ


def http_from_service_account() -> httpx2.AsyncClient:
    """A connection under the pod's service account, whose token file is read again when it was rotated.

    Raises:
        ConfigError: if this is not a pod, or one without a token.
    """
    subject = "the pod's service account"
    try:
        config = KubeConfig.from_service_account().get()
    except (KeyError, LightkubeConfigError) as error:
        problem = _problem(error, "")
        raise ConfigError(subject, problem, "run in a pod with a service account, or give --kubeconfig") from error
    return _http(subject, config)


def http_from_kubeconfig(path: Path | None = None, context: str | None = None) -> httpx2.AsyncClient:
    """A connection as a kubeconfig says.

    Args:
        path: the file; without one the first existing file of `$KUBECONFIG`, then `~/.kube/config`.
        context: the context; without one the file's current one.

    Raises:
        ConfigError: if the file cannot be used.
    """
    file = path or _default_kubeconfig()
    try:
        config = KubeConfig.from_file(file).get(context)
    except Exception as error:  # noqa: BLE001 - lightkube converts unchecked YAML: any type may be raised
        problem = _problem(error, "it is not a kubeconfig")
    else:
        return _http(str(file), config)
    # Outside the handler, so that the cause goes with its frames: a YAML error quotes the line, which may hold a key.
    raise ConfigError(str(file), problem, "give a kubeconfig whose context names a cluster and a user")


def _default_kubeconfig() -> Path:
    files = [Path(entry) for entry in os.environ.get("KUBECONFIG", "").split(os.pathsep) if entry]
    return next((file for file in files if file.is_file()), files[0] if files else Path("~/.kube/config"))


def _http(subject: str, config: SingleConfig | None) -> httpx2.AsyncClient:
    remedy = "check the server, the certificate authority and the user's credentials"
    if config is None:
        raise ConfigError(subject, "it selects no context", remedy)
    # lightkube refuses a context without a user; such an anonymous access exists (a proxy adds the credentials).
    config = config._replace(user=config.user or User())
    timeout = httpx2.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT)
    try:
        return AsyncClient(config, ConnectionParams(timeout=timeout))
    except Exception as error:  # noqa: BLE001 - as above
        problem = _problem(error, "its server address or credentials are garbled")
    raise ConfigError(subject, problem, remedy)


def _problem(error: Exception, otherwise: str) -> str:
    """What is wrong, in words that cannot hold anything of the file's contents."""
    match error:
        case LightkubeConfigError():
            return str(error)
        case KeyError():
            return f"{error} is missing"
        case ssl.SSLError():
            return f"its certificates or key do not load ({error.reason})"
        case OSError():
            return f"{error.filename}: {error.strerror}"
        case _:
            return otherwise
