"""A Secret as the API gives it -> what may be remembered of it."""

import base64
import binascii
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from monitoring_tls.errors import PkiError
from monitoring_tls.model.annotations import PREFIX
from monitoring_tls.model.certificate import CertificateFacts, SecretView
from monitoring_tls.pki.facts import parse_certificates
from monitoring_tls.pki.keys import parse_private_key
from monitoring_tls.pki.state import parse_time

HASHED_FROM_LABEL = "monitoring.openshift.io/name"
"""Label of CMO's hashed copies: the name without the hash (cluster-monitoring-operator, pkg/manifests)."""

_NEVER = datetime.fromtimestamp(0, UTC)


def secret_view(secret: Mapping[str, Any], own_manager: str) -> SecretView:
    """Forget everything of a Secret but certificates, digests of keys and this project's annotations.

    Whatever can't be read is named in `SecretView.garbled`, without any of its content: nothing is raised.

    Args:
        secret: the object, as JSON.
        own_manager: our field manager, which is left out of `SecretView.managers`: those are others.
    """
    metadata = _mapping(secret.get("metadata"))
    certificates: dict[str, tuple[CertificateFacts, ...]] = {}
    keys: dict[str, str] = {}
    garbled: dict[str, str] = {}
    for entry, encoded in sorted(_mapping(secret.get("data")).items()):
        if not entry.endswith((".crt", ".key")):
            continue
        try:
            content = base64.b64decode(encoded, validate=True)
            if entry.endswith(".crt"):
                certificates[entry] = parse_certificates(content)
            else:
                keys[entry] = parse_private_key(content).spki
        except PkiError as error:
            garbled[entry] = error.problem
        except (binascii.Error, TypeError, ValueError):
            garbled[entry] = "is not base64"
    annotations = _mapping(metadata.get("annotations"))
    hashed_from = _mapping(metadata.get("labels")).get(HASHED_FROM_LABEL)
    return SecretView(
        namespace=str(metadata.get("namespace", "")),
        name=str(metadata.get("name", "")),
        uid=str(metadata.get("uid", "")),
        resource_version=str(metadata.get("resourceVersion", "")),
        created=parse_time(str(metadata.get("creationTimestamp"))) or _NEVER,
        certificates=certificates,
        keys=keys,
        garbled=garbled,
        annotations={name: str(value) for name, value in annotations.items() if name.startswith(PREFIX)},
        hashed_from=None if hashed_from is None else str(hashed_from),
        managers=tuple(sorted(set(_data_managers(metadata.get("managedFields"))) - {own_manager})),
        written_at=written_at(metadata, own_manager),
    )


def written_at(metadata: Mapping[str, Any], manager: str) -> datetime | None:
    """When a field manager last changed an object (any kind's metadata); None where it never did."""
    entries = metadata.get("managedFields")
    moments = (
        parse_time(str(_mapping(entry).get("time")))
        for entry in (entries if isinstance(entries, list) else [])
        if _mapping(entry).get("manager") == manager
    )
    return max((moment for moment in moments if moment is not None), default=None)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _data_managers(managed_fields: object) -> Iterator[str]:
    """Who has set anything under ``data`` (Kubernetes documentation, "Server-Side Apply": FieldsV1)."""
    for entry in managed_fields if isinstance(managed_fields, list) else []:
        fields = _mapping(_mapping(entry).get("fieldsV1"))
        if "f:data" in fields or "f:stringData" in fields:
            yield str(entry.get("manager", ""))
