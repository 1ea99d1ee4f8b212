"""One stack with one operator: each test begins at the fixed point, and leads back to it."""

import base64
import copy
import itertools
import uuid
from collections import Counter

import pytest

from demo.serving import PLATFORM, USER_WORKLOAD
from monitoring_tls.kube.resources import EVENTS, LEASES, SECRETS, Object
from monitoring_tls.model.annotations import RESTART
from monitoring_tls.model.profile import TLSVersion
from monitoring_tls.operator.keyring import decode
from monitoring_tls.pki.domain import parse, renew_leaves
from monitoring_tls.pki.keys import SystemEntropy
from monitoring_tls.pki.material import derived_data
from monitoring_tls.probe.handshake import Handshake, Reach, handshake
from tests.integration.operator.checks import DERIVED, Rotation, bundle, consistent, leaf, served
from tests.integration.operator.stack import PODS, WORKLOADS, World, now
from tests.leaks import search

_OWNED = WORKLOADS[:4]
_UPDATED = [("grpc-tls", PLATFORM), *((name, place) for name, (place, _, _) in DERIVED.items())]


def test_is_quiet(settled: World) -> None:
    def renewals() -> int:
        """Renewals of the Lease since anything else was asked for."""
        own = [r for r in reversed(settled.requests(begun)) if r.verb != "watch"]
        return sum(1 for _ in itertools.takewhile(lambda r: r.resource == LEASES.plural, own))

    begun = now()
    settled.until("the end of the last work", lambda: renewals() >= 3)
    quiet_since = now()
    settled.until("more renewals", lambda: renewals() >= 8)
    asked = settled.requests(quiet_since)
    assert [r for r in asked if r.verb != "watch" and (r.resource, r.verb) != (LEASES.plural, "update")] == []


def test_rotation_restarts_each_affected_pod_once(settled: World) -> None:
    world, events = settled, settled.events()
    rotation = Rotation(world)
    world.until("the end of the rotation", rotation.over)
    rotation.check()
    asked = world.work_requests(rotation.begun)
    seconds = (asked[-1].received - rotation.begun).total_seconds()
    print(f"a rotation made {len(asked)} requests, in {seconds:.1f} s")  # noqa: T201 - shown with pytest -rP
    assert len(asked) <= 60
    # Both times: CA with leaves, then its copies; between them each workload once. A write that was refused, as it was
    # planned a moment before the watch told of the last one, changed nothing.
    writes = [r for r in asked if r.verb in {"patch", "update", "create"} and not r.subresource and r.status < 300]
    assert sum(r.resource == SECRETS.plural for r in writes) == 10
    assert sum(r.resource not in {SECRETS.plural, EVENTS.plural} for r in writes) == len(_OWNED)
    told = Counter(f"SecretUpdated Updated Secret/{name} -n {place} because it changed" for name, place in _UPDATED * 2)
    world.until("both updates of every Secret in events", lambda: world.events() - events == told)


def test_a_slow_kubelet_costs_no_second_restart(settled: World) -> None:
    world = settled
    world.kubelet.refresh_delay = 4.0
    rotation = Rotation(world)
    world.until("the end of the rotation", rotation.over)
    rotation.check()


def test_pods_that_got_an_old_copy_are_found_by_handshakes(settled: World) -> None:
    world, kubelet = settled, settled.kubelet
    kubelet.refresh_delay, kubelet.old_copies = 3.0, True
    world.ask(restart={"secretPropagationSeconds": 4})
    rotation = Rotation(world)
    world.until("the end of the rotation", rotation.over)
    rotation.check_certificates()
    world.ask(restart={"secretPropagationSeconds": 1})


def test_the_same_reason_is_acted_on_once(settled: World) -> None:
    reason = settled.status()["rotation"].get("lastReason") or uuid.uuid4().hex
    settled.ask(rotation={"requested": reason})
    settled.until("the rotation for it", lambda: settled.rotated(reason))
    before = bundle(settled)
    settled.ask(rotation={"requested": reason, "renewAt": 66})
    settled.until("the new generation", settled.settled)
    assert bundle(settled) == before


def test_a_garbled_leaf_is_replaced_and_nobody_restarted(settled: World) -> None:
    world, old = settled, leaf(settled, "prometheus-server")
    started, generations, ca = len(world.kubelet.starts), world.generations(), bundle(world)
    world.patch(SECRETS, PLATFORM, "grpc-tls", {"data": {"prometheus-server.crt": base64.b64encode(b"x").decode()}})
    world.until("a new leaf", lambda: leaf(world, "prometheus-server") not in {old, ""})
    new = leaf(world, "prometheus-server")
    world.until("the proof", lambda: world.settled() and set(served(world)) == {new})
    assert consistent(world)
    assert (world.starts(started), world.generations(), bundle(world)) == ({}, generations, ca)
    assert world.kubelet.traffic.failures == []


def test_a_lost_derived_secret_is_made_again_and_nobody_restarted(settled: World) -> None:
    world, started, before = settled, len(settled.kubelet.starts), leaf(settled, "prometheus-server")
    message = f"SecretCreated Created Secret/thanos-ruler-grpc-tls -n {USER_WORKLOAD} because it was missing"
    told = world.events()[message]
    world.run(world.client.delete(SECRETS, USER_WORKLOAD, "thanos-ruler-grpc-tls"))
    world.until("the event", lambda: world.events()[message] == told + 1)
    world.until("the fixed point", world.settled)
    assert consistent(world)
    assert (world.starts(started), leaf(world, "prometheus-server")) == ({}, before)


