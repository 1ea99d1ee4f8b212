"""Everything that happens to a stack without the operator: kubelets, controllers, processes, handshakes, time."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

from monitoring_tls.model.component import Endpoint, WorkloadRef
from monitoring_tls.model.profile import TLSVersion
from monitoring_tls.model.snapshot import Evidence, Outcome
from monitoring_tls.planning.probes import ProbeWish, wishes
from monitoring_tls.probe.endpoint import follow_up
from tests.property.world.reading import held, snapshot, use_of
from tests.property.world.values import TICK, Phase, Pod, Process, Stored, Workload, World

Move = tuple[str, World]

IS_PROBED = "is probed"

_FIELD_VERSIONS = {f"TLS1{minor}": f"VersionTLS1{minor}" for minor in range(4)}
_GO_DEFAULT = TLSVersion.TLS12


def moves(world: World, *, kubelet_retries: bool = True) -> Iterator[Move]:
    """Every single thing that can happen next, but for the operator and for time.

    Args:
        world: as it is.
        kubelet_retries: whether a kubelet tries again to mount what a waiting pod lacked.
    """
    for workload in world.workloads.values():
        yield from _controller(world, workload)
    for pod in world.pods:
        if kubelet_retries and pod.phase is Phase.WAITING:
            yield from _mount(world, pod)
        if (fresh := _refreshed(world, pod)) is not None:
            yield f"{pod.uid} re-reads", world.with_pod(fresh)
    wanted = tuple(wishes(snapshot(world), world.desired)) if any(p.phase is Phase.RUNNING for p in world.pods) else ()
    for pod in world.pods:
        if (seen := _probed(world, pod, tuple(wish for wish in wanted if wish.pod.uid == pod.uid))) is not None:
            yield f"{pod.uid} {IS_PROBED}", world.with_pod(seen)


def mishaps(world: World) -> Iterator[Move]:
    """What may go wrong or be asked for, as often as the world says."""
    if world.requests:
        reason, *later = world.requests
        wish = replace(world.desired, rotation_requested=reason)
        yield f"rotation {reason!r} is asked for", replace(world, desired=wish, requests=tuple(later))
    if world.jumps > 0:
        yield "forty days pass", tick(replace(world, jumps=world.jumps - 1), timedelta(days=40))
    if world.crashes > 0:
        bare = tuple(replace(pod, evidence={}) for pod in world.pods)
        yield (
            "the operator is killed",
            replace(world, pods=bare, passing=None, deleted_pods=frozenset(), crashes=world.crashes - 1),
        )
    if world.losses > 0 and not world.superseded:
        # Not in the same minute as a write: a second thing that goes wrong by itself.
        for domain in world.desired.catalogue.domains:
            for spec in domain.derived:
                place = (spec.namespace, spec.name)
                if place in world.secrets:
                    kept = {key: value for key, value in world.secrets.items() if key != place}
                    yield f"{spec.name} is deleted", replace(world, secrets=kept, losses=world.losses - 1)


def tick(world: World, duration: timedelta = TICK) -> World:
    """Time passes: by its end every kubelet has delivered, and every process has re-read what it re-reads."""
    later = replace(world, now=world.now + duration, superseded=())
    for pod in later.pods:
        if (fresh := _refreshed(later, pod)) is not None:
            later = later.with_pod(fresh)
    return later


def _controller(world: World, workload: Workload) -> Iterator[Move]:
    if workload.rolled != workload.spec:
        taken = replace(workload, rolled=workload.spec)
        yield f"{workload.ref} is reconciled", _with_workload(world, taken)
    if workload.rolled is None:
        return
    pods = world.of(workload.ref)
    ending = tuple(pod for pod in pods if pod.phase is Phase.TERMINATING)
    alive = tuple(pod for pod in pods if pod.phase is not Phase.TERMINATING)
    if workload.ref.kind == "Deployment":
        yield from _deployment(world, workload, alive, ending)
    else:
        yield from _statefulset(world, workload, alive, ending)


def _statefulset(world: World, workload: Workload, alive: tuple[Pod, ...], ending: tuple[Pod, ...]) -> Iterator[Move]:
    """One pod at a time from the highest number; a pod that is old and not ready is replaced too."""
    for pod in ending:
        if not pod.stubborn:
            yield from _start(_without(world, pod), workload, pod.slot, f"{pod.uid} ends")
    taken = {pod.slot for pod in (*alive, *ending)}
    for slot in range(workload.replicas):
        if slot not in taken:
            yield from _start(world, workload, slot, f"slot {slot} is empty")
    if ending or len(alive) < workload.replicas:
        return
    for pod in sorted(alive, key=lambda pod: -pod.slot):
        if pod.template != workload.rolled:
            yield f"{pod.uid} is told to end", _told_to_end(world, pod)
            return
        if not (pod.phase is Phase.RUNNING and pod.ready):
            return


def _deployment(world: World, workload: Workload, alive: tuple[Pod, ...], ending: tuple[Pod, ...]) -> Iterator[Move]:
    """One pod more at first, then the old one goes (maxSurge 1, maxUnavailable 0)."""
    for pod in ending:
        if not pod.stubborn:
            yield f"{pod.uid} ends", _without(world, pod)
    if len(alive) < workload.replicas:
        yield from _start(world, workload, len(alive), f"{workload.ref.name} lacks a pod")
        return
    old = [pod for pod in alive if pod.template != workload.rolled]
    new = [pod for pod in alive if pod.template == workload.rolled]
    if old and len(alive) == workload.replicas:
        yield from _start(world, workload, old[0].slot, f"{workload.ref.name} gets one more")
    elif old and all(pod.phase is Phase.RUNNING and pod.ready for pod in new):
        yield f"{old[0].uid} is told to end", _told_to_end(world, old[0])


def _told_to_end(world: World, pod: Pod) -> World:
    if pod.phase is Phase.WAITING:
        return _without(world, pod)
    return world.with_pod(replace(pod, phase=Phase.TERMINATING, evidence={}))


def _without(world: World, pod: Pod) -> World:
    return replace(world, pods=tuple(other for other in world.pods if other.uid != pod.uid))


def _with_workload(world: World, workload: Workload) -> World:
    return replace(world, workloads={**world.workloads, workload.ref: workload})


def _start(world: World, workload: Workload, slot: int, why: str) -> Iterator[Move]:
    """A new pod, which waits where a Secret is missing, and else starts with any copy its kubelet may have."""
    if workload.rolled is None:
        return
    pod = Pod(f"pod-{world.serial}", workload.ref, slot, Phase.WAITING, world.now, None, workload.rolled, None)
    made = replace(world, pods=(*world.pods, pod), serial=world.serial + 1)
    started = tuple(_mount(made, pod))
    if started:
        yield from ((f"{why}, {text}", after) for text, after in started)
    else:
        yield f"{why}, {pod.uid} waits", made


def _mount(world: World, pod: Pod) -> Iterator[Move]:
    namespace = pod.ref.namespace if pod.ref else ""
    if any((namespace, name) not in world.secrets for name in pod.template.mounts):
        return
    place = (namespace, pod.template.mounts[0])
    broken = pod.ref is not None and world.workloads[pod.ref].broken
    for old, secret in [(False, world.secrets[place]), *((True, s) for s in world.superseded if s.key == place)]:
        process = held(secret)
        up = replace(pod, phase=Phase.RUNNING, started=world.now, process=process, ready=not broken)
        after = world.with_pod(up)
        if old and pod.ref is not None:
            late = {**world.late_starts, pod.ref: world.late_starts.get(pod.ref, 0) + 1}
            after = replace(after, late_starts=late)
        yield f"{pod.uid} starts{' with an old copy' if old else ''}", after


def _refreshed(world: World, pod: Pod) -> Pod | None:
    """The pod after it re-read what it can take alive; None where nothing changes."""
    use = use_of(world, pod)
    if pod.process is None or pod.ref is None or use is None:
        return None
    secret: Stored | None = world.secrets.get((pod.ref.namespace, pod.template.mounts[0]))
    if secret is None or world.workloads[pod.ref].deaf:
        return None
    now = held(secret)
    process = Process(
        now.bundle if use.reloads_trust else pod.process.bundle,
        now.chain if use.reloads_leaf else pod.process.chain,
    )
    return replace(pod, process=process) if process != pod.process else None


def _probed(world: World, pod: Pod, wanted: tuple[ProbeWish, ...]) -> Pod | None:
    """The pod as handshakes with all its ports show it, twice the same; None where that is no news."""
    evidence = dict(pod.evidence)
    for wish in wanted:
        if pod.phase is not Phase.RUNNING or wish.shown_by(evidence.get(wish.endpoint.name)):
            continue
        if wish.ca is not None and wish.ca != _first_ca(world, wish.domain):
            continue
        fresh = look(world, pod, wish)
        before = evidence.get(wish.endpoint.name)
        evidence[wish.endpoint.name] = follow_up(follow_up(before, fresh), fresh)
    news = {name: _news(seen) for name, seen in evidence.items()}
    return replace(pod, evidence=evidence) if news != {n: _news(s) for n, s in pod.evidence.items()} else None


def _first_ca(world: World, domain: str | None) -> str | None:
    """The CA that the operator can show a certificate of."""
    found = next((d for d in world.desired.catalogue.domains if d.domain == domain), None)
    secret = world.secrets.get((found.namespace, found.name)) if found else None
    bundle = held(secret).bundle if secret else ()
    return bundle[0].fingerprint if bundle else None


def _news(seen: Evidence) -> tuple[object, ...]:
    return (seen.outcome, seen.leaf, seen.trusts, seen.refuses, seen.seen > 1, seen.accepted_versions, seen.at)


def look(world: World, pod: Pod, wish: ProbeWish) -> Evidence:
    """What a handshake shows, computed from what the process really holds."""
    if not pod.reachable:
        return Evidence(Outcome.UNREACHABLE, world.now, world.now, 1, detail="no answer")
    leaf = None
    trusts: frozenset[str] = frozenset()
    refuses: frozenset[str] = frozenset()
    if wish.endpoint.domain is not None and pod.process is not None:
        leaf = pod.process.chain[0].fingerprint
        if wish.ca is not None:
            known = {ca.fingerprint for ca in pod.process.bundle}
            asked = frozenset({wish.ca})
            trusts, refuses = (asked & known, asked - known)
    serves = wish.leaf is None or leaf == wish.leaf
    outcome = Outcome.SERVES if serves else Outcome.SERVES_OTHER
    minimum, suites = _settings(pod, wish.endpoint)
    accepted = frozenset(version.value for version in TLSVersion if version.rank >= minimum.rank)
    refused = frozenset(version.value for version in TLSVersion if version.rank < minimum.rank)
    allowed = set(wish.profile.iana_ciphers) if wish.profile else set()
    within = suites is not None and set(suites) <= allowed
    ciphers = None if wish.profile is None or not wish.profile.ciphers else within
    return Evidence(outcome, world.now, world.now, 1, leaf or "foreign", trusts, refuses, accepted, refused, ciphers)


def _settings(pod: Pod, endpoint: Endpoint) -> tuple[TLSVersion, tuple[str, ...] | None]:
    """The minimum version and suites that a container was started with."""
    args = dict(pod.template.args).get(endpoint.container)
    if args is not None:
        flags = dict(arg.split("=", 1) for arg in args if "=" in arg)
        suites = flags.get("--tls-cipher-suites")
        version = TLSVersion(flags.get("--tls-min-version", _GO_DEFAULT.value))
        return version, tuple(suites.split(",")) if suites else None
    for _path, values in pod.template.fields:
        known = dict(values)
        if "minVersion" in known:
            found = known.get("cipherSuites")
            suites_found = tuple(str(suite) for suite in found) if isinstance(found, tuple) else None
            return TLSVersion(_FIELD_VERSIONS[str(known["minVersion"])]), suites_found
    return _GO_DEFAULT, None


def started_by_hand(world: World, ref: WorkloadRef, slot: int, secret: Stored) -> World:
    """A pod that runs with what ``secret`` held: how worlds begin."""
    template = world.workloads[ref].spec
    pod = Pod(f"{ref.name}-{slot}", ref, slot, Phase.RUNNING, world.now, world.now, template, held(secret))
    return replace(world, pods=(*world.pods, pod))
