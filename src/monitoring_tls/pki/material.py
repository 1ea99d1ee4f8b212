"""A trust domain's Secret with its private keys: read, kept for the length of one write, and rendered."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from monitoring_tls.errors import KeyMismatchError, PkiError
from monitoring_tls.model import annotations as names
from monitoring_tls.model.certificate import CertificateFacts, DerivedSpec, Rotation, Stage, TrustDomain
from monitoring_tls.pki.facts import bundle_pem, parse_certificates
from monitoring_tls.pki.keys import PrivateKey, parse_private_key
from monitoring_tls.pki.state import (
    CA_CERTIFICATE,
    CA_KEY,
    CROSS_CERTIFICATE,
    PREVIOUS_CERTIFICATE,
    PREVIOUS_KEY,
    format_rotation,
    format_time,
    parse_rotation,
    parse_time,
)


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf as it is served: the chain file, leaf first, and its key."""

    chain: tuple[CertificateFacts, ...]
    key: PrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class PreviousCA:
    """The CA that a rotation replaces. Without its key (None where it is lost) it is still trusted, but can't issue."""

    certificate: CertificateFacts
    key: PrivateKey | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Material:
    """The content of a trust domain's Secret.

    Attributes:
        bundle: ``ca.crt``: what peers trust; the CA whose key is ``ca_key`` first.
        leaves: by name; one that is missing, garbled or doesn't match its key isn't here.
        previous: during a rotation: the CA that is being replaced.
        cross: during a cross-signed rotation: the new CA as certified by the previous one.
        last_reason: the last requested rotation that was acted on.
        trust_since: since when the first CA of the bundle has been that.
        leaf_since: since when the leaves have been what they are.
        retired_at: when a CA last left the bundle; None where none ever did.
    """

    bundle: tuple[CertificateFacts, ...]
    ca_key: PrivateKey = field(repr=False)
    leaves: Mapping[str, Leaf]
    trust_since: datetime
    leaf_since: datetime
    previous: PreviousCA | None = None
    cross: CertificateFacts | None = None
    rotation: Rotation | None = None
    last_reason: str | None = None
    retired_at: datetime | None = None

    @property
    def stage(self) -> Stage:
        """Where a rotation stands; `Stage.STABLE` without one."""
        return self.rotation.stage if self.rotation else Stage.STABLE


def parse(data: Mapping[str, bytes], annotations: Mapping[str, str], domain: TrustDomain) -> Material:
    """Read a domain's Secret, ours or one that CMO made.

    Leaves, the previous CA and the cross-signed certificate are left out where they can't be used: whether to make them
    again is the planner's to say. Nothing can be done without the CA and its key.

    Args:
        data: the Secret's data, decoded from base64.
        annotations: the Secret's.
        domain: as in the catalogue: which leaves to look for.

    Raises:
        PkiError: ``ca.crt`` or ``ca.key`` is missing, garbled, or not of one pair; names the Secret and the key in it.
    """
    where = f"Secret/{domain.name} -n {domain.namespace}"
    entry = CA_CERTIFICATE
    try:
        bundle = parse_certificates(data.get(CA_CERTIFICATE, b""))
        entry = CA_KEY
        ca_key = parse_private_key(data.get(CA_KEY, b""))
        if ca_key.spki != bundle[0].spki:
            raise KeyMismatchError(f"is not the key of the first certificate in {CA_CERTIFICATE}")
    except PkiError as error:
        raise type(error)(error.problem, where, entry) from None
    leaves = {spec.name: leaf for spec in domain.leaves if (leaf := _leaf(data, spec.name))}
    previous, cross = _certificates(data, PREVIOUS_CERTIFICATE), _certificates(data, CROSS_CERTIFICATE)
    certificates = {CA_CERTIFICATE: bundle, PREVIOUS_CERTIFICATE: previous, CROSS_CERTIFICATE: cross}
    certificates |= {f"{name}.crt": leaf.chain for name, leaf in leaves.items()}
    newest = max((leaf.chain[0].not_before for leaf in leaves.values()), default=bundle[0].not_before)
    return Material(
        bundle=bundle,
        ca_key=ca_key,
        leaves=leaves,
        trust_since=parse_time(annotations.get(names.TRUST_SINCE)) or bundle[0].not_before,
        leaf_since=parse_time(annotations.get(names.LEAF_SINCE)) or newest,
        previous=PreviousCA(previous[0], _key_of(data, PREVIOUS_KEY, previous[0])) if previous else None,
        cross=cross[0] if cross else None,
        rotation=parse_rotation(annotations, certificates),
        last_reason=annotations.get(names.ROTATED_FOR),
        retired_at=parse_time(annotations.get(names.RETIRED_AT)),
    )


