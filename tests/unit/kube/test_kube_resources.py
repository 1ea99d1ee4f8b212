import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring_tls.kube import resources
from monitoring_tls.kube.resources import APISERVERS, MONITORINGTLSES, PROMETHEUSES, SECRETS, Resource

ALL = [value for value in vars(resources).values() if isinstance(value, Resource)]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (SECRETS.path(), "/api/v1/secrets"),
        (SECRETS.path("a"), "/api/v1/namespaces/a/secrets"),
        (SECRETS.path("a", "b"), "/api/v1/namespaces/a/secrets/b"),
        (APISERVERS.path(None, "cluster"), "/apis/config.openshift.io/v1/apiservers/cluster"),
        (
            PROMETHEUSES.path("openshift-monitoring", "k8s", "status"),
            "/apis/monitoring.coreos.com/v1/namespaces/openshift-monitoring/prometheuses/k8s/status",
        ),
        (
            MONITORINGTLSES.path(None, "cluster", "status"),
            "/apis/monitoring-tls.dev/v1alpha1/monitoringtlses/cluster/status",
        ),
    ],
)
def test_paths(path: str, expected: str) -> None:
    assert path == expected


def test_api_version() -> None:
    assert SECRETS.api_version == "v1"
    assert PROMETHEUSES.api_version == "monitoring.coreos.com/v1"


@pytest.mark.parametrize(
    ("resource", "namespace", "name", "subresource"),
    [
        (APISERVERS, "a", "cluster", None),
        (SECRETS, None, "b", None),
        (SECRETS, "a", None, "status"),
        (SECRETS, "a", "", None),
        (SECRETS, "", None, None),
        (APISERVERS, None, "", None),
    ],
)
def test_what_names_nothing_is_refused(
    resource: Resource, namespace: str | None, name: str | None, subresource: str | None
) -> None:
    with pytest.raises(ValueError, match=resource.plural):
        resource.path(namespace, name, subresource)


@given(st.text(min_size=1), st.text(min_size=1))
def test_no_name_leaves_its_place_in_the_path(namespace: str, name: str) -> None:
    assert len(SECRETS.path(namespace, name).split("/")) == len(SECRETS.path("a", "b").split("/"))


def test_no_two_kinds_share_a_path() -> None:
    assert len({resource.path() for resource in ALL}) == len(ALL) > 15