def test_a_profile_is_followed_by_every_endpoint_and_restored(settled: World) -> None:
    world = settled
    fields, started = _fields(world), len(world.kubelet.starts)
    assert {shake.version for shake in _shakes(world, TLSVersion.TLS12)} == {TLSVersion.TLS12}
    world.ask_profile({"type": "Modern", "modern": {}})
    world.until("Modern", lambda: world.settled() and world.status()["profile"]["name"] == "Modern")
    assert {(shake.version, shake.alert) for shake in _shakes(world, TLSVersion.TLS12)} == {(None, "protocol_version")}
    assert {shake.reach for shake in _shakes(world, TLSVersion.TLS13)} == {Reach.CONNECTED}
    assert world.starts(started) == PODS
    world.ask_profile(None)
    world.until("Intermediate", lambda: world.settled() and world.status()["profile"]["name"] == "Intermediate")
    assert {shake.version for shake in _shakes(world, TLSVersion.TLS12)} == {TLSVersion.TLS12}
    assert _fields(world) == fields
    assert world.kubelet.traffic.failures == []


def test_audit_gives_back_what_was_found(settled: World) -> None:
    world = settled
    originals = {name: _comparable(copy.deepcopy(spec)) for name, spec in world.originals.items()}
    world.ask(mode="Audit")
    world.until("the specs that were applied", lambda: _fields(world) == originals)
    world.ask(mode="Enforce")
    world.until("the fixed point", lambda: world.settled() and _fields(world) != originals)
    assert world.kubelet.traffic.failures == []


def test_an_invalid_profile_changes_nothing(settled: World) -> None:
    world, generations = settled, settled.generations()
    custom = {"ciphers": ["NO-SUCH-SUITE"], "minTLSVersion": "VersionTLS12"}
    world.ask_profile({"type": "Custom", "custom": custom})
    world.until("ProfileValid=False", lambda: world.condition("ProfileValid")[0] == "False")
    assert (world.generations(), world.status()["profile"]["name"]) == (generations, "Intermediate")
    world.ask_profile(None)
    world.until("ProfileValid=True", lambda: world.condition("ProfileValid")[0] == "True")
    world.until("the fixed point", world.settled)
    assert world.generations() == generations


def test_a_contested_secret_is_left_alone_by_name(settled: World) -> None:
    world, name, started = settled, "thanos-ruler-grpc-tls", len(settled.kubelet.starts)
    domain = next(d for d in world.catalogue.domains if d.domain == "grpc")
    spec = next(s for s in domain.derived if s.name == name)
    grpc = world.secret("grpc-tls")
    material = parse(decode(grpc), grpc["metadata"].get("annotations") or {}, domain)
    # Another leaf of the same CA: somebody else's idea of the content, with which everybody can talk.
    theirs, _ = derived_data(renew_leaves(material, domain, (spec.leaf,), now(), SystemEntropy()), spec, domain)
    patch = {"data": {key: base64.b64encode(value).decode() for key, value in theirs.items()}}

    def differs() -> bool:
        return bool(world.secret(name, USER_WORKLOAD)["data"] == patch["data"])

    def contested() -> bool:
        return world.condition("Degraded") == ("True", "Contested")

    # At the latest the fourth time; other tests may have had it repaired in these ten minutes too.
    for _ in range(4):
        world.patch(SECRETS, USER_WORKLOAD, name, patch, manager="another-operator")
        world.until("the repair, or the end of repairs", lambda: not differs() or contested())
    assert contested()
    message = next(c["message"] for c in world.status()["conditions"] if c["type"] == "Degraded")
    assert f"Secret/{name} -n {USER_WORKLOAD}" in message
    assert "another-operator" in message
    assert differs()
    # What was contested is remembered by the process, not by the cluster: the next one tries again.
    world.operators.stop()
    world.drop_lease()
    world.start_operator()
    world.until("the repair", lambda: not differs())
    world.until("the fixed point", world.settled)
    assert world.starts(started) == {}
    assert world.kubelet.traffic.failures == []


@pytest.mark.parametrize("shift", [0, 1, 2])
def test_a_leak_in_an_event_would_be_found(settled: World, shift: int) -> None:
    world = settled
    key = next(iter(world.kubelet.keys))
    about = {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": PLATFORM, "name": "planted"}
    event = {
        "metadata": {"namespace": PLATFORM, "name": f"planted-{shift}"},
        "involvedObject": about,
        "reason": "Planted",
        "message": base64.b64encode(b"x" * shift + key).decode()[:1024],
        "source": {"component": "test"},
    }
    world.run(world.client.create(EVENTS, event))
    found = search(world.everything_public(), world.kubelet.keys)
    world.run(world.client.delete(EVENTS, PLATFORM, f"planted-{shift}"))
    assert {leak.place for leak in found} == {EVENTS.plural}


def _fields(world: World) -> dict[str, Object]:
    """The specs of the objects that settings go to."""
    return {
        f"{resource.kind}/{namespace}/{name}": _comparable(world.get(resource, namespace, name)["spec"])
        for resource, namespace, name in _OWNED
    }


def _comparable(spec: Object) -> Object:
    """A spec without the restart annotation, and with arguments in no order."""
    template = spec.get("template", {})
    for container in template.get("spec", spec)["containers"]:
        container.get("args", []).sort()
    holder, key = (template, "metadata") if template else (spec, "podMetadata")
    annotations = holder.get(key, {}).get("annotations", {})
    annotations.pop(RESTART, None)
    # Maps that only held ours are left empty.
    if not annotations:
        holder.get(key, {}).pop("annotations", None)
    if not holder.get(key):
        holder.pop(key, None)
    return spec


def _shakes(world: World, version: TLSVersion) -> list[Handshake]:
    return [
        world.run(handshake(s.address, s.port, min_version=version, max_version=version, grace=0))
        for s in world.kubelet.servers()
    ]
