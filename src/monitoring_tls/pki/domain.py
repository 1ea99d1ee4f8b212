"""The life of a trust domain, step by step. Each step is new `Material`, for one update of the domain's Secret.

```
          create                begin_cross_signed                     retire
(nothing) ------> bundle [A]  ----------------------> bundle [B, A]  ----------> bundle [B]
                  leaf(A)       leaf(B) + B-signed-by-A                leaf(B)
                     |                                    ^
                     |          bundle [B, A]             | issue_leaves
                     +--------> leaf(A)  -----------------+ (chain: leaf(B) alone)
                 begin_both_trusted
```

After each step, whatever holds the material of before can talk to whatever holds that of after. `retire` keeps this up
only once everyone trusts B and serves leaf(B), which is for the caller to prove first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from monitoring_tls.errors import PkiError
from monitoring_tls.model.action import DomainStep, WriteDomain
from monitoring_tls.model.certificate import (
    CertificateFacts,
    IssuingPolicy,
    KeyAlgorithm,
    LeafSpec,
    LeafUsage,
    Rotation,
    Stage,
    TrustDomain,
)
from monitoring_tls.pki.issue import cross_sign, issue_ca, issue_leaf
from monitoring_tls.pki.keys import Entropy, PrivateKey
from monitoring_tls.pki.material import Leaf, Material, PreviousCA, derived_data, parse, render, salvage
from monitoring_tls.pki.state import rotation_id
from monitoring_tls.pki.verify import verifies

__all__ = [
    "PROBE_NAME",
    "Leaf",
    "Material",
    "PreviousCA",
    "apply",
    "begin_both_trusted",
    "begin_cross_signed",
    "create",
    "derived_data",
    "issue_leaves",
    "parse",
    "probe_identity",
    "render",
    "renew_leaves",
    "retire",
    "salvage",
]

PROBE_NAME = "monitoring-tls-probe"
"""Common name and alternative name of the certificate that the operator's probes show."""

_PROBE_SPEC = LeafSpec(PROBE_NAME, LeafUsage.CLIENT, PROBE_NAME, (PROBE_NAME,))
_PROBE_POLICY = IssuingPolicy(KeyAlgorithm.ECDSA_P256, timedelta(hours=1))


def create(
    domain: TrustDomain,
    now: datetime,
    entropy: Entropy,
    reason: str = "",
    keep_trusted: tuple[CertificateFacts, ...] = (),
) -> Material:
    """A new CA and all leaves, where there is nothing to go on from.

    Args:
        domain: what to make.
        now: the moment of issue.
        entropy: for keys and serial numbers.
        reason: the requested rotation that this satisfies, if any.
        keep_trusted: CAs that running peers still have leaves of; they stay in the bundle behind the new one.
    """
    ca, ca_key = _new_ca(domain, now, entropy)
    bundle = (ca, *(old for old in keep_trusted if old.fingerprint != ca.fingerprint))
    issued = _issue(domain, [spec.name for spec in domain.leaves], (ca, ca_key), None, now, entropy)
    moment = _seconds(now)
    return Material(bundle, ca_key, issued, trust_since=moment, leaf_since=moment, last_reason=reason or None)


def renew_leaves(
    material: Material, domain: TrustDomain, names: tuple[str, ...], now: datetime, entropy: Entropy
) -> Material:
    """New keys and certificates for some leaves, from the CA whose leaves everybody accepts at this stage.

    Raises:
        PkiError: that CA can't issue them: its key is lost, or what it signs would not verify.
    """
    if material.stage is Stage.INTRODUCED:
        if material.previous is None or material.previous.key is None:
            raise PkiError("the previous CA's key is lost, so it cannot renew a leaf")
        issuer, key = material.previous.certificate, material.previous.key
    else:
        issuer, key = material.bundle[0], material.ca_key
    issued = _issue(domain, names, (issuer, key), material.cross, now, entropy)
    return replace(material, leaves={**material.leaves, **issued}, leaf_since=_seconds(now))


