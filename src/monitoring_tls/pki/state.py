"""The annotations of a domain's Secret -> where its rotation stands, and back."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from monitoring_tls.model import annotations as names
from monitoring_tls.model.certificate import CertificateFacts, Rotation, Stage

CA_CERTIFICATE = "ca.crt"
CA_KEY = "ca.key"
PREVIOUS_CERTIFICATE = "previous-ca.crt"
PREVIOUS_KEY = "previous-ca.key"
CROSS_CERTIFICATE = "cross-ca.crt"

_ID_LENGTH = 12


def format_time(moment: datetime) -> str:
    """RFC 3339, UTC, whole seconds."""
    return moment.astimezone(UTC).replace(microsecond=0).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str | None) -> datetime | None:
    """Read RFC 3339; None where there is none, or where it can't be read."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else None


def rotation_id(new_ca: CertificateFacts) -> str:
    """A rotation is named by the CA that it brings in."""
    return new_ca.fingerprint[:_ID_LENGTH]


def format_rotation(rotation: Rotation) -> str:
    """The value of the annotation ``monitoring-tls.dev/rotation``."""
    return json.dumps(
        {
            "id": rotation.id,
            "reason": rotation.reason,
            "stage": rotation.stage.value,
            "started": format_time(rotation.started),
        },
        separators=(",", ":"),
    )


def parse_rotation(
    annotations: Mapping[str, str], certificates: Mapping[str, tuple[CertificateFacts, ...]]
) -> Rotation | None:
    """Where a rotation stands; None where none is going on.

    A previous CA in the Secret is a rotation, whatever became of the annotation: where that is lost or garbled, the
    stage follows from whether the new CA has been cross-signed, or has issued any leaf.

    Args:
        annotations: of the domain's Secret.
        certificates: of the domain's Secret, by data key, as in `SecretView.certificates`.
    """
    stated = _stated(annotations.get(names.ROTATION))
    bundle = certificates.get(CA_CERTIFICATE, ())
    if stated is not None or not bundle or not certificates.get(PREVIOUS_CERTIFICATE):
        return stated
    new = bundle[0]
    issued = any(
        chain and chain[0].issuer == new.subject for key, chain in certificates.items() if key != CA_CERTIFICATE
    )
    rolling = issued or bool(certificates.get(CROSS_CERTIFICATE))
    stage = Stage.ROLLING if rolling else Stage.INTRODUCED
    return Rotation(id=rotation_id(new), reason="", stage=stage, started=new.not_before)


def _stated(text: str | None) -> Rotation | None:
    try:
        value = json.loads(text or "")
        started = parse_time(value["started"])
        if started is None:
            return None
        return Rotation(id=str(value["id"]), reason=str(value["reason"]), stage=Stage(value["stage"]), started=started)
    except (ValueError, KeyError, TypeError):
        return None
