"""Whether a peer would accept a chain: as Go's crypto/tls judges it, by `cryptography`'s verifier.

Every program of a monitoring stack that verifies these certificates is written in Go, so the WebPKI rules that
`cryptography` has by default (subject alternative names on every leaf, authority key identifiers, criticality of
extensions) are set aside and Go's (crypto/x509, ``Certificate.Verify``) put in their place. What remains different is
on the strict side, so that a chain accepted here is one that Go accepts:

- keys: only RSA of at least 2048 bits and ECDSA on P-256, P-384 and P-521 are accepted; Go also takes RSA from 1024
  bits, P-224 and Ed25519;
- certificates of X.509 version 1, and serial numbers of 0 or of more than 20 octets, are refused.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from monitoring_tls.model.certificate import CertificateFacts, KeyAlgorithm, LeafUsage
from monitoring_tls.pki.facts import certificate_of

EKU_OIDS = {
    LeafUsage.SERVER: ExtendedKeyUsageOID.SERVER_AUTH.dotted_string,
    LeafUsage.CLIENT: ExtendedKeyUsageOID.CLIENT_AUTH.dotted_string,
}
ANY_EKU = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE.dotted_string

_MIN_RSA_BITS = 2048

_MAX_DEPTH = 8
"""Chains here have two or three certificates."""


def permits(extended_key_usages: frozenset[str] | None, usage: LeafUsage) -> bool:
    """Whether an extendedKeyUsage extension, or its absence, lets a certificate stand in a chain for ``usage``.

    Go, like most, applies it to CAs as well as to leaves (crypto/x509, ``checkChainForKeyUsage``).
    """
    return extended_key_usages is None or not extended_key_usages.isdisjoint({EKU_OIDS[usage], ANY_EKU})


def verifiable_key(known: CertificateFacts) -> bool:
    """Whether signatures by this certificate's key are accepted here: see this module for the types."""
    kind, _, size = known.key_algorithm.partition("-")
    if kind == "RSA":
        return int(size) >= _MIN_RSA_BITS
    return known.key_algorithm in {KeyAlgorithm.ECDSA_P256, KeyAlgorithm.ECDSA_P384, KeyAlgorithm.ECDSA_P521}


def verifies(
    chain: Sequence[CertificateFacts],
    roots: Sequence[CertificateFacts],
    usage: LeafUsage,
    name: str | None,
    at: datetime,
) -> bool:
    """Whether ``chain`` (leaf first, then whatever is sent with it) leads to one of ``roots``.

    Args:
        chain: as served in a handshake.
        roots: what the peer trusts; each is a trust anchor, self-signed or not, as in Go.
        usage: what the leaf is shown for.
        name: the DNS name that a client expects of a server; None where the peer does not compare one.
        at: the moment of the handshake.
    """
    if not chain or not roots:
        return False
    leaf, *others = (certificate_of(certificate) for certificate in chain)
    builder = (
        PolicyBuilder()
        .store(Store([certificate_of(root) for root in roots]))
        .time(at)
        .max_chain_depth(_MAX_DEPTH)
        .extension_policies(ca_policy=_ca_policy(usage), ee_policy=_leaf_policy(usage, named=name is not None))
    )
    try:
        if name is None:
            builder.build_client_verifier().verify(leaf, others)
        else:
            builder.build_server_verifier(x509.DNSName(name)).verify(leaf, others)
    except VerificationError:
        return False
    return True


def _ca_policy(usage: LeafUsage) -> ExtensionPolicy:
    return (
        ExtensionPolicy.permit_all()
        # That it says CA is looked at by the library itself, whatever the policy.
        .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
        .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _signs_certificates)
        .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _permits(usage))
    )


def _leaf_policy(usage: LeafUsage, *, named: bool) -> ExtensionPolicy:
    policy = ExtensionPolicy.permit_all().may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _permits(usage))
    # Without a name to compare, a leaf may do without alternative names, as CMO's client certificate does.
    return policy.require_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None) if named else policy


def _signs_certificates(_policy: Policy, _certificate: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("keyUsage without keyCertSign")


def _permits(
    usage: LeafUsage,
) -> Callable[[Policy, x509.Certificate, x509.ExtendedKeyUsage | None], None]:
    def check(_policy: Policy, _certificate: x509.Certificate, extended: x509.ExtendedKeyUsage | None) -> None:
        usages = None if extended is None else frozenset(oid.dotted_string for oid in extended)
        if not permits(usages, usage):
            raise ValueError("extendedKeyUsage does not permit this use")

    return check
