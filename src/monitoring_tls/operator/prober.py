"""Looks at endpoints until they show what is wished for, and then leaves them in peace."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import structlog

from monitoring_tls.errors import KubeError, PkiError
from monitoring_tls.model.certificate import TrustDomain
from monitoring_tls.model.component import Catalogue
from monitoring_tls.model.snapshot import Evidence
from monitoring_tls.operator.keyring import Keyring
from monitoring_tls.planning.probes import ProbeWish
from monitoring_tls.probe.endpoint import ProbeTarget, examine, follow_up

# Handshakes at the same time, over all pods.
_PARALLEL = 8

# Seconds until the next look at an endpoint that did not yet show it: quick while a kubelet refreshes its files (a
# second or two where it watches, a minute where it polls), then ever slower.
_FIRST_DELAY = 1.0
_LONGEST_DELAY = 60.0
_GROWTH = 1.3

# A sight is news the first times in a row; after that only time can make something of it.
_NEWS = 2

log = structlog.get_logger()


@dataclass(slots=True)
class _Pursuit:
    """One endpoint that is being looked at again and again."""

    wish: ProbeWish
    task: "asyncio.Task[None]"


class Prober:
    """Keeps the evidence, one pursuit for each endpoint of which something is still to be shown.

    Attributes:
        evidence: per (pod uid, endpoint name), as in `Snapshot.evidence`.
        handshakes: how many looks were taken, for metrics.
    """

    def __init__(self, keyring: Keyring, clock: Callable[[], datetime], on_change: Callable[[str], None]) -> None:
        self.evidence: dict[tuple[str, str], Evidence] = {}
        self.handshakes = 0
        self._keyring = keyring
        self._clock = clock
        self._on_change = on_change
        self._pursuits: dict[tuple[str, str], _Pursuit] = {}
        self._slots = asyncio.Semaphore(_PARALLEL)

    def update(self, wishes: tuple[ProbeWish, ...], catalogue: Catalogue) -> None:
        """Look at what is wished for and not yet shown, and at nothing else."""
        domains = {domain.domain: domain for domain in catalogue.domains}
        wanted = {wish.key: wish for wish in wishes}
        for key in self.evidence.keys() - wanted.keys():
            del self.evidence[key]
        for key, wish in wanted.items():
            seen = self.evidence.get(key)
            begun = wish.pod.started.get(wish.endpoint.container)
            if seen is not None and begun is not None and seen.at < begun:
                # It was about the process before this one.
                del self.evidence[key]
        for key, pursuit in list(self._pursuits.items()):
            if pursuit.task.done() and not pursuit.task.cancelled():
                # None ends by an error that is foreseen; one that isn't must not be lost.
                pursuit.task.result()
            if key not in wanted or not _same(wanted[key], pursuit.wish) or pursuit.task.done():
                pursuit.task.cancel()
                del self._pursuits[key]
        for key, wish in wanted.items():
            if key not in self._pursuits and not wish.shown_by(self.evidence.get(key)):
                domain = domains.get(wish.domain) if wish.domain else None
                task = asyncio.create_task(
                    self._pursue(wish, domain), name=f"probe {wish.pod.name} {wish.endpoint.name}"
                )
                self._pursuits[key] = _Pursuit(wish, task)

    def stop(self) -> None:
        """Look at nothing any more."""
        for pursuit in self._pursuits.values():
            pursuit.task.cancel()
        self._pursuits.clear()

    async def _pursue(self, wish: ProbeWish, domain: TrustDomain | None) -> None:
        delay = _FIRST_DELAY
        while True:
            async with self._slots:
                fresh = await self._look(wish, domain)
            if fresh is not None:
                self.handshakes += 1
                evidence = follow_up(self.evidence.get(wish.key), fresh)
                self.evidence[wish.key] = evidence
                shown = wish.shown_by(evidence)
                if shown or evidence.seen <= _NEWS:
                    self._on_change(f"probe of {wish.pod.name}")
                if shown:
                    return
            await asyncio.sleep(delay)
            delay = min(delay * _GROWTH, _LONGEST_DELAY)

    async def _look(self, wish: ProbeWish, domain: TrustDomain | None) -> Evidence | None:
        identity = None
        if wish.ca is not None and domain is not None:
            try:
                identity = await self._keyring.probe_identity(domain, wish.ca, self._clock())
            except (KubeError, PkiError) as error:
                log.info("no client certificate to probe with", domain=domain.domain, error=str(error))
            if identity is None:
                return None
        target = ProbeTarget(
            pod_uid=wish.pod.uid,
            pod=f"{wish.pod.namespace}/{wish.pod.name}",
            address=wish.pod.ip or "",
            port=wish.endpoint.port,
            endpoint=wish.endpoint.name,
            server_name=_server_name(wish, domain),
            leaf=wish.leaf,
            identity=identity,
            ca=wish.ca,
            profile=wish.profile,
        )
        return await examine(target, self._clock())


def _server_name(wish: ProbeWish, domain: TrustDomain | None) -> str | None:
    if domain is None or wish.endpoint.leaf is None:
        return None
    names: Mapping[str, tuple[str, ...]] = {spec.name: spec.dns_names for spec in domain.leaves}
    return next(iter(names.get(wish.endpoint.leaf, ())), None)


def _same(wish: ProbeWish, other: ProbeWish) -> bool:
    """Whether a pursuit may go on: same process, same things to be shown, and no pod that has just become ready."""
    return _subject(wish) == _subject(other)


def _subject(wish: ProbeWish) -> tuple[object, ...]:
    begun = wish.pod.started.get(wish.endpoint.container)
    return (wish.pod.ip, wish.pod.ready, begun, wish.leaf, wish.ca, wish.profile, wish.endpoint)