def begin_cross_signed(
    material: Material, domain: TrustDomain, reason: str, now: datetime, entropy: Entropy
) -> Material:
    """Bring in a new CA, certified by the old one too, with all leaves from it: one restart of each peer will do.

    Raises:
        PkiError: a rotation is going on, or a peer that only trusts the old CA could not verify the new leaves (see
            `cross_signing_obstacles`, which says why).
    """
    ca, ca_key, old = _succeed(material, domain, now, entropy)
    cross = cross_sign(ca, old.certificate, material.ca_key, entropy.serial())
    issued = _issue(domain, [spec.name for spec in domain.leaves], (ca, ca_key), cross, now, entropy)
    for name, leaf in issued.items():
        _must_verify(domain.leaf_spec(name), leaf, old.certificate, now)
    moment = _seconds(now)
    return replace(
        material,
        bundle=(ca, *material.bundle),
        ca_key=ca_key,
        leaves=issued,
        trust_since=moment,
        leaf_since=moment,
        previous=old,
        cross=cross,
        rotation=Rotation(rotation_id(ca), reason, Stage.ROLLING, moment),
    )


def begin_both_trusted(
    material: Material, domain: TrustDomain, reason: str, now: datetime, entropy: Entropy
) -> Material:
    """Let everybody trust a new CA before anything is issued from it: the longer way, first half.

    Raises:
        PkiError: a rotation is going on.
    """
    ca, ca_key, old = _succeed(material, domain, now, entropy)
    moment = _seconds(now)
    return replace(
        material,
        bundle=(ca, *material.bundle),
        ca_key=ca_key,
        trust_since=moment,
        previous=old,
        cross=None,
        rotation=Rotation(rotation_id(ca), reason, Stage.INTRODUCED, moment),
    )


def issue_leaves(material: Material, domain: TrustDomain, now: datetime, entropy: Entropy) -> Material:
    """All leaves from the new CA, which everybody has come to trust: the longer way, second half.

    Raises:
        PkiError: no rotation is at the stage before this one.
    """
    if material.rotation is None or material.stage is not Stage.INTRODUCED:
        raise PkiError(f"leaves of a new CA follow stage {Stage.INTRODUCED}, not {material.stage}")
    names = [spec.name for spec in domain.leaves]
    issued = _issue(domain, names, (material.bundle[0], material.ca_key), None, now, entropy)
    rotation = replace(material.rotation, stage=Stage.ROLLING)
    return replace(material, leaves=issued, leaf_since=_seconds(now), rotation=rotation)


def retire(material: Material, domain: TrustDomain, now: datetime) -> Material:
    """Only the first CA of the bundle stays trusted; leaves stay, without the cross-signed certificate behind them.

    Raises:
        PkiError: leaves of the new CA have not been issued yet, or one of them does not verify by it alone.
    """
    if material.stage is Stage.INTRODUCED:
        raise PkiError("leaves of the new CA have not been issued yet: the old one cannot go")
    crossed = material.cross.fingerprint if material.cross else None
    leaves = {
        name: replace(leaf, chain=tuple(link for link in leaf.chain if link.fingerprint != crossed))
        for name, leaf in material.leaves.items()
    }
    for name, leaf in leaves.items():
        _must_verify(domain.leaf_spec(name), leaf, material.bundle[0], now)
    # A rotation that was due by itself has no reason; the last one that was asked for stays acted on.
    reason = material.rotation.reason if material.rotation else ""
    return replace(
        material,
        bundle=material.bundle[:1],
        leaves=leaves,
        previous=None,
        cross=None,
        rotation=None,
        last_reason=reason or material.last_reason,
        retired_at=_seconds(now),
    )


