"""Writes the status of ``MonitoringTLS/cluster``: news at once, counts and sentences a little later, repeats never."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog

from monitoring_tls.errors import NotFoundError
from monitoring_tls.kube.client import KubeClient
from monitoring_tls.kube.resources import MONITORINGTLSES
from monitoring_tls.report.status import transitions, with_times

# Between two writes that only move counts: a rollout of many pods is not to become as many requests.
PACE = timedelta(seconds=5)

log = structlog.get_logger()


class Reporter:
    """Remembers what it wrote last; what another process wrote is taken from the object, once."""

    def __init__(self, client: KubeClient, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._clock = clock
        self._written: Mapping[str, Any] | None = None
        self._written_at: datetime | None = None

    async def report(self, status: Mapping[str, Any], found: Mapping[str, Any] | None) -> timedelta | None:
        """Write the status if it is news.

        Args:
            status: as built, without transition times.
            found: the status in the object as it was first seen.

        Returns:
            After what time a difference that is no urgent news is to be written; None where nothing is left to write.

        Raises:
            KubeError: the API server refused or couldn't be reached.
        """
        now = self._clock()
        before = self._written if self._written is not None else found
        wanted = with_times(status, before, now)
        if before is not None and _canonical(wanted) == _canonical(before):
            self._written = before
            return None
        urgent = before is None or transitions(wanted) != transitions(before)
        if not urgent and self._written_at is not None and now < self._written_at + PACE:
            return self._written_at + PACE - now
        if before is not None:
            # A merge patch leaves keys that it doesn't name; a key that is gone has to be named.
            patch = {**dict.fromkeys(before.keys() - wanted.keys()), **wanted}
            patch["rotation"] = {**dict.fromkeys((before.get("rotation") or {}).keys()), **wanted["rotation"]}
        else:
            patch = wanted
        try:
            await self._client.merge_patch(MONITORINGTLSES, None, "cluster", {"status": patch}, subresource="status")
        except NotFoundError:
            log.info("MonitoringTLS/cluster is gone, nothing to report to")
            return None
        self._written, self._written_at = wanted, now
        return None


def _canonical(status: Mapping[str, Any]) -> str:
    return json.dumps(status, sort_keys=True)