def salvage(data: Mapping[str, bytes], now: datetime) -> tuple[CertificateFacts, ...]:
    """The CAs of a Secret that `parse` refuses which peers can still be trusting: readable and not expired."""
    readable = _certificates(data, CA_CERTIFICATE)
    return tuple(certificate for certificate in readable if certificate.is_ca and certificate.not_after >= now)


def render(material: Material, domain: TrustDomain) -> tuple[dict[str, bytes], dict[str, str]]:
    """The data and annotations of the domain's Secret: all of them, what is absent is to be removed.

    Returns:
        The data (with private keys), not in base64, and the annotations.
    """
    data = {CA_CERTIFICATE: bundle_pem(material.bundle), CA_KEY: material.ca_key.pem()}
    for spec in domain.leaves:
        if leaf := material.leaves.get(spec.name):
            data |= _files(leaf, f"{spec.name}.crt", f"{spec.name}.key")
    if material.previous:
        data[PREVIOUS_CERTIFICATE] = material.previous.certificate.pem
        if material.previous.key:
            data[PREVIOUS_KEY] = material.previous.key.pem()
    if material.cross:
        data[CROSS_CERTIFICATE] = material.cross.pem
    annotations = _since(material)
    if material.rotation:
        annotations[names.ROTATION] = format_rotation(material.rotation)
    if material.last_reason is not None:
        annotations[names.ROTATED_FOR] = material.last_reason
    if material.retired_at is not None:
        annotations[names.RETIRED_AT] = format_time(material.retired_at)
    return data, annotations


def derived_data(material: Material, spec: DerivedSpec, domain: TrustDomain) -> tuple[dict[str, bytes], dict[str, str]]:
    """The data and annotations of a derived Secret: the bundle and one leaf.

    Raises:
        PkiError: the domain's Secret has no such leaf.
    """
    leaf = material.leaves.get(spec.leaf)
    if leaf is None:
        problem = f"no usable leaf {spec.leaf!r} for Secret/{spec.name} -n {spec.namespace}"
        raise PkiError(problem, f"Secret/{domain.name} -n {domain.namespace}")
    data = {CA_CERTIFICATE: bundle_pem(material.bundle)}
    return data | _files(leaf, spec.certificate_key, spec.private_key_key), _since(material)


def _files(leaf: Leaf, certificate_key: str, private_key_key: str) -> dict[str, bytes]:
    return {certificate_key: bundle_pem(leaf.chain), private_key_key: leaf.key.pem()}


def _since(material: Material) -> dict[str, str]:
    return {
        names.TRUST_SINCE: format_time(material.trust_since),
        names.LEAF_SINCE: format_time(material.leaf_since),
    }


def _certificates(data: Mapping[str, bytes], entry: str) -> tuple[CertificateFacts, ...]:
    try:
        return parse_certificates(data.get(entry, b""))
    except PkiError:
        return ()


def _key_of(data: Mapping[str, bytes], entry: str, certificate: CertificateFacts) -> PrivateKey | None:
    try:
        key = parse_private_key(data.get(entry, b""))
    except PkiError:
        return None
    return key if key.spki == certificate.spki else None


def _leaf(data: Mapping[str, bytes], name: str) -> Leaf | None:
    chain = _certificates(data, f"{name}.crt")
    key = _key_of(data, f"{name}.key", chain[0]) if chain else None
    return Leaf(chain, key) if key else None
