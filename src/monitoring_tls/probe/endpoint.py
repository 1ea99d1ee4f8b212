"""Looking at one port of one pod with as few handshakes as its facts need."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from monitoring_tls.model.profile import EffectiveProfile, TLSVersion
from monitoring_tls.model.snapshot import Evidence, Outcome
from monitoring_tls.probe.context import ClientIdentity, can_offer, suites_outside
from monitoring_tls.probe.handshake import Handshake, Reach, handshake

_GRACE: Final = 0.5
"""Seconds that a server has for its first words, where those decide whether it accepts a client."""

_NO_COMMON_SUITE: Final = frozenset({"handshake_failure", "insufficient_security"})


@dataclass(frozen=True, slots=True)
class ProbeTarget:
    """A port to look at, and what it is looked at for.

    Attributes:
        server_name: sent as SNI.
        leaf: fingerprint of the leaf that it should serve; None where its certificate is not ours.
        identity: a client certificate to show, where the endpoint must require one.
        ca: the fingerprint of the CA that issued it.
        profile: the profile that it should follow; None where that is not asked.
        timeout: seconds per handshake.
    """

    pod_uid: str
    pod: str
    address: str
    port: int
    endpoint: str
    server_name: str | None = None
    leaf: str | None = None
    identity: ClientIdentity | None = field(default=None, repr=False)
    ca: str | None = None
    profile: EffectiveProfile | None = None
    timeout: float = 5.0

    @property
    def key(self) -> tuple[str, str]:
        """Where its evidence is kept (see `Snapshot.evidence`)."""
        return (self.pod_uid, self.endpoint)


@dataclass(slots=True)
class _Seen:
    """What the handshakes with one endpoint add up to."""

    trusts: set[str] = field(default_factory=set)
    refuses: set[str] = field(default_factory=set)
    accepted: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    refused_ciphers: bool | None = None
    notes: list[str] = field(default_factory=list)


async def examine(target: ProbeTarget, now: datetime) -> Evidence:
    """Look at the endpoint: its certificate, whom it lets in, and what it refuses.

    One plain handshake; one without a certificate where one must be required, as a server that asks for none would
    "accept" anything; and up to three for a profile: below its minimum, at its minimum, with other suites.
    """
    plain = await _shake(target, grace=_GRACE if target.identity else 0.0)
    if plain.leaf is None:
        return Evidence(Outcome.UNREACHABLE, now, now, 1, detail=plain.detail)
    seen = _Seen()
    if plain.version is not None:
        seen.accepted.add(plain.version)
    if target.identity is not None and target.ca is not None:
        await _trust(target, target.ca, plain, seen)
    if target.profile is not None:
        await _versions(target, target.profile, seen)
        await _suites(target, target.profile, seen)
    serves = target.leaf is None or plain.leaf == target.leaf
    return Evidence(
        Outcome.SERVES if serves else Outcome.SERVES_OTHER,
        now,
        now,
        1,
        leaf=plain.leaf,
        trusts=frozenset(seen.trusts),
        refuses=frozenset(seen.refuses),
        accepted_versions=frozenset(seen.accepted),
        refused_versions=frozenset(seen.refused),
        refused_ciphers=seen.refused_ciphers,
        detail="; ".join(note for note in (plain.detail, *seen.notes) if note),
    )


def follow_up(previous: Evidence | None, fresh: Evidence) -> Evidence:
    """The fresh evidence, counted on from the previous where both show the same."""
    if previous is None:
        return fresh
    counted = replace(fresh, since=previous.since, seen=previous.seen + 1)
    same = replace(previous, at=fresh.at, seen=counted.seen, detail=fresh.detail) == counted
    return counted if same else fresh


async def _shake(
    target: ProbeTarget,
    *,
    anonymous: bool = False,
    grace: float = 0.0,
    min_version: TLSVersion | None = None,
    max_version: TLSVersion | None = None,
    ciphers: tuple[str, ...] | None = None,
) -> Handshake:
    return await handshake(
        target.address,
        target.port,
        server_name=target.server_name,
        identity=None if anonymous else target.identity,
        min_version=min_version,
        max_version=max_version,
        ciphers=ciphers,
        timeout=target.timeout,
        grace=grace,
    )


async def _trust(target: ProbeTarget, ca: str, plain: Handshake, seen: _Seen) -> None:
    if plain.accepted is False:
        seen.refuses.add(ca)
        return
    if plain.accepted is None:
        return
    stranger = await _shake(target, anonymous=True, grace=_GRACE)
    if stranger.accepted is False or stranger.reach is Reach.REFUSED:
        seen.trusts.add(ca)
    elif stranger.accepted:
        seen.notes.append("requires no client certificate")
    else:
        seen.notes.append(f"whether a client certificate is required was not seen: {stranger.detail}")


async def _versions(target: ProbeTarget, profile: EffectiveProfile, seen: _Seen) -> None:
    below = [v for v in TLSVersion if v.rank < profile.min_version.rank and can_offer(v)]
    if below:
        tried = await _shake(target, min_version=below[0], max_version=below[-1])
        if tried.version is not None:
            seen.accepted.add(tried.version)
        elif tried.reach is Reach.REFUSED:
            seen.refused.update(below)
        else:
            seen.notes.append(f"below {profile.min_version.value}: {tried.detail}")
    if profile.min_version in seen.accepted or not can_offer(profile.min_version):
        return
    tried = await _shake(target, min_version=profile.min_version, max_version=profile.min_version)
    if tried.version is not None:
        seen.accepted.add(tried.version)
    elif tried.reach is Reach.REFUSED and tried.alert == "protocol_version":
        seen.refused.add(profile.min_version)
    else:
        seen.notes.append(f"at {profile.min_version.value}: {tried.detail}")


async def _suites(target: ProbeTarget, profile: EffectiveProfile, seen: _Seen) -> None:
    if not profile.ciphers:
        return
    others = suites_outside(frozenset((*profile.ciphers, *profile.dropped)))
    tried = await _shake(target, max_version=TLSVersion.TLS12, ciphers=others)
    if tried.version is not None:
        seen.refused_ciphers = False
        seen.notes.append(f"chose {tried.cipher or 'a cipher suite'} from outside the profile")
    elif tried.reach is Reach.REFUSED and tried.alert in _NO_COMMON_SUITE:
        seen.refused_ciphers = True
    else:
        seen.notes.append(f"with other cipher suites: {tried.detail}")