def apply(
    material: Material | None,
    domain: TrustDomain,
    action: WriteDomain,
    now: datetime,
    entropy: Entropy,
    keep_trusted: tuple[CertificateFacts, ...] = (),
) -> Material:
    """What a planned write makes of a domain's Secret.

    Args:
        material: the Secret as it is now; None where it is absent or `parse` refuses it.
        domain: as in the catalogue.
        action: the plan.
        now: the moment of issue.
        entropy: for keys and serial numbers.
        keep_trusted: for `DomainStep.CREATE`: see `create` and `salvage`.

    Raises:
        PkiError: the step can't be made from this material.
    """
    if action.step is DomainStep.CREATE:
        return create(domain, now, entropy, action.reason, keep_trusted)
    if material is None:
        raise PkiError(f"step {action.step} needs a CA with its key", f"Secret/{domain.name} -n {domain.namespace}")
    match action.step:
        case DomainStep.RENEW_LEAVES:
            after = renew_leaves(material, domain, action.leaves, now, entropy)
        case DomainStep.BEGIN_CROSS_SIGNED:
            after = begin_cross_signed(material, domain, action.reason, now, entropy)
        case DomainStep.BEGIN_BOTH_TRUSTED:
            after = begin_both_trusted(material, domain, action.reason, now, entropy)
        case DomainStep.ISSUE:
            after = issue_leaves(material, domain, now, entropy)
        case DomainStep.RETIRE:
            after = retire(material, domain, now)
    return after


def probe_identity(material: Material, now: datetime, entropy: Entropy) -> tuple[bytes, PrivateKey]:
    """A client certificate for an hour, that only those accept who trust the first CA of the bundle.

    It comes without the cross-signed certificate: a server that has only the old CA in memory refuses it.

    Returns:
        The certificate in PEM and its key, neither of which is written anywhere.
    """
    key = entropy.key(_PROBE_POLICY.key_algorithm)
    ca = material.bundle[0]
    leaf = issue_leaf(_PROBE_SPEC, _PROBE_POLICY, ca, material.ca_key, key, now, entropy.serial())
    return leaf.pem, key


def _new_ca(domain: TrustDomain, now: datetime, entropy: Entropy) -> tuple[CertificateFacts, PrivateKey]:
    key = entropy.key(domain.signer.key_algorithm)
    return issue_ca(domain.domain, domain.signer, key, now, entropy.serial()), key


def _succeed(
    material: Material, domain: TrustDomain, now: datetime, entropy: Entropy
) -> tuple[CertificateFacts, PrivateKey, PreviousCA]:
    """A new CA with its key, and the CA it takes over from."""
    if material.rotation is not None:
        raise PkiError(f"rotation {material.rotation.id} is going on: it ends before another begins")
    ca, ca_key = _new_ca(domain, now, entropy)
    return ca, ca_key, PreviousCA(material.bundle[0], material.ca_key)


def _issue(
    domain: TrustDomain,
    names: Sequence[str],
    issuer: tuple[CertificateFacts, PrivateKey],
    cross: CertificateFacts | None,
    now: datetime,
    entropy: Entropy,
) -> Mapping[str, Leaf]:
    """New leaves, each looked at as a peer would before it can be written anywhere."""
    ca, ca_key = issuer
    issued = {}
    for name in names:
        spec = domain.leaf_spec(name)
        key = entropy.key(domain.leaf.key_algorithm)
        leaf = issue_leaf(spec, domain.leaf, ca, ca_key, key, now, entropy.serial())
        issued[name] = Leaf((leaf, cross) if cross else (leaf,), key)
        _must_verify(spec, issued[name], ca, now)
    return issued


def _must_verify(spec: LeafSpec, leaf: Leaf, root: CertificateFacts, now: datetime) -> None:
    name = spec.dns_names[0] if spec.usage is LeafUsage.SERVER and spec.dns_names else None
    if not verifies(leaf.chain, (root,), spec.usage, name, now):
        raise PkiError(f"leaf {spec.name!r} would not verify by CA {root.subject!r}: nothing was changed")


def _seconds(now: datetime) -> datetime:
    return now.astimezone(UTC).replace(microsecond=0)
