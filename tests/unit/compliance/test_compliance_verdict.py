"""Verdicts from evidence: what was not seen is never passed."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from monitoring_tls.compliance.verdict import Result, follows_profile, serves, trusts
from monitoring_tls.model.profile import EffectiveProfile, TLSVersion
from monitoring_tls.model.snapshot import Evidence, Outcome
from monitoring_tls.profile.resolve import resolve

NOW = datetime(2026, 11, 24, tzinfo=UTC)
V10, V11, V12, V13 = TLSVersion
CLEAN = Evidence(
    Outcome.SERVES,
    NOW,
    NOW,
    1,
    leaf="aa",
    trusts=frozenset({"ca"}),
    refuses=frozenset({"other"}),
    accepted_versions=frozenset({V12, V13}),
    refused_versions=frozenset({V10, V11}),
    refused_ciphers=True,
)


def profile(name: str) -> EffectiveProfile:
    result = resolve({"type": name})
    assert isinstance(result, EffectiveProfile)
    return result


@pytest.mark.parametrize(
    ("changes", "result", "said"),
    [
        ({}, Result.PASS, "follows the profile Intermediate"),
        ({"accepted_versions": frozenset({V11, V12})}, Result.FAIL, "accepts VersionTLS11, below"),
        ({"refused_ciphers": False}, Result.FAIL, "accepts cipher suites that are not in the profile"),
        ({"refused_versions": frozenset({V10, V11, V12})}, Result.FAIL, "refuses VersionTLS12, which"),
        ({"refused_versions": frozenset({V11})}, Result.UNKNOWN, "whether VersionTLS10 is refused"),
        ({"refused_ciphers": None}, Result.UNKNOWN, "cipher suites outside the profile"),
        ({"accepted_versions": frozenset()}, Result.UNKNOWN, "no handshake"),
        ({"outcome": Outcome.UNREACHABLE, "detail": "timed out"}, Result.UNKNOWN, "could not be reached: timed out"),
        ({"outcome": Outcome.SERVES_OTHER}, Result.PASS, "follows"),
    ],
)
def test_intermediate(changes: dict[str, object], result: Result, said: str) -> None:
    verdict = follows_profile(replace(CLEAN, **changes), profile("Intermediate"))  # type: ignore[arg-type] # by name
    assert verdict.result is result
    assert said in verdict.message


def test_modern_needs_no_suites_to_be_tried_and_old_nothing_below() -> None:
    modern = replace(
        CLEAN, accepted_versions=frozenset({V13}), refused_versions=frozenset({V10, V11, V12}), refused_ciphers=None
    )
    assert follows_profile(modern, profile("Modern")).result is Result.PASS
    assert follows_profile(replace(CLEAN, refused_ciphers=None), profile("Modern")).result is Result.FAIL
    old = replace(CLEAN, accepted_versions=frozenset({V10, V13}), refused_versions=frozenset())
    assert follows_profile(old, profile("Old")).result is Result.PASS
    assert follows_profile(CLEAN, profile("Old")).result is Result.FAIL


def test_a_violation_counts_even_where_something_else_was_not_seen() -> None:
    evidence = replace(CLEAN, refused_versions=frozenset(), refused_ciphers=False)
    assert follows_profile(evidence, profile("Intermediate")).result is Result.FAIL


def test_serves() -> None:
    assert serves(CLEAN, "aa").result is Result.PASS
    assert serves(CLEAN, "bb").result is Result.FAIL
    assert serves(replace(CLEAN, leaf=None), "aa").result is Result.UNKNOWN
    assert serves(replace(CLEAN, outcome=Outcome.UNREACHABLE), "aa").result is Result.UNKNOWN


def test_trusts() -> None:
    assert trusts(CLEAN, "ca").result is Result.PASS
    assert trusts(CLEAN, "other").result is Result.FAIL
    assert trusts(CLEAN, "third").result is Result.UNKNOWN
    assert trusts(replace(CLEAN, outcome=Outcome.UNREACHABLE), "other").result is Result.UNKNOWN
