"""What must hold in every world, and the name of a world without its accidents."""

import functools
import itertools
from collections.abc import Iterator, Mapping
from datetime import datetime

from monitoring_tls.model import annotations as names
from monitoring_tls.model.certificate import CertificateFacts, LeafUsage, Stage
from monitoring_tls.model.component import WorkloadRef
from monitoring_tls.model.snapshot import Evidence, Outcome
from monitoring_tls.pki.state import parse_rotation, parse_time
from monitoring_tls.pki.verify import verifies
from tests.pki_support import SERVER_NAME
from tests.property.world.reading import held, use_of, view
from tests.property.world.values import TICK, Phase, Pod, Process, Stored, World

_OLDEST = 3
"""Ticks after which it makes no difference how much older something is."""

_NUMBERS: dict[object, int] = {}


def broken(world: World) -> Iterator[str]:
    """Every rule that the world breaks, in words."""
    yield from _refusals(world)
    yield from _lost_mounts(world)
    rolling = [str(ref) for ref in world.workloads if _rolls(world, ref)]
    if len(rolling) > 1:
        yield f"{' and '.join(rolling)} are rolled at the same time"
    for ref, count in world.rollouts.items():
        if count > 1 + world.late_starts.get(ref, 0):
            yield f"{ref} was rolled {count} times in one rotation"


def _refusals(world: World) -> Iterator[str]:
    """Clients and servers that can't talk: those that run, and those that could start at any moment."""
    clients, servers = (_distinct(side) for side in _holders(world))
    for (who, client), (whom, server) in itertools.product(clients, servers):
        if not trusts(client.bundle, server.chain, LeafUsage.SERVER, world.now):
            yield f"{who} does not accept {whom}"
        if not trusts(server.bundle, client.chain, LeafUsage.CLIENT, world.now):
            yield f"{whom} does not accept {who}"


def _distinct(side: Mapping[str, Process]) -> tuple[tuple[str, Process], ...]:
    found = {
        (tuple(c.fingerprint for c in p.bundle), tuple(c.fingerprint for c in p.chain)): (who, p)
        for who, p in side.items()
    }
    return tuple(found.values())


def _holders(world: World) -> tuple[dict[str, Process], dict[str, Process]]:
    found: tuple[dict[str, Process], dict[str, Process]] = ({}, {})
    domain = world.desired.catalogue.domains[0]
    usages = {spec.name: spec.usage for spec in domain.leaves}
    at_hand = {(s.key, s.version): s for s in (*world.secrets.values(), *world.superseded)}.values()
    for spec in domain.derived:
        side = found[usages[spec.leaf] is LeafUsage.SERVER]
        copies = [s for s in at_hand if s.namespace == spec.namespace and spec.name in {s.name, s.hashed_from}]
        side |= {f"a pod that starts with {s.name} version {s.version}": held(s) for s in copies}
        for pod in world.pods:
            use = use_of(world, pod)
            if use is None or use.leaf != spec.leaf or pod.process is None:
                continue
            side[pod.uid] = pod.process
            if use.reloads_leaf:
                # It may come by any of these leaves at any moment, and keeps the bundle it has.
                leaves = (held(s).chain for s in copies if s.name == pod.template.mounts[0])
                side |= {f"{pod.uid} {n}": Process(pod.process.bundle, chain) for n, chain in enumerate(leaves)}
    return found


def trusts(
    bundle: tuple[CertificateFacts, ...], chain: tuple[CertificateFacts, ...], usage: LeafUsage, now: datetime
) -> bool:
    """Whether a process with this bundle accepts this chain; each question is answered once."""
    in_time = tuple(c.not_before <= now <= c.not_after for c in (*bundle, *chain))
    return _verified(tuple(_Same(c) for c in bundle), tuple(_Same(c) for c in chain), usage, in_time, _At(now))


class _Same:
    """A certificate, equal by its fingerprint: facts have many fields."""

    __slots__ = ("facts",)

    def __init__(self, facts: CertificateFacts) -> None:
        self.facts = facts

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.facts.fingerprint == other.facts.fingerprint

    def __hash__(self) -> int:
        return hash(self.facts.fingerprint)


class _At:
    """A time that makes no difference to a cache: what matters of it is in ``in_time``."""

    __slots__ = ("now",)

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _At)

    def __hash__(self) -> int:
        return 0


@functools.lru_cache(maxsize=200_000)
def _verified(
    bundle: tuple[_Same, ...], chain: tuple[_Same, ...], usage: LeafUsage, in_time: tuple[bool, ...], at: _At
) -> bool:
    name = SERVER_NAME if usage is LeafUsage.SERVER else None
    return verifies([c.facts for c in chain], [c.facts for c in bundle], usage, name, at.now)


def _lost_mounts(world: World) -> Iterator[str]:
    """Secrets that a running pod has mounted and that are gone. Those of stable names are only deleted by mishap."""
    stable = {spec.name for domain in world.desired.catalogue.domains for spec in domain.derived}
    for pod in world.pods:
        for name in set(pod.template.mounts) - stable:
            if pod.phase is Phase.RUNNING and pod.ref and (pod.ref.namespace, name) not in world.secrets:
                yield f"{name} was deleted under {pod.uid}"


