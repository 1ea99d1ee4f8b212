"""What a few handshakes add up to, against openssl and Python servers."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitoring_tls.compliance.verdict import Result, follows_profile, serves, trusts
from monitoring_tls.model.profile import EffectiveProfile
from monitoring_tls.model.snapshot import Outcome
from monitoring_tls.probe.endpoint import ProbeTarget, examine, follow_up
from monitoring_tls.profile.resolve import resolve
from tests.probe_support import HOST, Authority, Leaf, MutualTLSServer, free_port, server_context, settings_first

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def profile(name: str) -> EffectiveProfile:
    resolved = resolve({"type": name})
    assert isinstance(resolved, EffectiveProfile)
    return resolved


def target(port: int, **wanted: Any) -> ProbeTarget:
    return ProbeTarget("uid", "pod-0", HOST, port, "grpc", **wanted)


@pytest.mark.parametrize("asked", ["Old", "Intermediate", "Modern"])
@pytest.mark.parametrize("served", ["Old", "Intermediate", "Modern"])
async def test_a_server_follows_the_profile_that_it_has_and_no_other(
    asked: str, served: str, server_leaf: Leaf, tmp_path: Path, start: Callable[..., Any]
) -> None:
    certificate, key = server_leaf.write(tmp_path, "server")
    port = free_port()
    lowest = {"Old": [], "Intermediate": ["-no_tls1", "-no_tls1_1"], "Modern": ["-tls1_3"]}[served]
    # What Go cannot serve is part of the profile all the same, and no violation where another program serves it.
    has = (*profile(served).ciphers, *profile(served).dropped)
    suites = ":".join(has) or "ECDHE-ECDSA-AES128-GCM-SHA256"
    command = ["openssl", "s_server", "-accept", f"{HOST}:{port}", "-cert", str(certificate), "-key", str(key)]
    start([*command, *lowest, "-cipher", f"{suites}:@SECLEVEL=0"], port)
    evidence = await examine(target(port, leaf=server_leaf.fingerprint, profile=profile(asked)), NOW)
    assert evidence.outcome is Outcome.SERVES
    verdict = follows_profile(evidence, profile(asked))
    assert verdict.result is (Result.PASS if asked == served else Result.FAIL), (verdict, evidence)


async def test_a_suite_outside_the_profile_is_found(
    server_leaf: Leaf, tmp_path: Path, start: Callable[..., Any]
) -> None:
    certificate, key = server_leaf.write(tmp_path, "server")
    port = free_port()
    command = ["openssl", "s_server", "-accept", f"{HOST}:{port}", "-cert", str(certificate), "-key", str(key)]
    suites = [*profile("Intermediate").ciphers, "ECDHE-ECDSA-AES256-SHA384"]
    start([*command, "-no_tls1", "-no_tls1_1", "-cipher", ":".join(suites)], port)
    evidence = await examine(target(port, profile=profile("Intermediate")), NOW)
    assert evidence.refused_ciphers is False
    assert "ECDHE-ECDSA-AES256-SHA384" in evidence.detail
    assert follows_profile(evidence, profile("Intermediate")).result is Result.FAIL


async def test_trust_is_shown_by_an_accepted_certificate_where_one_is_required(
    server_leaf: Leaf, authority: Authority, stranger: Authority, tmp_path: Path
) -> None:
    with MutualTLSServer(server_context(server_leaf, tmp_path, authority)) as server:
        known = target(server.port, identity=authority.issue("client").identity, ca=authority.fingerprint)
        evidence = await examine(known, NOW)
        unknown = target(server.port, identity=stranger.issue("client").identity, ca=stranger.fingerprint)
        refusal = await examine(unknown, NOW)
    assert evidence.trusts == {authority.fingerprint}
    assert trusts(evidence, authority.fingerprint).result is Result.PASS
    assert refusal.refuses == {stranger.fingerprint}
    assert trusts(refusal, stranger.fingerprint).result is Result.FAIL


async def test_a_server_that_asks_for_no_certificate_proves_no_trust(
    serve: Any, server_leaf: Leaf, authority: Authority, tmp_path: Path
) -> None:
    port = await serve(settings_first, ssl=server_context(server_leaf, tmp_path))
    wanted = target(port, identity=authority.issue("client").identity, ca=authority.fingerprint)
    evidence = await examine(wanted, NOW)
    assert evidence.trusts == frozenset()
    assert "requires no client certificate" in evidence.detail
    assert trusts(evidence, authority.fingerprint).result is Result.UNKNOWN


async def test_another_leaf_is_reported_as_another(serve: Any, server_leaf: Leaf, tmp_path: Path) -> None:
    port = await serve(settings_first, ssl=server_context(server_leaf, tmp_path))
    evidence = await examine(target(port, leaf="00" * 32), NOW)
    assert evidence.outcome is Outcome.SERVES_OTHER
    assert serves(evidence, "00" * 32).result is Result.FAIL
    assert serves(evidence, server_leaf.fingerprint).result is Result.PASS


async def test_nobody_there_is_unknown_in_every_respect() -> None:
    evidence = await examine(target(free_port(), leaf="00", profile=profile("Modern")), NOW)
    assert evidence.outcome is Outcome.UNREACHABLE
    assert follows_profile(evidence, profile("Modern")).result is Result.UNKNOWN
    assert serves(evidence, "00").result is Result.UNKNOWN
    assert trusts(evidence, "00").result is Result.UNKNOWN


async def test_the_same_seen_again_is_counted(serve: Any, server_leaf: Leaf, tmp_path: Path) -> None:
    port = await serve(settings_first, ssl=server_context(server_leaf, tmp_path))
    first = follow_up(None, await examine(target(port, leaf="00"), NOW))
    second = follow_up(first, await examine(target(port, leaf="00"), NOW + timedelta(seconds=5)))
    assert (second.seen, second.since, second.at) == (2, NOW, NOW + timedelta(seconds=5))
    other = follow_up(second, await examine(target(port, leaf=server_leaf.fingerprint), NOW + timedelta(seconds=9)))
    assert (other.seen, other.since) == (1, NOW + timedelta(seconds=9))


async def test_a_target_does_not_show_its_identity(authority: Authority) -> None:
    shown = repr(target(1, identity=authority.issue("client").identity, ca="00"))
    assert "PRIVATE" not in shown
