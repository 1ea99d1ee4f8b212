"""What several commands do alike."""

from monitoring_tls.errors import ConfigError, NotFoundError
from monitoring_tls.kube.client import KubeClient
from monitoring_tls.kube.resources import MONITORINGTLSES, Object


def check_output(output: str) -> None:
    """Refuse a format that isn't known.

    Raises:
        ConfigError: naming those that are.
    """
    if output not in {"text", "json"}:
        raise ConfigError("--output", f"{output!r} is no format", "use text or json")


async def read_object(client: KubeClient, remedy: str) -> Object:
    """``MonitoringTLS/cluster``.

    Raises:
        ConfigError: it isn't there; with the remedy.
    """
    try:
        return await client.get(MONITORINGTLSES, None, "cluster")
    except NotFoundError:
        raise ConfigError("MonitoringTLS/cluster", "it isn't there", remedy) from None
