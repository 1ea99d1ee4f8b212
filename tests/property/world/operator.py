"""The operator as a step of the model: each call makes one write of one action, in the executor's order."""

import functools
import itertools
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from monitoring_tls.errors import PkiError
from monitoring_tls.model import annotations as names
from monitoring_tls.model.action import (
    DeletePod,
    DeleteSecret,
    DomainStep,
    PatchWorkload,
    WriteConfigMap,
    WriteDerived,
    WriteDomain,
)
from monitoring_tls.model.certificate import TrustDomain
from monitoring_tls.model.snapshot import Snapshot
from monitoring_tls.pki.domain import Material, apply, parse, salvage
from monitoring_tls.pki.state import format_time
from monitoring_tls.planning import plan as planning
from monitoring_tls.planning import writes
from monitoring_tls.planning.writes import SecretWrite
from tests.pki_support import PooledEntropy
from tests.property.world.reading import snapshot
from tests.property.world.values import Pass, Phase, Stored, Template, World

_ENTROPY = PooledEntropy()
_TIMES = frozenset({names.TRUST_SINCE, names.LEAF_SINCE, names.RETIRED_AT})
_BEGINS = frozenset({DomainStep.BEGIN_CROSS_SIGNED, DomainStep.BEGIN_BOTH_TRUSTED, DomainStep.CREATE})

_NEW_LEAVES = frozenset({DomainStep.ISSUE, DomainStep.RENEW_LEAVES})


class StaleError(Exception):
    """A write's precondition no longer holds: the operator plans again."""


def planned(world: World) -> planning.Plan:
    """What the operator would decide now."""
    return planning.plan(snapshot(world), world.desired, world.now)


def step(world: World, seen: Snapshot | None = None) -> World | None:
    """The next write; None where there is none to make.

    Args:
        world: as it is.
        seen: as the operator's caches have it; by default they are up to date.
    """
    passing = world.passing
    if passing is None:
        seen = seen or snapshot(world)
        actions = planning.plan(seen, world.desired, world.now).actions
        if not actions:
            return None
        passing = Pass(seen, actions)
    try:
        return _next_write(world, passing)
    except StaleError:
        return replace(world, passing=None)


def _next_write(world: World, passing: Pass) -> World:
    if passing.derived and passing.material is not None:
        target, *rest = passing.derived
        domain = _domain(world, passing.domain)
        made = writes.derived_writes(domain, passing.material, {target}, passing.snapshot, lambda: world.now)
        after = _write(world, next(made))
        return _with_pass(after, replace(passing, derived=tuple(rest)))
    action, *later = passing.actions
    left = replace(passing, actions=tuple(later), derived=(), material=None)
    match action:
        case WriteDomain():
            return _write_domain(world, action, left)
        case WriteDerived():
            domain = _domain(world, action.domain)
            material = _material(world.secrets[domain.namespace, domain.name], domain)
            if material is None:
                raise PkiError("its CA can't be used")
            return _next_write(world, replace(left, domain=action.domain, material=material, derived=action.targets))
    return _with_pass(_written(world, action), left)


def _written(world: World, action: WriteConfigMap | PatchWorkload | DeletePod | DeleteSecret) -> World:
    match action:
        case WriteConfigMap():
            (entry, value), *_ = action.data.items()
            return replace(
                world, configmaps={**world.configmaps, (action.namespace, action.name): (entry, value, world.now)}
            )
        case PatchWorkload():
            return _patch(world, action)
        case DeletePod():
            return _delete_pod(world, action)
        case DeleteSecret():
            place = (action.namespace, action.name)
            assert world.secrets[place].hashed_from is not None, "only a hashed copy is ever deleted"
            return replace(world, secrets={key: s for key, s in world.secrets.items() if key != place})


def _with_pass(world: World, passing: Pass) -> World:
    return replace(world, passing=passing if passing.actions or passing.derived else None)


def _domain(world: World, name: str) -> TrustDomain:
    return next(domain for domain in world.desired.catalogue.domains if domain.domain == name)


def _write_domain(world: World, action: WriteDomain, left: Pass) -> World:
    domain = _domain(world, action.domain)
    before = world.secrets.get((domain.namespace, domain.name))
    if action.resource_version is not None and (before is None or str(before.version) != action.resource_version):
        raise StaleError
    after = applied(before, domain, action, world.now)
    made = list(writes.domain_writes(action, domain, after, left.snapshot, lambda: world.now))
    written = _write(world, made[0])
    if action.step in _BEGINS:
        written = replace(written, rollouts={}, late_starts={})
    if action.step in _NEW_LEAVES:
        # Who doesn't re-read its leaf is made anew for that too: on the longer way, and when leaves are renewed.
        again = {c.workload for c in world.desired.catalogue.components if not c.uses[0].reloads_leaf}
        again |= {ref for ref, found in world.workloads.items() if found.deaf}
        written = replace(written, rollouts={r: n for r, n in written.rollouts.items() if r not in again})
    derived = tuple((write.namespace, write.name) for write in made[1:])
    return _with_pass(written, replace(left, domain=action.domain, material=after, derived=derived))


def _write(world: World, write: SecretWrite) -> World:
    before = world.secrets.get((write.namespace, write.name))
    if (write.resource_version is None) != (before is None):
        raise StaleError
    if before is not None and str(before.version) != write.resource_version:
        raise StaleError
    secret = Stored(
        namespace=write.namespace,
        name=write.name,
        uid=before.uid if before else f"secret-{world.serial}",
        version=world.serial,
        created=before.created if before else world.now,
        data=tuple(sorted(write.data.items())),
        annotations=tuple(sorted(write.annotations.items())),
        hashed_from=before.hashed_from if before else None,
    )
    return replace(world.with_secret(secret), serial=world.serial + 1)


