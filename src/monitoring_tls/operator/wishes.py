"""What is asked for, as far as it can be used; what can't, with the last good in its place."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from monitoring_tls.catalogue.load import load
from monitoring_tls.errors import BadInputError, CatalogueError, SpecError
from monitoring_tls.model.certificate import LeafSpec, LeafUsage, TrustDomain
from monitoring_tls.model.component import Catalogue
from monitoring_tls.model.desired import Desired
from monitoring_tls.model.profile import EffectiveProfile, ProfileProblem
from monitoring_tls.model.snapshot import ProfileState
from monitoring_tls.observe.spec import Wishes, parse_wishes
from monitoring_tls.planning.plan import Problem
from monitoring_tls.profile.resolve import resolve

OWN_DOMAIN = "operator"
OWN_SECRET = "monitoring-tls-operator-tls"  # noqa: S105 - a name
OWN_LEAF = "tls"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the operator's own Deployment is."""

    namespace: str
    name: str


class Asked:
    """Turns the two objects into a `Desired`, remembering the last that could be used."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._wishes: Wishes | None = None
        self._profile: EffectiveProfile | None = None

    def read(
        self, spec: Mapping[str, Any], profile: Mapping[str, Any] | None, status: Mapping[str, Any] | None
    ) -> tuple[Desired, tuple[Problem, ...]]:
        """What to work towards.

        Args:
            spec: of ``MonitoringTLS/cluster``.
            profile: the spec of ``APIServer/cluster``.
            status: of ``MonitoringTLS/cluster``: says which profile was followed last, before this process started.
        """
        problems: list[Problem] = []
        try:
            wishes = parse_wishes(spec)
            catalogue = _load(wishes)
        except (SpecError, CatalogueError) as error:
            problems.append(Problem("InvalidSpec", f"{error}; the last usable spec stays in force"))
            wishes = self._wishes or Wishes()
            catalogue = _load(wishes)
        self._wishes = wishes
        if self._place.namespace in catalogue.namespaces:
            catalogue = replace(catalogue, domains=(*catalogue.domains, own_domain(self._place, wishes)))
        state = self._resolve((profile or {}).get("tlsSecurityProfile"), (status or {}).get("profile"))
        desired = Desired(
            mode=wishes.mode,
            catalogue=catalogue,
            profile=state,
            rotation_requested=wishes.rotation_requested,
            restart=wishes.restart,
        )
        return desired, tuple(problems)

    def _resolve(self, spec: Mapping[str, Any] | None, followed: Mapping[str, Any] | None) -> ProfileState:
        found = resolve(spec)
        if isinstance(found, EffectiveProfile):
            self._profile = found
            return ProfileState(found)
        last = self._profile or _followed(followed) or _default()
        self._profile = last
        return ProfileState(last, valid=False, message=f"{found.message}; {last.name} stays in force")


@lru_cache(maxsize=2)
def _load(wishes: Wishes) -> Catalogue:
    """A catalogue is read from its file once, not at each pass."""
    return load(wishes.catalogue, signer=wishes.signer, leaf=wishes.leaf, renew_at=wishes.renew_at)


def _followed(status: Mapping[str, Any] | None) -> EffectiveProfile | None:
    """The profile that the status says was followed: what an earlier process could still use."""
    if not status or not status.get("minTLSVersion"):
        return None
    custom = {key: status.get(key) for key in ("ciphers", "minTLSVersion", "groups")}
    found = resolve({"type": "Custom", "custom": custom})
    return None if isinstance(found, ProfileProblem) else replace(found, name=str(status.get("name", found.name)))


def _default() -> EffectiveProfile:
    found = resolve(None)
    if isinstance(found, ProfileProblem):
        raise BadInputError("profile", "Intermediate", "", found.message)
    return found


def own_domain(place: Place, wishes: Wishes | None = None) -> TrustDomain:
    """The certificate of the operator's own port: a domain that nothing is derived from."""
    wishes = wishes or Wishes()
    service = place.name
    names = tuple(f"{service}.{place.namespace}{suffix}" for suffix in ("", ".svc", ".svc.cluster.local"))
    return TrustDomain(
        domain=OWN_DOMAIN,
        namespace=place.namespace,
        name=OWN_SECRET,
        leaves=(LeafSpec(OWN_LEAF, LeafUsage.SERVER, service, (service, *names)),),
        derived=(),
        signer=wishes.signer,
        leaf=wishes.leaf,
        renew_at=wishes.renew_at,
    )
