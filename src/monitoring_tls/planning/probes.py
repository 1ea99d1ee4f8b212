"""Which ports of which pods are to be looked at: those of which something is still to be shown, and no others."""

from collections.abc import Iterator
from dataclasses import dataclass

from monitoring_tls.compliance.verdict import Result, follows_profile
from monitoring_tls.model.component import Component, Endpoint
from monitoring_tls.model.desired import Desired
from monitoring_tls.model.profile import EffectiveProfile
from monitoring_tls.model.snapshot import Evidence, Outcome, PodView, Snapshot
from monitoring_tls.planning.consumers import bundle_of, components_of, consumers_of, pods_of


@dataclass(frozen=True, slots=True)
class ProbeWish:
    """A look at one endpoint of one pod, and what it is to show.

    Attributes:
        leaf: fingerprint of the leaf it should serve; None where its certificate is not ours.
        ca: fingerprint of the CA of which it should accept a client certificate; None where it asks for none.
        domain: the trust domain of both.
    """

    pod: PodView
    endpoint: Endpoint
    domain: str | None
    leaf: str | None
    ca: str | None
    profile: EffectiveProfile | None

    @property
    def key(self) -> tuple[str, str]:
        """Where its evidence is kept (see `Snapshot.evidence`)."""
        return (self.pod.uid, self.endpoint.name)

    def shown_by(self, evidence: Evidence | None) -> bool:
        """Whether what was seen already shows everything that is wished for."""
        if evidence is None or evidence.outcome is Outcome.UNREACHABLE:
            return False
        if self.leaf is not None and evidence.leaf != self.leaf:
            return False
        if self.ca is not None and self.ca not in evidence.trusts:
            return False
        return self.profile is None or follows_profile(evidence, self.profile).result is Result.PASS


def wishes(snapshot: Snapshot, desired: Desired) -> Iterator[ProbeWish]:
    """Everything that handshakes are to show of the present pods, whether it was shown already or not."""
    for component in components_of(snapshot, desired):
        # The same for every pod of a workload.
        shown = [(endpoint, *_shown(snapshot, desired, component, endpoint)) for endpoint in component.endpoints]
        for pod in pods_of(snapshot, snapshot.workloads[component.workload]):
            if pod.ip is None:
                continue
            for endpoint, leaf, ca in shown:
                if endpoint.container in pod.started:
                    profile = desired.profile.effective if endpoint.follows_profile else None
                    yield ProbeWish(pod, endpoint, endpoint.domain, leaf, ca, profile)


def _shown(
    snapshot: Snapshot, desired: Desired, component: Component, endpoint: Endpoint
) -> tuple[str | None, str | None]:
    """Fingerprints of the leaf and of the CA that an endpoint is to show."""
    leaf = ca = None
    for domain in desired.catalogue.domains:
        if domain.domain != endpoint.domain:
            continue
        for consumer in consumers_of(snapshot, desired, domain):
            if consumer.component.name == component.name and consumer.use.leaf == endpoint.leaf and consumer.secret:
                chain = consumer.secret.certificates.get(consumer.spec.certificate_key, ())
                bundle = bundle_of(consumer.secret)
                leaf = chain[0].fingerprint if chain else None
                ca = bundle[0].fingerprint if bundle and endpoint.client_certificates else None
    return leaf, ca
