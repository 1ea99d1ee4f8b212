"""The first part: a stack that waits for its Secrets, the operator that makes them, a query that is answered."""

import datetime as dt
import time
from collections import Counter

from demo import events, stack
from demo.context import Demo
from demo.errors import DemoError
from demo.load import QUERY, WORKLOADS, Target, ask
from demo.serving import PLATFORM, USER_WORKLOAD
from demo.stack import AFFECTED, PODS_EACH, SECRETS_MADE
from monitoring_tls.errors import NotFoundError
from monitoring_tls.kube.resources import CONFIGMAPS, SECRETS

_WAIT_SECONDS = 180.0


async def stack_waits(demo: Demo) -> None:
    """Apply the stack without the operator: its pods can't start, as Secrets and ConfigMaps are missing."""
    demo.stage.section("The monitoring stack, before the operator: pods wait for their Secrets")
    with demo.stage.step("Applying prometheus-operator and the stack, with OpenShift's names"):
        await stack.apply_stack(demo.client, demo.place.images)
    await demo.journal.start()
    took = await demo.stage.until(
        "Waiting for the pods to wait", lambda: _not_waiting(demo), seconds=_WAIT_SECONDS, every=0.5
    )
    waiting = Counter(life.workload for life in demo.journal.present() if not life.ready)
    names = ", ".join(f"{each.name} ({waiting[each.name]})" for each in AFFECTED)
    demo.stage.check("Pods wait with FailedMount", names, ok=True, seconds=took)


async def operator_makes_secrets(demo: Demo) -> None:
    """Install what the chart renders; Secrets and ConfigMaps appear, and the pods come up."""
    demo.stage.section("The operator: Secrets are made, pods come up")
    rendered = stack.render_operator(demo.place.images)
    with demo.stage.step("Installing the operator from its Helm chart"):
        await stack.apply_operator(demo.client, rendered)
    took = await demo.stage.until("Waiting for Secrets and ConfigMaps", lambda: _not_made(demo), seconds=_WAIT_SECONDS)
    demo.stage.check("Secrets and ConfigMaps are made", _names(), ok=True, seconds=took)
    took = await demo.stage.until("Waiting for the pods", lambda: _not_up(demo), seconds=_WAIT_SECONDS)
    pods = sum(1 for life in demo.journal.present() if life.workload in {each.name for each in AFFECTED})
    demo.stage.check("Every pod is Ready, every certificate proved by handshake", f"{pods} pods", ok=True, seconds=took)
    running = await demo.unsettled(*(each for each in AFFECTED))
    demo.stage.check("Rollouts are over", running or "all of them", ok=not running)


async def query_is_answered(demo: Demo) -> None:
    """A PromQL query through kube-rbac-proxy and the querier, over mutual TLS, shows every replica."""
    demo.stage.section("A query: kube-rbac-proxy → thanos-querier → mutual TLS → sidecars and rulers")
    target = await stack.query_target(demo.client)
    first = ask(target)
    if first.problem and first.problem.startswith("connection"):
        raise DemoError(
            f"the Service {stack.QUERIER_HOST} can't be reached from here ({first.problem})",
            "run the demo where the cluster's Service addresses are routed, for instance on one of its nodes",
        )
    demo.target = target
    started = time.monotonic()
    await demo.stage.until("Waiting for every replica in the answer", lambda: _not_answered(target), seconds=60)
    answer = ask(target)
    seen = ", ".join(f"{count} × {label}" for label, count in sorted(answer.replicas.items()))  # noqa: RUF001 - prose
    whole = all(answer.replicas.get(label) == PODS_EACH for label in WORKLOADS)
    demo.stage.check(f"{QUERY} from both replicas", seen, ok=whole, seconds=time.monotonic() - started)
    rulers = ask(target, "user_workload:up:count")
    count = sum(rulers.replicas.values())
    demo.stage.check("A rule's result from both rulers", f"{count} series", ok=count == PODS_EACH)
    stranger = Target(target.host, target.port, target.name, "", target.context)
    refusal = ask(stranger).problem or "answered"
    demo.stage.check("Without a token", refusal, ok=refusal == "HTTP 401")


async def _not_waiting(demo: Demo) -> str:
    found = await events.read(demo.client)
    stuck = {event["involvedObject"].get("uid") for event in found if event["reason"] == "FailedMount"}
    here = Counter(life.workload for life in demo.journal.present() if life.uid in stuck)
    lacking = [each.name for each in AFFECTED if here[each.name] < PODS_EACH]
    return f"{', '.join(lacking)} without FailedMount" if lacking else ""


async def _not_made(demo: Demo) -> str:
    wanted = [
        *((SECRETS, namespace, name) for namespace, name in SECRETS_MADE),
        *((CONFIGMAPS, namespace, "metrics-client-ca") for namespace in (PLATFORM, USER_WORKLOAD)),
    ]
    for resource, namespace, name in wanted:
        try:
            await demo.client.get(resource, namespace, name, metadata_only=True)
        except NotFoundError:
            return f"{resource.kind}/{name} -n {namespace}"
    return ""


async def _not_up(demo: Demo) -> str:
    return await demo.unsettled() or await demo.busy()


async def _not_answered(target: Target) -> str:
    answer = ask(target)
    lacking = [label for label in WORKLOADS if answer.replicas.get(label) != PODS_EACH]
    rulers = sum(ask(target, "user_workload:up:count").replicas.values())
    if rulers < PODS_EACH:
        lacking.append("rulers")
    return answer.problem or ", ".join(lacking)


def _names() -> str:
    return ", ".join([*(name for _, name in SECRETS_MADE), "metrics-client-ca (2)"])


def now() -> dt.datetime:
    """The time, as the audit log has it."""
    return dt.datetime.now(dt.UTC)