def _patch(world: World, action: PatchWorkload) -> World:
    workload = world.workloads[action.ref]
    if str(workload.version) != action.resource_version:
        raise StaleError
    spec = _edited(workload.spec, action)
    after = replace(workload, spec=spec, version=workload.version + 1)
    if action.restart_hash is not None:
        after = replace(after, patched_at=world.now)
    if action.saved is not None:
        after = replace(after, saved=json.dumps(action.saved) if action.saved else None)
    if action.ref.kind == "Deployment":
        after = replace(after, rolled=spec)
    disturbs = any(pod.phase is Phase.RUNNING for pod in world.of(action.ref))
    rollouts = {**world.rollouts, action.ref: world.rollouts.get(action.ref, 0) + 1} if disturbs else world.rollouts
    return replace(world, workloads={**world.workloads, action.ref: after}, rollouts=rollouts)


def _edited(spec: Template, action: PatchWorkload) -> Template:
    args = list(spec.args)
    for edit in action.lists:
        number = int(edit.pointer.split("/")[3])
        container, present = args[number]
        assert present == edit.before, "the arguments that the plan saw"
        args[number] = (container, edit.after)
    fields = {path: dict(values) for path, values in spec.fields}
    for change in action.maps:
        for key, value in change.values.items():
            fields.setdefault(change.path, {})[key] = value
            if value is None:
                del fields[change.path][key]
    mounts = list(spec.mounts)
    for move in action.mounts:
        number = int(move.pointer.split("/")[3])
        assert mounts[number] == move.before, "the mount that the plan saw"
        mounts[number] = move.after
    return Template(
        restart_hash=action.restart_hash if action.restart_hash is not None else spec.restart_hash,
        mounts=tuple(mounts),
        args=tuple(args),
        fields=tuple((path, _frozen(values)) for path, values in sorted(fields.items())),
    )


def _frozen(values: Mapping[str, object]) -> tuple[tuple[str, object], ...]:
    return tuple(
        (key, tuple(value) if isinstance(value, list) else value)
        for key, value in sorted(values.items(), key=lambda item: item[0])
    )


def _delete_pod(world: World, action: DeletePod) -> World:
    pod = next((pod for pod in world.pods if pod.uid == action.uid), None)
    if pod is None or pod.phase.value != action.resource_version:
        raise StaleError
    assert pod.phase is Phase.WAITING, "only a pod that never started is deleted"
    pods = tuple(other for other in world.pods if other.uid != action.uid)
    return replace(world, pods=pods, deleted_pods=world.deleted_pods | {action.uid})


def _material(secret: Stored, domain: TrustDomain) -> Material | None:
    return _parsed(secret.data, secret.annotations, domain)


@functools.lru_cache(maxsize=10_000)
def _parsed(
    data: tuple[tuple[str, bytes], ...], annotations: tuple[tuple[str, str], ...], domain: TrustDomain
) -> Material | None:
    try:
        return parse(dict(data), dict(annotations), domain)
    except PkiError:
        return None


def applied(before: Stored | None, domain: TrustDomain, action: WriteDomain, now: datetime) -> Material:
    """What a write makes of the domain's Secret.

    The same step from the same keys gives the same keys, however the world came there: otherwise no two ways through
    the model would ever meet. Only the times are those of this write.
    """
    real = _material(before, domain) if before else None
    data = before.data if before else ()
    annotations = before.annotations if before else ()
    kept = tuple((key, value) for key, value in annotations if key not in _TIMES | {names.ROTATION})
    rotation = dict(annotations).get(names.ROTATION)
    if rotation is not None:
        stated = {**json.loads(rotation), "started": format_time(_day(now))}
        kept = (*kept, (names.ROTATION, json.dumps(stated)))
    bare = _parsed(data, kept, domain) if before else None
    made = _made(data, kept, domain, action.step, action.leaves, action.reason, _day(now))
    second = now.replace(microsecond=0)
    started = real.rotation.started if real and real.rotation else second
    return replace(
        made,
        trust_since=real.trust_since if real and bare and made.trust_since == bare.trust_since else second,
        leaf_since=real.leaf_since if real and bare and made.leaf_since == bare.leaf_since else second,
        rotation=replace(made.rotation, started=started) if made.rotation else None,
        retired_at=second if made.retired_at is not None else real.retired_at if real else None,
    )


@functools.lru_cache(maxsize=10_000)
def _made(
    data: tuple[tuple[str, bytes], ...],
    annotations: tuple[tuple[str, str], ...],
    domain: TrustDomain,
    domain_step: DomainStep,
    leaves: tuple[str, ...],
    reason: str,
    moment: datetime,
) -> Material:
    before = _parsed(data, annotations, domain) if data else None
    trusted = salvage(dict(data), moment) if data and before is None else ()
    action = WriteDomain(domain.domain, domain_step, "", None, leaves, reason)
    return apply(before, domain, action, moment, _ENTROPY, trusted)


def _day(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def stored(domain: TrustDomain, data: Mapping[str, bytes], created: datetime) -> Stored:
    """A domain's Secret as somebody else left it."""
    number = next(_SERIALS)
    return Stored(domain.namespace, domain.name, f"found-{number}", number, created, tuple(sorted(data.items())))


_SERIALS = itertools.count(1_000_000)
