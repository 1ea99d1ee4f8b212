"""Components of a monitoring stack: what the catalogue says of them."""

from dataclasses import dataclass
from enum import StrEnum

from monitoring_tls.model.certificate import TrustDomain


@dataclass(frozen=True, slots=True, order=True)
class WorkloadRef:
    """The top-most owner of pods: a Deployment, or a custom resource of prometheus-operator."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.namespace}/{self.name}"


class Dialect(StrEnum):
    """How a component wants its TLS settings written. One module each in ``profile/dialects``."""

    GO_FLAGS = "go-flags"
    KUBE_RBAC_PROXY_FLAGS = "kube-rbac-proxy-flags"
    THANOS_CLIENT_FLAGS = "thanos-client-flags"
    PROMETHEUS_CR_GRPC = "prometheus-cr-grpc"


@dataclass(frozen=True, slots=True)
class SettingsTarget:
    """Where a component's settings go.

    Attributes:
        container: the container whose ``args`` are patched; None for a custom-resource field.
        path: for a custom-resource field, the map that takes the settings, for instance
            ``("spec", "thanos", "grpcServerTlsConfig")``.
    """

    dialect: Dialect
    container: str | None = None
    path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A TLS port of a component's pods, which is looked at by handshakes.

    Attributes:
        domain: the trust domain whose leaf it serves; None where its certificate is somebody else's.
        leaf: the leaf it must serve, by name in that domain.
        client_certificates: whether it requires client certificates of the same domain.
        follows_profile: whether the profile's settings reach it.
    """

    name: str
    container: str
    port: int
    domain: str | None = None
    leaf: str | None = None
    client_certificates: bool = False
    follows_profile: bool = True


@dataclass(frozen=True, slots=True)
class DomainUse:
    """How a component uses a trust domain: the container, and whether it re-reads files while it runs."""

    domain: str
    container: str
    leaf: str
    reloads_leaf: bool
    reloads_trust: bool


@dataclass(frozen=True, slots=True)
class Component:
    """One workload of the stack and everything the operator has to know of it."""

    name: str
    workload: WorkloadRef
    uses: tuple[DomainUse, ...]
    settings: tuple[SettingsTarget, ...]
    endpoints: tuple[Endpoint, ...]

    def endpoints_of(self, use: DomainUse) -> tuple[Endpoint, ...]:
        """The ports on which a use of a domain can be seen; none for a process that is only a client."""
        return tuple(e for e in self.endpoints if e.domain == use.domain and e.leaf == use.leaf)


@dataclass(frozen=True, slots=True)
class BundleCopy:
    """A ConfigMap kept equal to the cluster's client CA (``kube-system/extension-apiserver-authentication``)."""

    namespace: str
    name: str
    key: str


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Everything that is managed, in the order in which workloads are restarted."""

    name: str
    namespaces: tuple[str, ...]
    domains: tuple[TrustDomain, ...]
    bundles: tuple[BundleCopy, ...]
    components: tuple[Component, ...]
