"""A process that writes as fast as it can while it holds a Lease; for being stopped and continued.

Usage: lease_candidate.py KUBECONFIG NAMESPACE IDENTITY
"""

import asyncio
import contextlib
import sys
from itertools import count
from pathlib import Path

from monitoring_tls.errors import ConflictError, LeadershipLostError
from monitoring_tls.kube.client import KubeClient
from monitoring_tls.kube.lease import LeaderElector, LeaseTiming
from monitoring_tls.kube.resources import CONFIGMAPS

TIMING = LeaseTiming(lease_duration=3.0, renew_deadline=2.0, retry_period=0.2)


async def _main(kubeconfig: str, namespace: str, identity: str) -> None:
    async with KubeClient.from_kubeconfig(Path(kubeconfig)) as client:
        elector = LeaderElector(client, namespace, "lease", identity, timing=TIMING)
        guarded = client.guarded(elector.ensure_leader)

        async def write() -> None:
            written = await guarded.apply(CONFIGMAPS, {"metadata": {"namespace": namespace, "name": "written"}})
            print("leading", flush=True)  # noqa: T201 - the test waits for this line
            for number in count():
                data = {"writer": identity, "number": str(number)}
                # Frozen between the guard and the system call, one request is still sent: its resourceVersion is old.
                with contextlib.suppress(ConflictError):
                    written = await guarded.replace(CONFIGMAPS, written | {"data": data})

        try:
            await elector.run(write)
        except LeadershipLostError as error:
            print(f"lost: {error}", flush=True)  # noqa: T201 - the test reads this line


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
