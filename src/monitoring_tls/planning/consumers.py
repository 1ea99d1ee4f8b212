"""Who uses a trust domain: found from pod templates, not from a list kept by hand."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitoring_tls.model.certificate import CertificateFacts, DerivedSpec, SecretView, TrustDomain
from monitoring_tls.model.component import Component, DomainUse
from monitoring_tls.model.desired import Desired
from monitoring_tls.model.snapshot import PodView, Snapshot, WorkloadView
from monitoring_tls.pki.state import parse_time

# Clocks of nodes, API server and operator are taken to agree this well.
CLOCK_SKEW = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Consumer:
    """One workload's use of one domain.

    Attributes:
        secret: the derived Secret (or CMO-style hashed copy) its pods mount, None while it is missing.
        spec: what that Secret is to hold.
        stable: whether the stable name is mounted.
    """

    component: Component
    workload: WorkloadView
    use: DomainUse
    spec: DerivedSpec
    secret: SecretView | None
    stable: bool


def bundle_of(view: SecretView | None, key: str = "ca.crt") -> tuple[CertificateFacts, ...]:
    """The trust bundle in a Secret, issuer first; empty where there is none."""
    return view.certificates.get(key, ()) if view is not None else ()


def components_of(snapshot: Snapshot, desired: Desired) -> tuple[Component, ...]:
    """The catalogue's components that exist, in restart order, then workloads that mount a domain's Secret unlisted.

    Of an unlisted workload nothing is known, so it is taken to re-read nothing.
    """
    listed = [c for c in desired.catalogue.components if c.workload in snapshot.workloads]
    known = {component.workload for component in listed}
    found = []
    for ref in sorted(snapshot.workloads.keys() - known):
        uses = tuple(
            DomainUse(domain.domain, "", spec.leaf, reloads_leaf=False, reloads_trust=False)
            for domain in desired.catalogue.domains
            for spec in domain.derived
            if _mounted(snapshot, snapshot.workloads[ref], spec) is not None
        )
        if uses:
            found.append(Component(str(ref), ref, uses, (), ()))
    return (*listed, *found)


def consumers_of(snapshot: Snapshot, desired: Desired, domain: TrustDomain) -> Iterator[Consumer]:
    """Every workload that mounts what is derived from ``domain``, in restart order."""
    for component in components_of(snapshot, desired):
        workload = snapshot.workloads[component.workload]
        for use in component.uses:
            if use.domain != domain.domain:
                continue
            for spec in domain.derived:
                if spec.leaf == use.leaf and (name := _mounted(snapshot, workload, spec)) is not None:
                    secret = snapshot.secrets.get((spec.namespace, name))
                    yield Consumer(component, workload, use, spec, secret, stable=name == spec.name)


def hashed_copies(snapshot: Snapshot, spec: DerivedSpec) -> Iterator[SecretView]:
    """CMO-style copies ``NAME-<hash>`` of a derived Secret that are still there."""
    for view in snapshot.secrets.values():
        if view.namespace == spec.namespace and view.hashed_from == spec.name and view.name != spec.name:
            yield view


def mounted_names(snapshot: Snapshot, namespace: str, kind: str = "Secret") -> frozenset[str]:
    """Names of Secrets that any pod or any workload's template in ``namespace`` refers to."""
    mounts = [w.mounts for w in snapshot.workloads.values() if w.ref.namespace == namespace]
    mounts += [pod.mounts for pod in snapshot.pods if pod.namespace == namespace]
    return frozenset(mount.name for group in mounts for mount in group if mount.kind == kind)


def pods_of(snapshot: Snapshot, workload: WorkloadView) -> tuple[PodView, ...]:
    """The workload's pods that are not on their way out."""
    return tuple(pod for pod in snapshot.pods if pod.workload == workload.ref and not pod.terminating)


def started(pod: PodView, container: str) -> datetime | None:
    """Since when the process that reads the files has run; for an unnamed container the oldest one's start."""
    if container:
        return pod.started.get(container)
    return min(pod.started.values(), default=None)


def since(view: SecretView, annotation: str) -> datetime:
    """The moment that an annotation of a Secret names; its creation where it has none (an adopted Secret)."""
    return parse_time(view.annotations.get(annotation)) or view.created


def created_with(view: SecretView, moment: datetime) -> bool:
    """Whether the Secret came into being with what it has held since ``moment``: no older copy is cached anywhere.

    Times alone don't tell, as clocks may differ: a rotation can begin moments after the Secret was made. Then its
    bundle also holds the CA that it was made with.
    """
    return len(bundle_of(view)) == 1 and abs(view.created - moment) <= CLOCK_SKEW


def _mounted(snapshot: Snapshot, workload: WorkloadView, spec: DerivedSpec) -> str | None:
    if workload.ref.namespace != spec.namespace:
        return None
    names = {mount.name for mount in workload.mounts if mount.kind == "Secret"}
    if spec.name in names:
        return spec.name
    copies = (copy.name for copy in hashed_copies(snapshot, spec) if copy.name in names)
    return next(copies, None)
