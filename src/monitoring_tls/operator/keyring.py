"""Reads a trust domain's Secret when its private keys are needed, and forgets them again."""

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitoring_tls.errors import ConflictError, NotFoundError, PkiError
from monitoring_tls.kube.client import KubeClient
from monitoring_tls.kube.resources import SECRETS, Object
from monitoring_tls.model.certificate import CertificateFacts, TrustDomain
from monitoring_tls.pki.domain import Material, parse, probe_identity, salvage
from monitoring_tls.pki.keys import Entropy
from monitoring_tls.probe.context import ClientIdentity

# Probe certificates live an hour; one is made anew while it is still good for a while.
_IDENTITY_LASTS = timedelta(minutes=45)


@dataclass(frozen=True, slots=True)
class Opened:
    """A domain's Secret as it is now, with its keys.

    Attributes:
        material: None where the CA or its key can't be used.
        trusted: CAs that peers may still trust although `material` is None.
    """

    resource_version: str
    material: Material | None
    trusted: tuple[CertificateFacts, ...]


@dataclass(frozen=True, slots=True)
class ProbeIdentity:
    """A short-lived client certificate of the CA with this fingerprint."""

    ca: str
    identity: ClientIdentity
    made: datetime


class Keyring:
    """Opens domains' Secrets, and keeps of them only the probes' short-lived client certificates."""

    def __init__(self, client: KubeClient, entropy: Entropy) -> None:
        self._client = client
        self._entropy = entropy
        self._identities: dict[str, ProbeIdentity] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def open(self, domain: TrustDomain, now: datetime, expected_version: str | None = None) -> Opened:
        """Read the Secret.

        Args:
            domain: whose.
            now: tells which CAs of a broken Secret are still worth trusting.
            expected_version: the resourceVersion that a plan was made for.

        Raises:
            ConflictError: it is no longer that version: plan again.
            KubeError: it can't be read.
        """
        secret = await self._client.get(SECRETS, domain.namespace, domain.name)
        version = secret["metadata"]["resourceVersion"]
        if expected_version is not None and version != expected_version:
            raise ConflictError(409, "Conflict", "it changed since it was looked at", "GET", _path(domain))
        data = decode(secret)
        annotations = secret["metadata"].get("annotations") or {}
        try:
            return Opened(version, parse(data, annotations, domain), ())
        except PkiError:
            return Opened(version, None, salvage(data, now))

    def remember_probe_identity(self, domain: TrustDomain, material: Material, now: datetime) -> None:
        """Make the domain's probe certificate, while its CA's key is at hand anyway."""
        chain, key = probe_identity(material, now, self._entropy)
        made = ProbeIdentity(material.bundle[0].fingerprint, ClientIdentity(chain, key.pem()), now)
        self._identities[domain.domain] = made

    async def probe_identity(self, domain: TrustDomain, ca: str, now: datetime) -> ClientIdentity | None:
        """A client certificate of the CA ``ca``; None where that is not (or no longer) the domain's first CA."""
        async with self._locks.setdefault(domain.domain, asyncio.Lock()):
            known = self._identities.get(domain.domain)
            if known is None or known.ca != ca or now > known.made + _IDENTITY_LASTS:
                try:
                    opened = await self.open(domain, now)
                except NotFoundError:
                    return None
                if opened.material is None:
                    return None
                self.remember_probe_identity(domain, opened.material, now)
                known = self._identities[domain.domain]
        return known.identity if known.ca == ca else None


def decode(secret: Object) -> Mapping[str, bytes]:
    """A Secret's data; entries that aren't base64 are left out (the API server takes none such)."""
    return {key: base64.b64decode(value) for key, value in (secret.get("data") or {}).items()}


def _path(domain: TrustDomain) -> str:
    return SECRETS.path(domain.namespace, domain.name)
