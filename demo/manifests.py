"""Reading manifests, and where their kinds live in the API."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import yaml

from monitoring_tls.kube import resources
from monitoring_tls.kube.resources import Object, Resource

LOCAL_PREFIX: Final = "localhost"
"""The registry in the examples' image names: images that are given to the node, and never pulled."""

_RBAC: Final = "rbac.authorization.k8s.io"
_COREOS: Final = "monitoring.coreos.com"

SERVICE_ACCOUNTS: Final = Resource("", "v1", "serviceaccounts", "ServiceAccount")

_RESOURCES: Final = (
    resources.NAMESPACES,
    resources.SECRETS,
    resources.CONFIGMAPS,
    resources.SERVICES,
    resources.DEPLOYMENTS,
    resources.CRDS,
    resources.PROMETHEUSES,
    resources.THANOSRULERS,
    resources.NETWORKPOLICIES,
    resources.MONITORINGTLSES,
    resources.APISERVERS,
    SERVICE_ACCOUNTS,
    Resource(_RBAC, "v1", "clusterroles", "ClusterRole", namespaced=False),
    Resource(_RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False),
    Resource(_RBAC, "v1", "roles", "Role"),
    Resource(_RBAC, "v1", "rolebindings", "RoleBinding"),
    Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget"),
    Resource(_COREOS, "v1alpha1", "scrapeconfigs", "ScrapeConfig"),
    Resource(_COREOS, "v1", "prometheusrules", "PrometheusRule"),
)


class _Loader(yaml.CSafeLoader):
    """YAML as Kubernetes reads it: a lone ``=``, as in prometheus-operator's CRDs, is text, not YAML 1.1's "value"."""


_Loader.add_constructor("tag:yaml.org,2002:value", lambda _, node: node.value)
_BY_KIND: Final = {(resource.api_version, resource.kind): resource for resource in _RESOURCES}


def resource_of(obj: Object) -> Resource:
    """Where objects of this kind live.

    Raises:
        KeyError: none of our manifests has this kind.
    """
    return _BY_KIND[obj["apiVersion"], obj["kind"]]


def parse(text: str, images: str = LOCAL_PREFIX) -> list[Object]:
    """The objects of a multi-document YAML.

    Args:
        text: the YAML.
        images: what stands before an image's name, in place of ``localhost``. Other images than the local ones are
            pulled where a node doesn't have them.
    """
    if images != LOCAL_PREFIX:
        text = text.replace(f"{LOCAL_PREFIX}/", f"{images}/")
        text = text.replace("imagePullPolicy: Never", "imagePullPolicy: IfNotPresent")
    return [obj for obj in yaml.load_all(text, Loader=_Loader) if obj]


def read_folder(folder: Path, images: str = LOCAL_PREFIX) -> list[Object]:
    """The objects of every YAML file in a folder, in the order of the files' names."""
    return [obj for path in sorted(folder.glob("*.yaml")) for obj in parse(path.read_text(), images)]


def named(objects: Iterable[Object], kind: str, name: str) -> Object:
    """The object of this kind and name.

    Raises:
        KeyError: there is none.
    """
    for obj in objects:
        if obj["kind"] == kind and obj["metadata"]["name"] == name:
            return obj
    raise KeyError(f"{kind}/{name}")
