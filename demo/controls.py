"""The second part: the load, and two controls without which its zero would prove nothing."""

import asyncio
import time

from demo import stack
from demo.context import Change, Demo, pause
from demo.errors import DemoError
from demo.load import Load, Target
from demo.serving import PLATFORM
from demo.stack import AFFECTED, CONTROL, QUERIER
from monitoring_tls.kube.resources import DEPLOYMENTS

_QUIET = 3.0
_CONTROL_LOAD = 2.0
_WAIT_SECONDS = 180.0
_NOISY = 0.95


async def load_begins(demo: Demo) -> None:
    """Start the load, and see that it has nothing to complain of while nothing happens."""
    demo.stage.section("Constant load: 20 queries a second, each on a new connection, none repeated")
    if demo.target is None:
        raise DemoError("there is nothing to query", "this part comes after the one that finds the querier")
    demo.load = Load.following(demo.target, demo.journal)
    demo.load.start()
    began = await pause(_QUIET)
    tally = demo.load.tally(began)
    demo.stage.check("While nothing happens", str(tally), ok=tally.failed == 0)


async def plain_rollout(demo: Demo) -> None:
    """Control 1: rollouts that change nothing must lose no query, or a loss later on would not be TLS's fault."""
    demo.stage.section("Control: a plain rollout, no TLS change")
    began, stamp = time.monotonic(), str(time.time())
    chosen = [each for each in AFFECTED if each.namespace == PLATFORM]
    for workload in chosen:
        await stack.restart(demo.client, workload, stamp)
    took = await demo.stage.until(
        f"Restarting {' and '.join(each.name for each in chosen)}",
        lambda: demo.unsettled(*chosen, stamp=stamp),
        seconds=_WAIT_SECONDS,
        beside=lambda: demo.beside(began),
    )
    await asyncio.sleep(1)
    tally = demo.running_load().tally(began)
    demo.stage.check("Queries lost by a plain rollout", str(tally), ok=tally.failed == 0, seconds=took)
    demo.changes.append(Change("plain rollout (control)", took, str(tally), dict(demo.journal.made_since(began)), None))


async def foreign_certificate(demo: Demo) -> None:
    """Control 2: the counter must rise when certificates are wrong. A second querier has a stranger's."""
    demo.stage.section("Control: a querier with a foreign client certificate")
    began = time.monotonic()
    await stack.foreign_querier(demo.client, demo.place.images)
    await demo.stage.until(
        f"Waiting for {CONTROL}",
        lambda: _control_not_ready(demo),
        seconds=_WAIT_SECONDS,
        beside=lambda: demo.beside(began),
    )
    target = demo.target
    life = next(life for life in demo.journal.present(CONTROL))
    if target is None or life.ip is None:
        raise DemoError("the control has no address", "see its pod")
    control = Load.following(Target(life.ip, target.port, target.name, target.token, target.context), demo.journal)
    control.start()
    await asyncio.sleep(_CONTROL_LOAD)
    await asyncio.to_thread(control.stop)
    tally = control.tally()
    rises = tally.asked > 0 and tally.failed >= _NOISY * tally.asked
    demo.stage.check("The failure counter rises", str(tally), ok=rises)
    real = demo.running_load().tally(began)
    demo.stage.check(f"Meanwhile, the real {QUERIER}", str(real), ok=real.failed == 0)
    await stack.remove_foreign_querier(demo.client)


async def _control_not_ready(demo: Demo) -> str:
    found = await demo.client.get(DEPLOYMENTS, PLATFORM, CONTROL)
    return "" if found.get("status", {}).get("readyReplicas") else "its pod"
