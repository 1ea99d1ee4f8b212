"""``monitoring-tls status``: one screen, from the status of ``MonitoringTLS/cluster``."""

import asyncio
import json
from pathlib import Path

import typer

from monitoring_tls.cli.common import check_output, read_object
from monitoring_tls.kube.client import KubeClient
from monitoring_tls.kube.resources import Object
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
    check_output(output)
    obj = asyncio.run(_read(kubeconfig, context))
    if output == "json":
        typer.echo(json.dumps({"schema": _SCHEMA, "spec": obj.get("spec") or {}, "status": obj.get("status") or {}}))
    else:
        show(obj)


async def _read(kubeconfig: Path | None, context: str | None) -> Object:
    async with KubeClient.connect(kubeconfig, context) as client:
        return await read_object(client, "install the operator, and create MonitoringTLS/cluster")
