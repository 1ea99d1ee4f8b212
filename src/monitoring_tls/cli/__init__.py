"""The command ``monitoring-tls``: one module a command.

Each command's module is imported when it is called: ``run`` stays in memory for months and needs no tables.
"""

import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from monitoring_tls.errors import MonitoringTLSError

app = typer.Typer(
    help="One central TLS profile and an internal certificate life cycle for a monitoring stack.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Kubeconfig = Annotated[
    Path | None,
    typer.Option("--kubeconfig", help="Of the cluster; without it: the pod's service account, or the user's own."),
]
Context = Annotated[str | None, typer.Option("--context", help="Of the kubeconfig.")]
Output = Annotated[str, typer.Option("--output", "-o", help="text, or json (its shape is in docs/output.md).")]

EXIT_FAILED = 1
"""Something went wrong; the message says what."""


@app.command()
def run(
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    deployment: Annotated[
        str, typer.Option(help="NAMESPACE/NAME of the operator's own Deployment: events are about it.")
    ] = "openshift-monitoring/monitoring-tls-operator",
    lease: Annotated[str, typer.Option(help="NAMESPACE/NAME of the Lease; by default the Deployment's.")] = "",
    metrics_port: Annotated[int, typer.Option(help="HTTPS port for metrics and health; 0 takes a free one.")] = 8443,
    metrics_host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    log_format: Annotated[str, typer.Option(help="json or console.")] = "console",
    log_level: Annotated[str, typer.Option(help="debug, info or warning.")] = "info",
) -> None:
    """Run the operator: in the cluster under its service account, or outside with a kubeconfig."""
    module = import_module("monitoring_tls.cli.run")
    module.run(
        module.Options(kubeconfig, context, deployment, lease, metrics_host, metrics_port, log_format, log_level)
    )


@app.command()
def status(kubeconfig: Kubeconfig = None, context: Context = None, output: Output = "text") -> None:
    """Show whether the profile is followed, the certificates are healthy, and what is going on."""
    import_module("monitoring_tls.cli.status").run(kubeconfig, context, output)


@app.command()
def rotate(
    reason: Annotated[str, typer.Option(help="Why. Each reason is acted on once.")],
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    wait: Annotated[bool, typer.Option("--wait", help="Return when the rotation is over, with progress.")] = False,  # noqa: FBT002 - a flag
    timeout: Annotated[int, typer.Option(help="With --wait: seconds to wait for the end.")] = 1800,
    output: Output = "text",
) -> None:
    """Ask for a new certificate authority, key and all, without a failed connection."""
    import_module("monitoring_tls.cli.rotate").run(kubeconfig, context, reason, timeout if wait else None, output)


def _version(show: bool) -> None:  # noqa: FBT001 - typer calls it with the flag
    if show:
        try:
            typer.echo(f"monitoring-tls {version('monitoring-tls-operator')}")
        except PackageNotFoundError:
            typer.echo("monitoring-tls (not installed)")
        raise typer.Exit


@app.callback()
def _options(
    *,
    _version_flag: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options of the command itself."""


def main() -> None:
    """Run the command; what is wrong with its input is one line on stderr and exit code 1."""
    try:
        app()
    except MonitoringTLSError as error:
        typer.echo(f"monitoring-tls: {error}", err=True)
        sys.exit(EXIT_FAILED)
