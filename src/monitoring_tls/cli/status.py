"""``monitoring-tls status``: one screen, from the status of ``MonitoringTLS/cluster``."""

import asyncio
import json
from pathlib import Path

import typer

from monitoring_tls.errors import ConfigError, NotFoundError
from monitoring_tls.kube.client import KubeClient
from monitoring_tls.kube.resources import MONITORINGTLSES, Object
from monitoring_tls.report.screen import show

_SCHEMA = "monitoring-tls.dev/status/v1"


def run(kubeconfig: Path | None, context: str | None, output: str) -> None:
    """Show it.

    Args:
        kubeconfig: of the cluster.
        context: of the kubeconfig.
        output: text or json.

    Raises:
        ConfigError: there is no MonitoringTLS, or the output format isn't known.
    """
    if output not in {"text", "json"}:
        raise ConfigError("--output", f"{output!r} is no format", "use text or json")
    obj = asyncio.run(_read(kubeconfig, context))
    if output == "json":
        typer.echo(json.dumps({"schema": _SCHEMA, "spec": obj.get("spec") or {}, "status": obj.get("status") or {}}))
    else:
        show(obj)


async def _read(kubeconfig: Path | None, context: str | None) -> Object:
    async with KubeClient.connect(kubeconfig, context) as client:
        try:
            return await client.get(MONITORINGTLSES, None, "cluster")
        except NotFoundError:
            remedy = "install the operator, and create MonitoringTLS/cluster"
            raise ConfigError("MonitoringTLS/cluster", "it isn't there", remedy) from None
