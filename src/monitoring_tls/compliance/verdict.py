"""Whether an endpoint does what it should, judged by what handshakes showed.

What was not seen is unknown: neither passed, nor a reason to act.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from monitoring_tls.model.profile import EffectiveProfile, TLSVersion
from monitoring_tls.model.snapshot import Evidence, Outcome


class Result(StrEnum):
    """How a verdict came out."""

    PASS = "Pass"  # noqa: S105 - a verdict, not a password
    FAIL = "Fail"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A result and the sentence that goes with it."""

    result: Result
    message: str


def follows_profile(evidence: Evidence, profile: EffectiveProfile) -> Verdict:
    """Whether the endpoint keeps to the profile: nothing below the minimum, no other suites, and not stricter either.

    Stricter than the profile fails too: a client that the profile admits would be turned away.
    """
    if (unseen := _unseen(evidence)) is not None:
        return unseen
    if (violation := next(_violations(evidence, profile), None)) is not None:
        return Verdict(Result.FAIL, violation)
    if (gap := next(_gaps(evidence, profile), None)) is not None:
        return Verdict(Result.UNKNOWN, gap)
    return Verdict(Result.PASS, f"follows the profile {profile.name}")


def serves(evidence: Evidence, leaf: str) -> Verdict:
    """Whether the endpoint serves the leaf with this fingerprint."""
    if (unseen := _unseen(evidence)) is not None:
        return unseen
    if evidence.leaf is None:
        return Verdict(Result.UNKNOWN, "no certificate was seen")
    if evidence.leaf == leaf:
        return Verdict(Result.PASS, "serves the certificate that its Secret holds")
    return Verdict(Result.FAIL, f"serves the certificate {evidence.leaf[:16]}…, not {leaf[:16]}…")


def trusts(evidence: Evidence, ca: str) -> Verdict:
    """Whether the endpoint accepts client certificates of the CA with this fingerprint."""
    if ca in evidence.trusts:
        return Verdict(Result.PASS, "accepts client certificates of the CA")
    if (unseen := _unseen(evidence)) is not None:
        return unseen
    if ca in evidence.refuses:
        return Verdict(Result.FAIL, f"refuses client certificates of the CA {ca[:16]}…")
    return Verdict(Result.UNKNOWN, "no client certificate of the CA was tried")


def _violations(evidence: Evidence, profile: EffectiveProfile) -> Iterator[str]:
    minimum = profile.min_version
    if too_old := [version for version in _below(minimum) if version in evidence.accepted_versions]:
        yield f"accepts {_names(too_old)}, below the profile's minimum {minimum.value}"
    if evidence.refused_ciphers is False:
        yield f"accepts cipher suites that are not in the profile {profile.name}"
    if minimum in evidence.refused_versions:
        yield f"refuses {minimum.value}, which the profile {profile.name} allows"


def _gaps(evidence: Evidence, profile: EffectiveProfile) -> Iterator[str]:
    if untried := [version for version in _below(profile.min_version) if version not in evidence.refused_versions]:
        yield f"whether {_names(untried)} is refused was not seen"
    if profile.ciphers and evidence.refused_ciphers is None:
        yield "whether cipher suites outside the profile are refused was not seen"
    if not evidence.accepted_versions:
        yield "no handshake that the profile allows was seen to succeed"


def _below(minimum: TLSVersion) -> list[TLSVersion]:
    return [version for version in TLSVersion if version.rank < minimum.rank]


def _unseen(evidence: Evidence) -> Verdict | None:
    if evidence.outcome is not Outcome.UNREACHABLE:
        return None
    return Verdict(Result.UNKNOWN, f"could not be reached: {evidence.detail or 'no answer'}")


def _names(versions: list[TLSVersion]) -> str:
    return ", ".join(version.value for version in versions)