def _rolls(world: World, ref: WorkloadRef) -> bool:
    workload = world.workloads[ref]
    return any(pod.phase is Phase.RUNNING and pod.template != workload.spec for pod in world.of(ref))


def finished(world: World) -> bool:
    """One CA, nothing going on, and everybody holds what their Secret says."""
    domain = world.desired.catalogue.domains[0]
    secret = world.secrets.get((domain.namespace, domain.name))
    if secret is None or world.passing is not None:
        return False
    source = view(secret)
    stable = parse_rotation(source.annotations, source.certificates) is None
    bundle = held(secret).bundle
    for spec in domain.derived:
        copy = world.secrets.get((spec.namespace, spec.name))
        if copy is None or held(copy).bundle != bundle:
            return False
    for pod in world.pods:
        if pod.phase is not Phase.RUNNING or pod.process is None or bundle[0] not in pod.process.bundle:
            return False
        if pod.ref is not None and pod.template != world.workloads[pod.ref].spec:
            return False
    wanted = world.desired.rotation_requested
    asked = not wanted or source.annotations.get(names.ROTATED_FOR) == wanted
    return stable and asked and len(bundle) == 1


def identity(world: World) -> tuple[object, ...]:
    """What two worlds have in common that will behave the same: no serial numbers, no absolute times."""
    age = functools.partial(_age, world.now)
    secrets = tuple(
        (key, _number(s.data), *(age(_since(s, name)) for name in (names.TRUST_SINCE, names.LEAF_SINCE)), _stage(s))
        for key, s in sorted(world.secrets.items())
    )
    superseded = tuple(sorted({(s.key, _number(s.data)) for s in world.superseded}))
    workloads = tuple(
        (
            str(ref),
            _number(w.spec),
            _number(w.rolled),
            age(w.patched_at),
            world.rollouts.get(ref, 0) - world.late_starts.get(ref, 0),
        )
        for ref, w in sorted(world.workloads.items())
    )
    pods = tuple(sorted((_pod(world, pod) for pod in world.pods), key=repr))
    chances = (world.crashes, world.losses, world.requests, world.jumps)
    return (secrets, superseded, workloads, pods, _passing(world), chances, _number(world.desired))


def _pod(world: World, pod: Pod) -> tuple[object, ...]:
    secret = world.secrets.get((pod.ref.namespace, pod.template.mounts[0])) if pod.ref else None
    relative: tuple[object, ...] = ()
    if secret is not None and pod.started is not None:
        for name in (names.TRUST_SINCE, names.LEAF_SINCE):
            since = _since(secret, name) or secret.created
            relative += (max(-1, min(1, (pod.started - since) // TICK)),)
    process = pod.process
    return (
        str(pod.ref),
        pod.slot if pod.ref and pod.ref.kind != "Deployment" else 0,
        pod.phase.value,
        _number(pod.template),
        _number((tuple(c.fingerprint for c in process.bundle), tuple(c.fingerprint for c in process.chain)))
        if process
        else 0,
        relative,
        _age(world.now, pod.started),
        _age(world.now, pod.created) if pod.phase is Phase.WAITING else 0,
        tuple(
            (
                n,
                e.outcome.value,
                e.leaf,
                tuple(sorted(e.trusts)),
                tuple(sorted(e.refuses)),
                min(e.seen, 2),
                _look(world, pod, e),
            )
            for n, e in sorted(pod.evidence.items())
        ),
    )


def _look(world: World, pod: Pod, seen: Evidence) -> int:
    """How old a look is, where it may still become one that is past a deadline."""
    leaf = pod.process.chain[0].fingerprint if pod.process else None
    shown = seen.outcome is Outcome.SERVES and seen.leaf == leaf and not seen.refuses
    return 0 if shown else _age(world.now, seen.at)


def _passing(world: World) -> tuple[object, ...]:
    passing = world.passing
    if passing is None:
        return ()
    actions = tuple((type(action).__name__, _stripped(action)) for action in passing.actions)
    return (actions, passing.domain, passing.derived)


def _stripped(action: object) -> int:
    """An action without the versions that it was planned from."""
    fields = {name: getattr(action, name) for name in action.__slots__ if "version" not in name}  # type: ignore[attr-defined]
    return _number(repr(sorted((name, repr(value)) for name, value in fields.items())))


def _number(thing: object) -> int:
    return _NUMBERS.setdefault(thing if not isinstance(thing, World) else id(thing), len(_NUMBERS))


def _since(secret: Stored, name: str) -> datetime | None:
    return parse_time(dict(secret.annotations).get(name))


def _stage(secret: Stored) -> tuple[object, ...]:
    known = view(secret)
    rotation = parse_rotation(known.annotations, known.certificates)
    stage = (rotation.stage if rotation else Stage.STABLE).value
    return (stage, known.annotations.get(names.ROTATED_FOR), names.RETIRED_AT in known.annotations)


def _age(now: datetime, moment: datetime | None) -> int:
    return -1 if moment is None else min((now - moment) // TICK, _OLDEST)
