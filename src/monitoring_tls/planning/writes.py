"""What a planned change of certificates writes, and in which order. Pure: the operator and the model checks share it.

The domain's Secret comes first: it is the whole state, so that whoever is stopped after any of these writes, or the
next process, goes on from it.
"""

import base64
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from monitoring_tls.model.action import WriteDomain
from monitoring_tls.model.annotations import LEAF_SINCE, TRUST_SINCE
from monitoring_tls.model.certificate import DerivedSpec, SecretView, TrustDomain
from monitoring_tls.model.snapshot import Snapshot
from monitoring_tls.pki.material import Material, derived_data, render
from monitoring_tls.pki.secret_view import secret_view
from monitoring_tls.pki.state import format_time
from monitoring_tls.planning.certificates import derived_targets, matches
from monitoring_tls.planning.consumers import bundle_of, since


@dataclass(frozen=True, slots=True)
class SecretWrite:
    """One Secret to be written whole.

    Attributes:
        data: not in base64; private keys are among it.
        resource_version: what it must still be; None where it is to be created.
    """

    namespace: str
    name: str
    data: Mapping[str, bytes] = field(repr=False)
    annotations: Mapping[str, str]
    resource_version: str | None


def domain_writes(
    action: WriteDomain, domain: TrustDomain, after: Material, snapshot: Snapshot, clock: Callable[[], datetime]
) -> Iterator[SecretWrite]:
    """The domain's Secret, then each derived one that differs from it.

    Args:
        action: what was planned.
        domain: as in the catalogue.
        after: what the action makes of the domain's Secret.
        snapshot: what was planned from.
        clock: asked once a write, as one may have to wait for the API server.
    """
    data, annotations = render(after, domain)
    yield SecretWrite(domain.namespace, domain.name, data, annotations, action.resource_version)
    written = _view(domain.namespace, domain.name, data, annotations)
    targets = {
        (spec.namespace, name)
        for spec, name in derived_targets(snapshot, domain)
        if not matches(written, snapshot.secrets.get((spec.namespace, name)), spec)
    }
    yield from derived_writes(domain, after, targets, snapshot, clock)


def derived_writes(
    domain: TrustDomain,
    material: Material,
    targets: Collection[tuple[str, str]],
    snapshot: Snapshot,
    clock: Callable[[], datetime],
) -> Iterator[SecretWrite]:
    """The derived Secrets ``targets`` as the domain's Secret has them.

    Raises:
        PkiError: the domain's Secret lacks a leaf that one of them needs.
    """
    for spec, name in derived_targets(snapshot, domain):
        if (spec.namespace, name) not in targets:
            continue
        data, annotations = derived_data(material, spec, domain)
        existing = snapshot.secrets.get((spec.namespace, name))
        if existing is not None:
            annotations |= _since(existing, spec, _view(spec.namespace, name, data, annotations), clock())
        version = existing.resource_version if existing else None
        yield SecretWrite(spec.namespace, name, data, annotations, version)


def _since(before: SecretView, spec: DerivedSpec, after: SecretView, now: datetime) -> dict[str, str]:
    """Since when *this* Secret has said what it says: it may be written later than the domain's."""
    moment = format_time(now)
    issuer = [view.fingerprint for view in (*bundle_of(before)[:1], *bundle_of(after)[:1])]
    same_ca = len(set(issuer)) == 1 and bool(bundle_of(before))
    key = spec.certificate_key
    leaves = [chain[0].fingerprint for view in (before, after) if (chain := view.certificates.get(key))]
    same_leaf = len(leaves) == len((before, after)) and len(set(leaves)) == 1
    return {
        TRUST_SINCE: format_time(since(before, TRUST_SINCE)) if same_ca else moment,
        LEAF_SINCE: format_time(since(before, LEAF_SINCE)) if same_leaf else moment,
    }


def _view(namespace: str, name: str, data: Mapping[str, bytes], annotations: Mapping[str, str]) -> SecretView:
    """What the caches will hold of a Secret that is about to be written."""
    encoded = {key: base64.b64encode(value).decode("ascii") for key, value in data.items()}
    metadata = {"namespace": namespace, "name": name, "annotations": dict(annotations)}
    return secret_view({"metadata": metadata, "data": encoded}, "")
