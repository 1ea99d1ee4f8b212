"""The operator obeys itself: its own port's certificate and profile, followed by every replica without a restart."""

import asyncio
from collections.abc import Callable
from datetime import datetime

import structlog

from monitoring_tls.errors import ConfigError, KubeError, PkiError
from monitoring_tls.kube.client import KubeClient
from monitoring_tls.kube.reflector import Reflector
from monitoring_tls.kube.resources import SECRETS
from monitoring_tls.kube.selection import Selection
from monitoring_tls.model.certificate import SecretView
from monitoring_tls.model.profile import EffectiveProfile
from monitoring_tls.operator.endpoint import Endpoint
from monitoring_tls.operator.keyring import decode
from monitoring_tls.operator.wishes import OWN_LEAF, OWN_SECRET, Place, own_domain
from monitoring_tls.pki.domain import create
from monitoring_tls.pki.facts import bundle_pem
from monitoring_tls.pki.keys import Entropy
from monitoring_tls.pki.secret_view import secret_view

log = structlog.get_logger()


class OwnPort:
    """Keeps the endpoint's certificate equal to the Secret's.

    Until there is a Secret (in mode Audit none is made), a certificate that lives in memory only is served.
    """

    def __init__(
        self, client: KubeClient, endpoint: Endpoint, place: Place, entropy: Entropy, clock: Callable[[], datetime]
    ) -> None:
        self._client = client
        self._endpoint = endpoint
        self._place = place
        self._changed = asyncio.Event()
        self._served: str | None = None
        material = create(own_domain(place), clock(), entropy)
        leaf = material.leaves[OWN_LEAF]
        endpoint.serve_certificate(bundle_pem(leaf.chain), leaf.key.pem())
        self._reflector: Reflector[SecretView] = Reflector(
            client,
            SECRETS,
            lambda obj: secret_view(obj, ""),
            selection=Selection(namespace=place.namespace, field_selector=f"metadata.name={OWN_SECRET}"),
            on_change=lambda *_: self._changed.set(),
        )

    def follow(self, profile: EffectiveProfile) -> None:
        """Take over the profile, from the next connection on."""
        self._endpoint.follow(profile)

    async def run(self) -> None:
        """Follow the Secret until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._reflector.run())
            while True:
                await self._changed.wait()
                self._changed.clear()
                await self._load()

    async def _load(self) -> None:
        view = self._reflector.objects.get((self._place.namespace, OWN_SECRET))
        chain = view.certificates.get(f"{OWN_LEAF}.crt", ()) if view else ()
        if not chain or chain[0].fingerprint == self._served:
            return
        try:
            secret = await self._client.get(SECRETS, self._place.namespace, OWN_SECRET)
            data = decode(secret)
            self._endpoint.serve_certificate(data.get(f"{OWN_LEAF}.crt", b""), data.get(f"{OWN_LEAF}.key", b""))
        except (KubeError, PkiError, ConfigError) as error:
            log.warning("own certificate can't be read, the one before stays", error=str(error))
            return
        self._served = chain[0].fingerprint
        log.info("own port serves the certificate of its secret", fingerprint=self._served[:16])
