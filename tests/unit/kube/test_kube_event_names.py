from hypothesis import given
from hypothesis import strategies as st

from monitoring_tls.kube.events import (
    Happening,
    ObjectReference,
    configmap_created,
    configmap_updated,
    event_name,
    secret_created,
    secret_updated,
)

ABOUT = ObjectReference("apps/v1", "Deployment", "monitoring-tls", "monitoring-tls-operator", "uid")


def test_the_wording_is_openshifts() -> None:
    assert secret_updated("openshift-monitoring", "grpc-tls") == Happening(
        "SecretUpdated", "Updated Secret/grpc-tls -n openshift-monitoring because it changed"
    )
    assert secret_created("openshift-user-workload-monitoring", "prometheus-user-workload-grpc-tls") == Happening(
        "SecretCreated",
        "Created Secret/prometheus-user-workload-grpc-tls -n openshift-user-workload-monitoring because it was missing",
    )
    assert configmap_created("a", "metrics-client-ca") == Happening(
        "ConfigMapCreated", "Created ConfigMap/metrics-client-ca -n a because it was missing"
    )
    assert configmap_updated("a", "metrics-client-ca") == Happening(
        "ConfigMapUpdated", "Updated ConfigMap/metrics-client-ca -n a because it changed"
    )


def test_the_name_follows_from_object_reason_and_message() -> None:
    name = event_name(ABOUT, secret_created("a", "b"))
    assert name == event_name(ABOUT, secret_created("a", "b"))
    assert name != event_name(ABOUT, secret_created("a", "c"))
    assert name.startswith("monitoring-tls-operator.")


@given(st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=253))
def test_the_name_fits_whatever_the_objects_name(name: str) -> None:
    about = ObjectReference("apps/v1", "Deployment", "a", name)
    assert len(event_name(about, secret_created("a", "b"))) <= 253
