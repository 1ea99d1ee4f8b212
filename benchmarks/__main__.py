"""Prints one table: what the operator's parts cost on this machine. Medians of several runs."""

import asyncio
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from benchmarks.fleet import fleet
from monitoring_tls.catalogue.load import load
from monitoring_tls.model.desired import Desired, Mode
from monitoring_tls.model.profile import EffectiveProfile
from monitoring_tls.model.snapshot import ProfileState
from monitoring_tls.operator.wishes import Place, own_domain
from monitoring_tls.pki.domain import create
from monitoring_tls.pki.facts import bundle_pem
from monitoring_tls.pki.keys import SystemEntropy
from monitoring_tls.planning.plan import plan
from monitoring_tls.probe.context import load_chain
from monitoring_tls.probe.endpoint import ProbeTarget, examine
from monitoring_tls.profile.resolve import resolve

_RUNS = 7
_PODS = (10, 100, 1000)
_PROBES = 40

_IMPORT = """
import time; begun = time.perf_counter()
import monitoring_tls.cli.run
rss = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmRSS"))
print(time.perf_counter() - begun, int(rss) / 1024)
"""


def main() -> None:
    """Run everything."""
    table = Table("what", "median", "slowest", box=None, pad_edge=False)
    console = Console()
    imports = [_imported() for _ in range(3)]
    table.add_row("import of the operator", _ms([seconds for seconds, _ in imports]), _worst([s for s, _ in imports]))
    table.add_row("RSS after import", f"{statistics.median(mib for _, mib in imports):.1f} MiB", "")
    domain, entropy, now = load("openshift-monitoring").domains[0], SystemEntropy(), datetime.now(UTC)
    table.add_row("CA with both leaves, ECDSA P-256", *_timed(lambda: create(domain, now, entropy)))
    profile = resolve(None)
    if not isinstance(profile, EffectiveProfile):
        raise SystemExit(profile.message)
    desired = Desired(Mode.ENFORCE, load("openshift-monitoring"), ProfileState(profile))
    for pods in _PODS:
        snapshot = fleet(desired, pods, now)
        table.add_row(f"plan, {pods} pods a workload", *_timed(lambda s=snapshot: plan(s, desired, now)))  # type: ignore[misc]
    each = asyncio.run(_probes(profile))
    table.add_row("look at one endpoint with a profile (4 handshakes)", _ms(each), _worst(each))
    console.print(table)


def _imported() -> tuple[float, float]:
    done = subprocess.run([sys.executable, "-c", _IMPORT], check=True, capture_output=True, text=True)
    seconds, mib = done.stdout.split()
    return float(seconds), float(mib)


def _timed(work: Callable[[], object]) -> tuple[str, str]:
    seconds = []
    for _ in range(_RUNS):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return _ms(seconds), _worst(seconds)


async def _probes(profile: EffectiveProfile) -> list[float]:
    """Looks at a server of this process, so that both ends' work is counted."""
    material = create(own_domain(Place("bench", "bench")), datetime.now(UTC), SystemEntropy())
    leaf = material.leaves["tls"]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(":".join(profile.ciphers))
    load_chain(context, bundle_pem(leaf.chain), leaf.key.pem())
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    seconds = []
    for _ in range(_PROBES):
        begun = time.perf_counter()
        await examine(ProbeTarget("", "", "127.0.0.1", port, "bench", profile=profile), datetime.now(UTC))
        seconds.append(time.perf_counter() - begun)
    server.close()
    return seconds


def _ms(seconds: list[float]) -> str:
    return f"{statistics.median(seconds) * 1000:.1f} ms"


def _worst(seconds: list[float]) -> str:
    return f"{max(seconds) * 1000:.1f} ms"


if __name__ == "__main__":
    main()
