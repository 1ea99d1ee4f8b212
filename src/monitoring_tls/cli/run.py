"""``monitoring-tls run``: the operator's process."""

import asyncio
import contextlib
import logging
import signal
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from monitoring_tls.errors import ConfigError, ForbiddenError, NotFoundError
from monitoring_tls.kube.client import KubeClient
from monitoring_tls.kube.events import EventRecorder, ObjectReference
from monitoring_tls.kube.lease import LeaderElector, new_identity
from monitoring_tls.kube.resources import DEPLOYMENTS
from monitoring_tls.operator.endpoint import Endpoint
from monitoring_tls.operator.metrics import Metrics
from monitoring_tls.operator.operator import Operator, Parts
from monitoring_tls.operator.own_port import OwnPort
from monitoring_tls.operator.wishes import Place
from monitoring_tls.pki.keys import SystemEntropy

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Options:
    """The command line."""

    kubeconfig: Path | None
    context: str | None
    deployment: str
    lease: str
    metrics_host: str
    metrics_port: int
    log_format: str
    log_level: str


def run(options: Options) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        ConfigError: an option can't be used, or the API server can't be found.
    """
    _configure_logging(options)
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(_run(options))
    log.info("stopped")


async def _run(options: Options) -> None:
    place = _place("--deployment", options.deployment)
    lease = _place("--lease", options.lease or options.deployment)
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: task.cancel() if task else None)
    entropy = SystemEntropy()
    async with KubeClient.connect(options.kubeconfig, options.context) as client:
        metrics = Metrics(client)
        endpoint = Endpoint(options.metrics_port, metrics.page)
        own_port = OwnPort(client, endpoint, place, entropy, _now)
        identity = new_identity()
        parts = Parts(
            client=client,
            elector=LeaderElector(client, lease.namespace, lease.name, identity),
            events=EventRecorder(client, await _about(client, place)),
            metrics=metrics,
            own_port=own_port,
            entropy=entropy,
            clock=_now,
            place=place,
        )
        await endpoint.start(options.metrics_host)
        log.info("started", identity=identity, server=client.server, port=endpoint.port)
        try:
            await Operator(parts).run()
        finally:
            await endpoint.stop()


async def _about(client: KubeClient, place: Place) -> ObjectReference:
    """The operator's own Deployment, with its uid where it can be read: outside the cluster there may be none."""
    uid = ""
    with contextlib.suppress(NotFoundError, ForbiddenError):
        uid = (await client.get(DEPLOYMENTS, place.namespace, place.name))["metadata"]["uid"]
    return ObjectReference(DEPLOYMENTS.api_version, DEPLOYMENTS.kind, place.namespace, place.name, uid)


def _now() -> datetime:
    return datetime.now(UTC)


def _place(flag: str, text: str) -> Place:
    namespace, _, name = text.partition("/")
    if not namespace or not name or "/" in name:
        raise ConfigError(flag, f"{text!r} names no object", "write NAMESPACE/NAME")
    return Place(namespace, name)


def _configure_logging(options: Options) -> None:
    levels = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}
    if options.log_level not in levels:
        raise ConfigError("--log-level", f"{options.log_level!r} is no level", f"use one of {', '.join(levels)}")
    if options.log_format not in {"json", "console"}:
        raise ConfigError("--log-format", f"{options.log_format!r} is no format", "use json or console")
    structured: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if options.log_format == "json":
        structured += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        # Plain tracebacks: prettier ones show the values of local variables, and some of those are keys.
        plain = structlog.dev.plain_traceback
        structured.append(structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain))
    structlog.configure(
        processors=structured,
        wrapper_class=structlog.make_filtering_bound_logger(levels[options.log_level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
