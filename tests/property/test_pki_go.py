"""The same questions put to real peers: Go's crypto/tls, and OpenSSL."""

import itertools
import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from monitoring_tls.model.certificate import LeafUsage
from monitoring_tls.pki.checks import cross_signing_obstacles
from monitoring_tls.pki.domain import Material, renew_leaves
from monitoring_tls.pki.facts import bundle_pem
from monitoring_tls.pki.issue import cross_sign, issue_ca, issue_leaf
from monitoring_tls.pki.material import Leaf
from tests.pki_pods import LATER, Pod, can_talk, way
from tests.pki_support import (
    BROKEN,
    CLIENT,
    NOW,
    SERVER,
    SERVER_NAME,
    WORKING,
    Adopted,
    PooledEntropy,
    adopted_material,
    domain,
)

CROSSABLE = tuple(
    kind for kind, ca in WORKING.items() if not cross_signing_obstacles(adopted_material(ca).bundle[0], NOW, NOW)
)


@dataclass(frozen=True)
class Answer:
    """Whether a conversation came about, and if not, what both sides said."""

    ok: bool
    problem: str


Ask = Callable[[Sequence[tuple[Pod, Pod]]], list[Answer]]


@pytest.fixture(scope="session")
def go_peer(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """Puts pairs of pods, (client, server), to a real Go program."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("Go is not on PATH: peers are OpenSSL only")
    program = tmp_path_factory.mktemp("gopeer") / "gopeer"
    built = subprocess.run(
        [go, "build", "-o", str(program), "."],
        cwd=Path(__file__).parent / "gopeer",
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr

    def ask(pairs: Sequence[tuple[Pod, Pod]]) -> list[Answer]:
        peers: list[Pod] = []
        numbers: dict[int, int] = {}
        for pod in itertools.chain.from_iterable(pairs):
            if id(pod) not in numbers:
                numbers[id(pod)] = len(peers)
                peers.append(pod)
        question = {
            "now": int((NOW + LATER).timestamp()),
            "serverName": SERVER_NAME,
            "peers": [
                {
                    "roots": bundle_pem(pod.trusts.bundle).decode(),
                    "client": _identity(pod.serves.leaves[CLIENT.name]),
                    "server": _identity(pod.serves.leaves[SERVER.name]),
                }
                for pod in peers
            ],
            "pairs": [[numbers[id(client)], numbers[id(server)]] for client, server in pairs],
        }
        answered = subprocess.run(
            [program], input=json.dumps(question), capture_output=True, text=True, check=False, timeout=300
        )
        assert answered.returncode == 0, answered.stderr
        return [Answer(entry["ok"], entry.get("problem", "")) for entry in json.loads(answered.stdout)]

    return ask


def _identity(leaf: Leaf) -> dict[str, str]:
    return {"chain": bundle_pem(leaf.chain).decode(), "key": leaf.key.pem().decode()}


def _every_pair(phase: tuple[Material, ...]) -> list[tuple[Pod, Pod]]:
    pods = [Pod(*states) for states in itertools.product(phase, repeat=2)]
    return [(client, server) for client in pods for server in pods]


def _all_talk(ask: Ask, pairs: list[tuple[Pod, Pod]]) -> None:
    problems = {answer.problem for answer in ask(pairs) if not answer.ok}
    assert not problems


@pytest.mark.parametrize("kind", CROSSABLE)
def test_cross_signed_go_talks_in_every_mix(go_peer: Ask, kind: str) -> None:
    for phase in way(kind, longer=False).phases:
        _all_talk(go_peer, _every_pair(phase))


@pytest.mark.parametrize("kind", sorted(set(WORKING) - set(CROSSABLE)))
def test_longer_way_go_talks_in_every_mix(go_peer: Ask, kind: str) -> None:
    for phase in way(kind, longer=True).phases:
        _all_talk(go_peer, _every_pair(phase))


def test_control_go_refuses_old_with_finished_new(go_peer: Ask) -> None:
    stages = way("plain", longer=False).stages
    old, new = (Pod(stage[0], stage[0]) for stage in (stages[0], stages[-1]))
    answers = go_peer([(old, old), (new, new), (old, new), (new, old)])
    assert [answer.ok for answer in answers] == [True, True, False, False]
    assert all("unknown authority" in answer.problem for answer in answers[2:])


def _crossed_by_force(old: Material) -> tuple[Material, Material]:
    """The states of before and after, were the new CA cross-signed whatever stands against it."""
    entropy, wanted = PooledEntropy(), domain()
    ca_key = entropy.key(wanted.signer.key_algorithm)
    ca = issue_ca("grpc", wanted.signer, ca_key, NOW, entropy.serial())
    cross = cross_sign(ca, old.bundle[0], old.ca_key, entropy.serial())
    leaves = {}
    for spec in wanted.leaves:
        key = entropy.key(wanted.leaf.key_algorithm)
        leaf = issue_leaf(spec, wanted.leaf, ca, ca_key, key, NOW, entropy.serial())
        leaves[spec.name] = Leaf((leaf, cross), key)
    return old, replace(old, bundle=(ca, *old.bundle), leaves=leaves)


def _limits() -> dict[str, Adopted]:
    # An expired CA signs nothing at all; it is met by the unit tests.
    return {kind: ca for kind, ca in {**WORKING, **BROKEN}.items() if kind != "expired"}


@pytest.mark.parametrize("kind", sorted(_limits()))
def test_obstacles_are_what_go_says(go_peer: Ask, kind: str) -> None:
    old, new = _crossed_by_force(adopted_material(_limits()[kind]))
    obstacles = cross_signing_obstacles(old.bundle[0], NOW, NOW + LATER)
    client_of_new, server_of_new = Pod(new, new), Pod(new, new)
    trusts_old = Pod(new, old)
    pairs = [(client_of_new, trusts_old), (trusts_old, server_of_new)]
    answers = go_peer(pairs)
    verified = all(answer.ok for answer in answers)
    assert verified == all(can_talk(*pair) for pair in pairs), answers
    if not obstacles:
        assert verified, answers
    elif verified:
        # Name constraints that happen to allow all our names: an obstacle by prudence, not by need.
        assert obstacles == ("it has name constraints",)
        assert kind in {"constrained to all our names", "a foreign name excluded"}


@pytest.mark.parametrize("kind", sorted(_limits()))
def test_the_verifier_agrees_with_go_on_adopted_leaves(go_peer: Ask, kind: str) -> None:
    old = adopted_material(_limits()[kind])
    pod = Pod(old, old)
    (answer,) = go_peer([(pod, pod)])
    assert answer.ok == can_talk(pod, pod) == (kind in WORKING), answer


@pytest.mark.parametrize("kind", sorted(WORKING))
def test_leaves_renewed_by_an_adopted_ca_are_accepted_by_go(go_peer: Ask, kind: str) -> None:
    old = adopted_material(WORKING[kind])
    renewed = renew_leaves(old, domain(), (CLIENT.name, SERVER.name), NOW, PooledEntropy())
    assert renewed.leaves != old.leaves
    _all_talk(go_peer, _every_pair((old, renewed)))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="OpenSSL is not on PATH")
@pytest.mark.parametrize("usage", list(LeafUsage))
def test_openssl_verifies_the_cross_signed_chain_by_either_ca(tmp_path: Path, usage: LeafUsage) -> None:
    before, crossed, finished = (stage[0] for stage in way("plain", longer=False).stages)
    spec = SERVER if usage is LeafUsage.SERVER else CLIENT
    leaf, cross = crossed.leaves[spec.name].chain

    def verified(roots: Material, *, crossing: bool) -> bool:
        files = {"roots": bundle_pem(roots.bundle), "leaf": leaf.pem, "cross": cross.pem}
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
        command = ["openssl", "verify", "-x509_strict", "-attime", str(int(NOW.timestamp())), "-purpose"]
        command += [f"ssl{usage}", "-verify_hostname", spec.dns_names[0], "-CAfile", "roots"]
        command += ["-untrusted", "cross"] if crossing else []
        return subprocess.run([*command, "leaf"], cwd=tmp_path, capture_output=True, check=False).returncode == 0

    assert verified(before, crossing=True)
    assert verified(crossed, crossing=True)
    assert verified(finished, crossing=False)
    assert not verified(before, crossing=False)
