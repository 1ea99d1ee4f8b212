"""The operator: one level-based loop, run by whoever holds the Lease.

Each pass looks at the caches, plans, acts, and reports. Nothing is remembered between passes that the next process
would miss: evidence is taken anew by handshakes, everything else is in the cluster.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from monitoring_tls.errors import ApiError, KubeError, LeadershipLostError, MonitoringTLSError, PkiError
from monitoring_tls.kube.client import KubeClient
from monitoring_tls.kube.events import EventRecorder
from monitoring_tls.kube.lease import LeaderElector
from monitoring_tls.kube.queue import Trigger
from monitoring_tls.kube.transport import FIELD_MANAGER
from monitoring_tls.model.desired import Desired
from monitoring_tls.observe.observer import ClusterSettings, Observer
from monitoring_tls.operator.contest import WINDOW, Ledger
from monitoring_tls.operator.executor import Environment, Executor
from monitoring_tls.operator.keyring import Keyring
from monitoring_tls.operator.memory import give_back
from monitoring_tls.operator.metrics import Metrics
from monitoring_tls.operator.own_port import OwnPort
from monitoring_tls.operator.prober import Prober
from monitoring_tls.operator.recall import told, untold
from monitoring_tls.operator.reporter import Reporter
from monitoring_tls.operator.wishes import Asked, Place
from monitoring_tls.pki.keys import Entropy
from monitoring_tls.planning.plan import Plan, Problem, plan
from monitoring_tls.report.status import build_status

# The plan names the moment when time alone changes it; clocks and timers are not exact.
_LATER = 0.2

# After this long without a pass, memory that the last ones needed is given back.
_QUIET_SECONDS = 10.0
_QUIET = "nothing happened for a while"

# How long a process that ends waits for its last events to be written.
_FLUSH_SECONDS = 5.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Parts:
    """What an operator is put together from."""

    client: KubeClient
    elector: LeaderElector
    events: EventRecorder
    metrics: Metrics
    own_port: OwnPort
    entropy: Entropy
    clock: Callable[[], datetime]
    place: Place


class Operator:
    """Runs until cancelled."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._trigger = Trigger()
        self._asked = Asked(parts.place)
        self._settings = ClusterSettings(parts.client, self._settings_changed)

    async def run(self) -> None:
        """Follow the settings always; lead whenever the Lease is ours."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._settings.run())
            group.create_task(self._parts.own_port.run())
            await self._settings.wait_synced()
            self._settings_changed("start")
            self._parts.metrics.ready = True
            # A replica that waits for the Lease does nothing else for as long as it waits.
            give_back()
            while True:
                with contextlib.suppress(LeadershipLostError):
                    await self._parts.elector.run(self._lead)
                self._parts.metrics.lead(leader=False)
                log.warning("leadership lost, waiting for it again")

    def _settings_changed(self, reason: str) -> None:
        self._trigger.mark(reason)
        self._parts.own_port.follow(self._read()[0].profile.effective)

    def _read(self) -> tuple[Desired, tuple[Problem, ...]]:
        obj = self._settings.object or {}
        return self._asked.read(obj.get("spec") or {}, self._settings.profile, obj.get("status"))

    async def _lead(self) -> None:
        log.info("leading")
        self._parts.metrics.lead(leader=True)
        while True:
            while self._settings.spec is None:
                log.info("waiting for MonitoringTLS/cluster: without it nothing is managed")
                await self._trigger.next()
                self._trigger.succeeded()
            await self._manage(self._read()[0])

    async def _manage(self, desired: Desired) -> None:
        """Watch what the catalogue names and work on it, until another catalogue is asked for."""
        guarded = self._parts.client.guarded(self._parts.elector.ensure_leader)
        keyring = Keyring(self._parts.client, self._parts.entropy)
        environment = Environment(guarded, self._parts.events, self._parts.entropy, keyring, self._parts.clock)
        observer = Observer(self._parts.client, desired.catalogue, FIELD_MANAGER, self._trigger.mark)
        self._settings.kicked = observer.kick
        background = (asyncio.create_task(observer.run()), asyncio.create_task(self._parts.events.run()))
        for task in background:
            task.add_done_callback(lambda _: self._trigger.mark("a task in the background ended"))
        session = _Session(
            observer=observer,
            prober=Prober(keyring, self._parts.clock, self._trigger.mark),
            reporter=Reporter(guarded, self._parts.clock),
            environment=environment,
            ledger=Ledger(),
            background=background,
        )
        synced = asyncio.create_task(observer.wait_synced())
        try:
            await asyncio.wait({synced, *background}, return_when=asyncio.FIRST_COMPLETED)
            session.check()
            for error in observer.errors:
                log.warning("something can't be read, and is left out", error=error)
            log.info("caches are filled", namespaces=list(desired.catalogue.namespaces))
            await self._recall(observer, desired)
            self._trigger.mark("caches are filled")
            await self._passes(session, desired.catalogue.name)
        finally:
            session.prober.stop()
            await self._parts.events.flush(_FLUSH_SECONDS)
            for task in (synced, *background):
                task.cancel()
            await asyncio.wait({synced, *background})

    async def _recall(self, observer: Observer, desired: Desired) -> None:
        """Tell what the leader before could not."""
        try:
            before = await told(self._parts.client, self._parts.place)
        except KubeError as error:
            log.warning("events can't be read, so none that was owed can be made up for", error=str(error))
            return
        for happening in untold(observer.snapshot({}), desired.catalogue, before, self._parts.clock()):
            log.info("event made up for", reason=happening.reason, message=happening.message)
            self._parts.events.record(happening)

    async def _passes(self, session: "_Session", catalogue: str) -> None:
        while True:
            reasons = await self._trigger.next()
            session.check()
            if reasons == {_QUIET}:
                give_back()
                self._trigger.succeeded()
                continue
            self._trigger.mark_after(_QUIET_SECONDS, _QUIET)
            if self._settings.spec is None:
                self._trigger.succeeded()
                return
            desired, problems = self._read()
            if desired.catalogue.name != catalogue:
                self._trigger.succeeded()
                return
            try:
                done = await self._pass(session, desired, problems, reasons)
            except LeadershipLostError:
                raise
            except (KubeError, _RefusedError) as error:
                log.warning("pass failed, it will be repeated", error=str(error), kind=type(error).__name__)
                self._parts.metrics.passed("error")
                self._trigger.failed()
            else:
                self._parts.metrics.passed("ok" if done else "replan")
                self._trigger.succeeded()

    async def _pass(
        self, session: "_Session", desired: Desired, problems: tuple[Problem, ...], reasons: frozenset[str]
    ) -> bool:
        now = self._parts.clock()
        executor = Executor(session.environment, desired.catalogue, session.deleted_pods)
        snapshot = session.observer.snapshot(
            session.prober.evidence, frozenset(session.deleted_pods), self._settings.prometheus_operator
        )
        made = plan(snapshot, desired, now)
        actions, contested = session.ledger.admit(made.actions, snapshot, now)
        session.prober.update(made.probes, desired.catalogue)
        log.debug("pass", reasons=sorted(reasons)[:5], actions=[type(action).__name__ for action in actions])
        refused: tuple[Problem, ...] = ()
        try:
            done = await executor.run(actions, snapshot)
        except (PkiError, ApiError) as error:
            refused = (Problem("CannotIssue" if isinstance(error, PkiError) else "WriteRefused", str(error)),)
            done = False
        if not done and not refused:
            self._trigger.mark("the cluster changed meanwhile")
        if contested:
            self._trigger.mark_after(WINDOW.total_seconds(), "contested objects may be tried again")
        extra = (*problems, *refused, *contested, *_stale(session.observer.errors))
        self._parts.metrics.show(made, len(made.problems) + len(extra))
        obj = self._settings.object or {}
        generation = (obj.get("metadata") or {}).get("generation", 0)
        status = build_status(made, snapshot, desired, extra, generation, now)
        later = await session.reporter.report(status, obj.get("status"))
        self._come_back(made, later, now)
        if refused:
            raise _RefusedError(refused[0].message)
        return done

    def _come_back(self, made: Plan, later: timedelta | None, now: datetime) -> None:
        if later is not None:
            self._trigger.mark_after(later.total_seconds() + _LATER, "status")
        if made.next_check is not None:
            self._trigger.mark_after((made.next_check - now).total_seconds() + _LATER, "time")


class _RefusedError(MonitoringTLSError):
    """A certificate or a write could not be made: reported already, and tried again ever more rarely."""


class _Session:
    """What lives as long as this process leads with one catalogue."""

    def __init__(
        self,
        *,
        observer: Observer,
        prober: Prober,
        reporter: Reporter,
        environment: Environment,
        ledger: Ledger,
        background: "tuple[asyncio.Task[None], ...]",
    ) -> None:
        self.observer = observer
        self.prober = prober
        self.reporter = reporter
        self.environment = environment
        self.ledger = ledger
        self.deleted_pods: set[str] = set()
        self._background = background

    def check(self) -> None:
        """Pass on what ended a task in the background: without its caches the operator must not go on."""
        for task in self._background:
            if task.done():
                task.result()


def _stale(errors: tuple[str, ...]) -> tuple[Problem, ...]:
    return tuple(Problem("CacheStale", f"what is known may be out of date: {error}") for error in errors)
