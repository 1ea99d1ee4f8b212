"""The spec of MonitoringTLS/cluster: defaults, and errors that name object, field, value and remedy."""

from datetime import timedelta
from typing import Any

import pytest

from monitoring_tls.errors import SpecError
from monitoring_tls.model.certificate import KeyAlgorithm
from monitoring_tls.model.desired import Mode, RestartRules
from monitoring_tls.observe.spec import Wishes, parse_duration, parse_wishes


@pytest.mark.parametrize("spec", [None, {}, {"certificates": {}}, {"rotation": {"renewAt": None}}])
def test_without_a_word_nothing_is_changed(spec: Any) -> None:
    found = parse_wishes(spec)
    assert found == Wishes()
    assert found.mode is Mode.AUDIT
    assert (found.signer.duration, found.leaf.duration) == (timedelta(days=730), timedelta(days=90))
    assert found.renew_at == pytest.approx(2 / 3)


def test_everything_said() -> None:
    found = parse_wishes(
        {
            "mode": "Enforce",
            "catalogue": {"name": "kube-prometheus"},
            "certificates": {
                "grpc": {
                    "signer": {"keyAlgorithm": "RSA-4096", "duration": "8760h"},
                    "leaf": {"keyAlgorithm": "ECDSA-P384", "duration": "1h30m"},
                }
            },
            "rotation": {"renewAt": 50, "requested": "a leak"},
            "restart": {
                "policy": "Never",
                "progressDeadlineSeconds": 60,
                "secretPropagationSeconds": 5,
                "probeDeadlineSeconds": 30,
            },
        }
    )
    assert found.mode is Mode.ENFORCE
    assert found.catalogue == "kube-prometheus"
    assert (found.signer.key_algorithm, found.signer.duration) == (KeyAlgorithm.RSA_4096, timedelta(days=365))
    assert (found.leaf.key_algorithm, found.leaf.duration) == (KeyAlgorithm.ECDSA_P384, timedelta(minutes=90))
    assert found.renew_at == 0.5
    assert found.rotation_requested == "a leak"
    assert found.restart == RestartRules(
        automatic=False,
        progress_deadline=timedelta(seconds=60),
        propagation=timedelta(seconds=5),
        probe_deadline=timedelta(seconds=30),
    )


def grpc(part: str, **values: str) -> dict[str, Any]:
    return {"certificates": {"grpc": {part: values}}}


@pytest.mark.parametrize(
    ("spec", "field", "value", "remedy"),
    [
        ({"mode": "Force"}, "spec.mode", "Force", "use Enforce or Audit"),
        (
            grpc("signer", keyAlgorithm="DSA"),
            "spec.certificates.grpc.signer.keyAlgorithm",
            "DSA",
            "use one of ECDSA-P256",
        ),
        (grpc("leaf", duration="90d"), "spec.certificates.grpc.leaf.duration", "90d", "write a duration such as 2160h"),
        (grpc("leaf", duration="0h"), "spec.certificates.grpc.leaf.duration", "0h", "write a duration such as 2160h"),
        (
            grpc("leaf", duration="17520h"),
            "spec.certificates.grpc.leaf.duration",
            "17520h",
            "it must be shorter than the signer's",
        ),
        (
            grpc("signer", duration="1h"),
            "spec.certificates.grpc.leaf.duration",
            "2160h (the default)",
            "it must be shorter than the signer's",
        ),
    ],
)
def test_an_error_says_where_what_and_what_instead(spec: dict[str, Any], field: str, value: str, remedy: str) -> None:
    with pytest.raises(SpecError) as raised:
        parse_wishes(spec)
    error = raised.value
    assert (error.object, error.field, error.value) == ("MonitoringTLS/cluster", field, value)
    assert error.remedy.startswith(remedy)
    assert all(part in str(error) for part in (error.object, field, value, remedy))


@pytest.mark.parametrize(
    ("text", "seconds"), [("1h", 3600), ("1h30m", 5400), ("1.5h", 5400), ("90s", 90), ("500ms", 0.5), ("1m1s", 61)]
)
def test_durations_in_gos_notation(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "h", "1", "1d", "1h ", "-1h", "1h30", "one hour"])
def test_what_is_no_duration(text: str) -> None:
    assert parse_duration(text) is None
