"""Events that a process owed when it ended: written, but not yet told.

A process can be killed between a write and its event. When the object was last written stands in its managedFields, and
when that was last told in the events; so the next leader can tell what the one before could not.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from monitoring_tls.kube.client import KubeClient
from monitoring_tls.kube.events import (
    Happening,
    configmap_created,
    configmap_updated,
    secret_created,
    secret_updated,
)
from monitoring_tls.kube.resources import EVENTS
from monitoring_tls.kube.selection import Selection
from monitoring_tls.model.certificate import SecretView
from monitoring_tls.model.component import Catalogue
from monitoring_tls.model.snapshot import ConfigMapView, Snapshot
from monitoring_tls.operator.wishes import Place
from monitoring_tls.pki.state import parse_time
from monitoring_tls.planning.certificates import derived_targets
from monitoring_tls.planning.consumers import CLOCK_SKEW

# API servers forget events after an hour (--event-ttl), so of anything older nothing can be known.
_REMEMBERED = timedelta(minutes=45)

# Times of the API are whole seconds.
_SAME = timedelta(seconds=1)


async def told(client: KubeClient, place: Place) -> Mapping[str, datetime]:
    """When each message about the operator's own Deployment was last told.

    Raises:
        KubeError: the events can't be read.
    """
    mine = Selection(namespace=place.namespace, field_selector=f"involvedObject.name={place.name}")
    found: dict[str, datetime] = {}
    for event in (await client.list(EVENTS, mine)).items:
        message, moment = event.get("message"), parse_time(event.get("lastTimestamp"))
        if isinstance(message, str) and moment is not None:
            found[message] = max(moment, found.get(message, moment))
    return found


def untold(
    snapshot: Snapshot, catalogue: Catalogue, before: Mapping[str, datetime], now: datetime
) -> Iterator[Happening]:
    """What was written lately and never told.

    Args:
        snapshot: the objects as they are.
        catalogue: which of them are the operator's.
        before: what was told; see `told`.
        now: the time.
    """
    secrets = [(domain.namespace, domain.name) for domain in catalogue.domains]
    secrets += [(spec.namespace, name) for d in catalogue.domains for spec, name in derived_targets(snapshot, d)]
    written_of: list[tuple[SecretView | ConfigMapView | None, Happening, Happening]] = [
        (snapshot.secrets.get(place), secret_created(*place), secret_updated(*place)) for place in secrets
    ]
    written_of += [
        (snapshot.configmaps.get(place), configmap_created(*place), configmap_updated(*place))
        for place in ((copy.namespace, copy.name) for copy in catalogue.bundles)
    ]
    for view, created, updated in written_of:
        written = view.written_at if view is not None else None
        if view is None or written is None or now > written + _REMEMBERED:
            continue
        moments = [before[known.message] for known in (created, updated) if known.message in before]
        if not moments or written > max(moments) + CLOCK_SKEW:
            yield created if abs(written - view.created) <= _SAME else updated
