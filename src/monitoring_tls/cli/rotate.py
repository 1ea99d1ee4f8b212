"""``monitoring-tls rotate``: ask for a rotation, and see it through."""

import asyncio
import json
from pathlib import Path
from typing import Any

import typer

from monitoring_tls.cli.common import check_output, read_object
from monitoring_tls.errors import ConfigError
from monitoring_tls.kube.client import KubeClient
from monitoring_tls.kube.resources import MONITORINGTLSES, Object
from monitoring_tls.kube.selection import Selection
from monitoring_tls.model.certificate import Stage

_SCHEMA = "monitoring-tls.dev/rotate/v1"
_REMEDY = "install the operator, and create MonitoringTLS/cluster with spec.mode Enforce"

# A look every so often is enough for a person; a watch tells at once.
_WATCH_SECONDS = 300
_SILENCE_SECONDS = 330.0

EXIT_UNFINISHED = 4
"""With ``--wait``: the time was up before the rotation was over. It goes on."""


def run(kubeconfig: Path | None, context: str | None, reason: str, timeout: int | None, output: str) -> None:
    """Ask for a rotation.

    Args:
        kubeconfig: of the cluster.
        context: of the kubeconfig.
        reason: each is acted on once.
        timeout: seconds to wait for its end; None doesn't wait.
        output: text or json.

    Raises:
        ConfigError: there is no MonitoringTLS to ask, or it is in mode Audit.
    """
    if not reason.strip():
        raise ConfigError("--reason", "it is empty", "say why: each reason is acted on once")
    check_output(output)
    asyncio.run(_run(kubeconfig, context, reason, timeout, as_json=output == "json"))


async def _run(
    kubeconfig: Path | None, context: str | None, reason: str, patience: int | None, *, as_json: bool
) -> None:
    async with KubeClient.connect(kubeconfig, context) as client:
        obj = await read_object(client, _REMEDY)
        if _done(obj, reason):
            _say(obj, reason, "the reason was acted on before; give another to rotate again", as_json=as_json)
            return
        if (obj.get("spec") or {}).get("mode") != "Enforce":
            raise ConfigError(
                "MonitoringTLS/cluster", "its spec.mode is Audit: nothing is changed", "set it to Enforce"
            )
        patch = {"spec": {"rotation": {"requested": reason}}}
        obj = await client.merge_patch(MONITORINGTLSES, None, "cluster", patch)
        if patience is None:
            _say(obj, reason, "requested; follow it with: monitoring-tls status", as_json=as_json)
            return
        try:
            async with asyncio.timeout(patience):
                obj = await _follow(client, obj, reason, as_json=as_json)
        except TimeoutError:
            _say(obj, reason, f"not over after {patience} s; it goes on", as_json=as_json)
            raise typer.Exit(EXIT_UNFINISHED) from None
        _say(obj, reason, "the new CA is in use everywhere, and the old one is out of every bundle", as_json=as_json)


async def _follow(client: KubeClient, obj: Object, reason: str, *, as_json: bool) -> Object:
    shown = ""
    selection = Selection(field_selector="metadata.name=cluster")
    while not _done(obj, reason):
        version = obj["metadata"]["resourceVersion"]
        async with client.watch(
            MONITORINGTLSES,
            selection,
            resource_version=version,
            timeout_seconds=_WATCH_SECONDS,
            silence=_SILENCE_SECONDS,
        ) as stream:
            async for event in stream:
                if event.type in {"ADDED", "MODIFIED"}:
                    obj = event.object
                    line = _line(obj)
                    if line != shown and not as_json:
                        typer.echo(line)
                        shown = line
                    if _done(obj, reason):
                        return obj
        obj = await read_object(client, _REMEDY)
    return obj


def _rotation(obj: Object) -> dict[str, Any]:
    return (obj.get("status") or {}).get("rotation") or {}


def _done(obj: Object, reason: str) -> bool:
    rotation = _rotation(obj)
    return rotation.get("lastReason") == reason and rotation.get("stage") == Stage.STABLE.value


def _line(obj: Object) -> str:
    rotation = _rotation(obj)
    return f"{rotation.get('stage', 'Unknown'):<11} {rotation.get('step', '')}".rstrip()


def _say(obj: Object, reason: str, text: str, *, as_json: bool) -> None:
    rotation = _rotation(obj)
    if as_json:
        typer.echo(json.dumps({"schema": _SCHEMA, "reason": reason, "message": text, "rotation": rotation}))
    else:
        typer.echo(f"rotation {reason!r}: {text}")
