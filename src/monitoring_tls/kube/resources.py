"""The kinds of objects the operator speaks of, and where the API server keeps them."""

from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import quote

Object: TypeAlias = dict[str, Any]
"""A Kubernetes object as its JSON."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object at one version of its API group.

    Attributes:
        group: the API group; empty for the core group.
        version: the version in the group.
        plural: the name in paths and in RBAC rules.
        kind: the name in objects.
        namespaced: whether its objects live in namespaces.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """The `apiVersion` of an object of this kind."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The path of an object, a subresource, or (without a name) of the collection.

        See https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-uris.

        Args:
            namespace: the namespace; without one, a namespaced resource's objects in all namespaces.
            name: the object.
            subresource: e.g. `status`.

        Raises:
            ValueError: if the combination names nothing, which is a mistake of the caller.
        """
        if namespace is not None and not self.namespaced:
            raise ValueError(f"{self.plural} are cluster-scoped, but a namespace was given: {namespace!r}")
        if name is not None and namespace is None and self.namespaced:
            raise ValueError(f"{self.plural} are namespaced, but {name!r} was asked for without a namespace")
        if subresource is not None and name is None:
            raise ValueError(f"the subresource {subresource!r} of {self.plural} was asked for without a name")
        if "" in {namespace, name, subresource}:
            raise ValueError(f"an empty name in a path of {self.plural} would address the collection")
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if namespace is not None:
            parts += ["namespaces", namespace]
        parts += [self.plural, *(part for part in (name, subresource) if part is not None)]
        return "/" + "/".join(quote(part, safe="") for part in parts)


CONFIGMAPS = Resource("", "v1", "configmaps", "ConfigMap")
EVENTS = Resource("", "v1", "events", "Event")
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
PODS = Resource("", "v1", "pods", "Pod")
SECRETS = Resource("", "v1", "secrets", "Secret")
SERVICES = Resource("", "v1", "services", "Service")

DAEMONSETS = Resource("apps", "v1", "daemonsets", "DaemonSet")
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
STATEFULSETS = Resource("apps", "v1", "statefulsets", "StatefulSet")

LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
NETWORKPOLICIES = Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False)

ALERTMANAGERS = Resource("monitoring.coreos.com", "v1", "alertmanagers", "Alertmanager")
PROMETHEUSES = Resource("monitoring.coreos.com", "v1", "prometheuses", "Prometheus")
THANOSRULERS = Resource("monitoring.coreos.com", "v1", "thanosrulers", "ThanosRuler")

APISERVERS = Resource("config.openshift.io", "v1", "apiservers", "APIServer", namespaced=False)
CLUSTERVERSIONS = Resource("config.openshift.io", "v1", "clusterversions", "ClusterVersion", namespaced=False)

MONITORINGTLSES = Resource("monitoring-tls.dev", "v1alpha1", "monitoringtlses", "MonitoringTLS", namespaced=False)
