"""The minimal definition of APIServer on a real API server: what it takes, refuses and leaves alone."""

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from devcluster.client import ApiClient, ApiError, wait_until
from devcluster.controlplane import ControlPlane
from monitoring_tls.model.profile import EffectiveProfile
from monitoring_tls.profile.resolve import resolve

pytestmark = pytest.mark.integration

DEFINITION = Path(__file__).parents[3] / "deploy" / "crds" / "apiservers.config.openshift.io.yaml"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
APISERVERS = "/apis/config.openshift.io/v1/apiservers"

Create = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.fixture
def create(control_plane: ControlPlane) -> Create:
    """Create an APIServer object with this spec; returns it as the API server has it."""
    client = ApiClient(control_plane.kubeconfig)
    definition = yaml.safe_load(DEFINITION.read_text())
    try:
        client.post(DEFINITIONS, definition)
    except ApiError as error:
        # Another test of this worker was here before.
        if error.status != 409:
            raise

    def established() -> bool:
        found = client.get(f"{DEFINITIONS}/{definition['metadata']['name']}")
        # The list is null until the first condition is known.
        conditions = {entry["type"]: entry["status"] for entry in found.get("status", {}).get("conditions") or []}
        assert conditions.get("NonStructuralSchema") != "True", found["status"]
        return conditions.get("Established") == "True"

    wait_until(
        "the definition of APIServer",
        established,
        seconds=30,
        broken=control_plane.ended,
        remedy="see the server's log",
    )

    def creator(spec: dict[str, Any]) -> dict[str, Any]:
        name = f"test-{uuid.uuid4().hex[:8]}"
        kind = {"apiVersion": "config.openshift.io/v1", "kind": "APIServer", "metadata": {"name": name}}
        client.post(APISERVERS, {**kind, "spec": spec})
        return client.get(f"{APISERVERS}/{name}")

    return creator


def test_a_whole_openshift_object_survives(create: Create) -> None:
    spec = {
        "audit": {"profile": "Default", "customRules": [{"group": "system:authenticated", "profile": "None"}]},
        "clientCA": {"name": ""},
        "encryption": {"type": "aescbc"},
        "servingCerts": {"namedCertificates": [{"names": ["api.example.com"]}]},
        "tlsAdherence": "StrictAllComponents",
        "tlsSecurityProfile": {
            "type": "Custom",
            "custom": {
                "minTLSVersion": "VersionTLS12",
                "ciphers": ["ECDHE-ECDSA-AES128-GCM-SHA256", "not-a-cipher"],
                "groups": ["X25519"],
                "somethingNew": 1,
            },
        },
    }
    stored = create(spec)["spec"]
    assert stored == spec
    profile = resolve(stored["tlsSecurityProfile"])
    assert isinstance(profile, EffectiveProfile)
    assert profile.dropped == ("not-a-cipher",)


@pytest.mark.parametrize(
    "profile",
    [None, {}, {"type": "Old", "old": {}}, {"type": "Intermediate", "intermediate": None}, {"type": "Modern"}],
)
def test_every_form_of_a_built_in_profile_is_taken(create: Create, profile: dict[str, Any] | None) -> None:
    stored = create({"tlsSecurityProfile": profile})["spec"].get("tlsSecurityProfile")
    assert isinstance(resolve(stored), EffectiveProfile)


@pytest.mark.parametrize(
    ("profile", "field"),
    [
        ({"type": "modern"}, "spec.tlsSecurityProfile.type"),
        ({"type": "Custom", "custom": {"minTLSVersion": "1.2"}}, "spec.tlsSecurityProfile.custom.minTLSVersion"),
        ({"type": "Custom", "custom": {"ciphers": "A,B"}}, "spec.tlsSecurityProfile.custom.ciphers"),
    ],
)
def test_what_openshift_would_refuse_is_refused(create: Create, profile: dict[str, Any], field: str) -> None:
    with pytest.raises(ApiError) as refused:
        create({"tlsSecurityProfile": profile})
    assert refused.value.status == 422
    assert field in refused.value.body
