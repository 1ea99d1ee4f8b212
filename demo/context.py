"""What every part of the demo works with."""

import asyncio
import base64
import time
from dataclasses import dataclass, field

from demo.audit import AuditLog
from demo.errors import DemoError
from demo.handshakes import ClientPair
from demo.journal import PodJournal
from demo.load import Load, Target
from demo.place import Place
from demo.serving import PLATFORM
from demo.stack import AFFECTED, Workload, unsettled
from demo.stage import Stage
from monitoring_tls.errors import NotFoundError
from monitoring_tls.kube.client import KubeClient
from monitoring_tls.kube.resources import MONITORINGTLSES, SECRETS, Object


@dataclass(slots=True)
class Change:
    """A change that was made under load, for the summary.

    Attributes:
        restarts: pods that each workload got new.
        requests: what the operator asked of the API server; None where that can't be known.
        queries: of the load meanwhile, in words.
    """

    name: str
    seconds: float
    queries: str
    restarts: dict[str, int]
    requests: int | None


@dataclass(slots=True)
class Demo:
    """One run of the demo."""

    place: Place
    stage: Stage
    client: KubeClient
    journal: PodJournal
    changes: list[Change] = field(default_factory=list)
    target: Target | None = None
    load: Load | None = None

    @property
    def audit(self) -> AuditLog | None:
        """The API server's record, where it can be read."""
        return AuditLog(self.place.audit_log) if self.place.audit_log else None

    def running_load(self) -> Load:
        """The load, which an earlier part has started."""
        if self.load is None:
            raise DemoError("the load doesn't run", "this part comes after the one that starts it")
        return self.load

    def beside(self, since: float) -> str:
        """How the load has been doing, to be shown beside progress."""
        tally = self.running_load().tally(since)
        return f"{tally.asked} queries, {tally.failed} failed"

    async def status(self) -> Object:
        """The status of MonitoringTLS/cluster; empty while there is none."""
        try:
            found = await self.client.get(MONITORINGTLSES, None, "cluster")
        except NotFoundError:
            return {}
        status: Object = found.get("status", {})
        return status

    async def secret(self, namespace: str, name: str) -> dict[str, bytes]:
        """A Secret's data, decoded."""
        found = await self.client.get(SECRETS, namespace, name)
        return {key: base64.b64decode(value) for key, value in found["data"].items()}

    async def querier_pair(self) -> ClientPair:
        """What the querier has to speak with the sidecars: the demo's handshakes are made as if by it."""
        data = await self.secret(PLATFORM, "thanos-querier-grpc-tls")
        return ClientPair(data["client.crt"], data["client.key"], data["ca.crt"].decode())

    async def unsettled(self, *workloads: Workload, stamp: str | None = None) -> str:
        """What the rollouts of these workloads still lack; of all that matter where none is named."""
        asked = workloads or AFFECTED
        lacking = await asyncio.gather(*(unsettled(self.client, each, stamp=stamp) for each in asked))
        return "; ".join(text for text in lacking if text)

    async def busy(self, profile: str | None = None) -> str:
        """What the operator's own status still lacks to be at rest; empty when it says that all is proved.

        Args:
            profile: the TLS profile that it must say it follows.
        """
        status = await self.status()
        conditions = {each["type"]: each for each in status.get("conditions", [])}
        if profile is not None and status.get("profile", {}).get("name") != profile:
            return f"the operator doesn't follow {profile} yet"
        for name, wanted in (("Available", "True"), ("Progressing", "False"), ("Compliant", "True")):
            found = conditions.get(name)
            if found is None or found["status"] != wanted:
                return f"{name}: {found['message'] if found else 'no status yet'}"[:160]
        return ""


async def pause(seconds: float) -> float:
    """Let the load run for a while; returns when that began."""
    started = time.monotonic()
    await asyncio.sleep(seconds)
    return started
