import base64
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from monitoring_tls.pki.domain import create, render
from monitoring_tls.pki.secret_view import secret_view
from tests.pki_support import NOW, PooledEntropy, domain, secrets_of

OWN = "monitoring-tls-operator"
MATERIAL = create(domain(), NOW, PooledEntropy())
DATA, ANNOTATIONS = render(MATERIAL, domain())


def _secret(**data: str) -> dict[str, Any]:
    encoded = {entry: base64.b64encode(content).decode() for entry, content in DATA.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "namespace": "openshift-monitoring",
            "name": "grpc-tls",
            "uid": "u-1",
            "resourceVersion": "42",
            "creationTimestamp": "2026-03-01T12:00:00Z",
            "annotations": {**ANNOTATIONS, "kubectl.kubernetes.io/last-applied-configuration": "secret text"},
            "labels": {"monitoring.openshift.io/name": "grpc-tls-base", "other": "x"},
            "managedFields": [
                {"manager": OWN, "fieldsV1": {"f:data": {"f:ca.crt": {}}, "f:metadata": {}}},
                {"manager": "kubectl-edit", "fieldsV1": {"f:data": {"f:ca.crt": {}}}},
                {"manager": "labeller", "fieldsV1": {"f:metadata": {}}},
            ],
        },
        "data": {**encoded, **data},
    }


def test_what_is_kept() -> None:
    view = secret_view(_secret(**{"notes.txt": "c2VjcmV0"}), OWN)
    assert (view.namespace, view.name, view.uid, view.resource_version) == (
        "openshift-monitoring",
        "grpc-tls",
        "u-1",
        "42",
    )
    assert view.created == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert view.certificates["ca.crt"] == MATERIAL.bundle
    assert view.keys["ca.key"] == MATERIAL.ca_key.spki
    for name, leaf in MATERIAL.leaves.items():
        assert view.certificates[f"{name}.crt"] == leaf.chain
        assert view.keys[f"{name}.key"] == leaf.key.spki
    assert set(view.certificates) | set(view.keys) == set(DATA)
    assert view.garbled == {}
    assert view.annotations == ANNOTATIONS
    assert view.hashed_from == "grpc-tls-base"
    assert view.managers == ("kubectl-edit",)


def test_no_key_is_kept() -> None:
    shown = repr(secret_view(_secret(), OWN))
    keys = [MATERIAL.ca_key, *(leaf.key for leaf in MATERIAL.leaves.values())]
    assert not any(secret in shown for secret in secrets_of(*keys))
    assert "secret text" not in shown


def test_what_cannot_be_read_is_named_without_its_content() -> None:
    garbled = {
        "a.crt": "%%%not base64%%%",
        "b.key": base64.b64encode(b"hidden words").decode(),
        "c.crt": base64.b64encode(b"hidden words").decode(),
        "d.key": "",
    }
    view = secret_view(_secret(**garbled), OWN)
    assert set(view.garbled) == set(garbled)
    assert view.garbled["a.crt"] == "is not base64"
    assert "hidden" not in repr(view)
    assert "ca.crt" in view.certificates


def test_an_empty_object_is_tolerated() -> None:
    view = secret_view({}, OWN)
    assert (view.name, view.certificates, view.keys, view.garbled, view.managers) == ("", {}, {}, {}, ())
    assert view.hashed_from is None


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
_ENTRIES = st.text().map(lambda text: text + ".crt") | st.text().map(lambda text: text + ".key") | st.text()


@given(metadata=_JSON, data=_JSON)
def test_any_json_is_tolerated(metadata: object, data: object) -> None:
    secret_view({"metadata": metadata, "data": data}, OWN)


@given(
    fields=_JSON,
    annotations=_JSON,
    labels=_JSON,
    data=st.dictionaries(_ENTRIES, st.binary().map(lambda raw: base64.b64encode(raw).decode()) | _JSON),
)
def test_any_content_is_tolerated(fields: object, annotations: object, labels: object, data: dict[str, object]) -> None:
    metadata = {"managedFields": fields, "annotations": annotations, "labels": labels}
    view = secret_view({"metadata": metadata, "data": data}, OWN)
    wanted = {entry for entry in data if entry.endswith((".crt", ".key"))}
    assert set(view.garbled) == wanted
