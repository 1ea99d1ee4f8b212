"""The last part: second opinions, the events, and the summary."""

import asyncio
from typing import Final

from rich.table import Table

from demo import events, memory, openssl
from demo.context import Demo
from demo.serving import PLATFORM
from demo.stack import AFFECTED

GOAL_MEMORY: Final = 64.0
"""MiB: the goal for the operator's process."""


async def openssl_confirms(demo: Demo) -> None:
    """OpenSSL verifies the chain and name that a pod serves, and those in its Secret."""
    demo.stage.section("OpenSSL's word")
    if not openssl.available():
        demo.stage.say("openssl is not installed here: not asked")
        return
    data = await demo.secret(PLATFORM, "prometheus-k8s-grpc-tls")
    chain, bundle = data["server.crt"].decode(), data["ca.crt"].decode()
    life = next(life for life in demo.journal.present("prometheus-k8s") if life.ip)
    verified, said = await asyncio.to_thread(openssl.s_client, life.ip or "", bundle)
    demo.stage.check(f"openssl s_client, {life.name}:10901", said, ok=verified)
    verified, said = await asyncio.to_thread(openssl.verify, chain, bundle)
    demo.stage.check("openssl verify, Secret/prometheus-k8s-grpc-tls", said, ok=verified)


async def events_are_there(demo: Demo) -> None:
    """The events of OpenShift's documentation, word for word, from the API."""
    demo.stage.section("The events, from the API")
    found = await events.read(demo.client)
    shown = set()
    for event in found:
        ours = event["involvedObject"]["name"] == "monitoring-tls-operator" and "Secret" in event["reason"]
        line = events.line_of(event)
        if ours and line not in shown:
            demo.stage.say(line)
            shown.add(line)
    for wanted in events.WANTED:
        match = next((event for event in found if wanted.matches(event)), None)
        if match is not None and not wanted.ours:
            demo.stage.say(events.line_of(match))
    lacking = events.lacking(found)
    seen = f"{len(events.WANTED) - len(lacking)} of {len(events.WANTED)}"
    text = f"{seen}; missing: {'; '.join(map(str, lacking))}" if lacking else seen
    demo.stage.check("Reasons, messages and objects as documented", text, ok=not lacking)


async def memory_is_measured(demo: Demo) -> None:
    """What the operator takes."""
    if demo.place.local is None:
        return
    demo.stage.section("The operator itself")
    found = await asyncio.to_thread(memory.of_operator, demo.place.local)
    seen = "; ".join(map(str, found)) or "no process found"
    # The goal is no promise: the figure is given, whatever it is.
    demo.stage.check(f"Memory of its processes (goal {GOAL_MEMORY:.0f} MiB)", seen, ok=bool(found))


def summary(demo: Demo, seconds: float) -> None:
    """What was asked and seen, and what the changes cost."""
    demo.stage.section("Summary")
    checks = Table("", "asked", "seen", "seconds", box=None, pad_edge=False)
    for check in demo.stage.checks:
        took = "" if check.seconds is None else f"{check.seconds:.1f}"
        checks.add_row("✓" if check.ok else "✗", check.asked, check.seen, took)
    costs = Table("change", "seconds", "queries", "requests", "new pods", "of others", box=None, pad_edge=False)
    for change in demo.changes:
        named = ", ".join(f"{each.name} {change.restarts.get(each.name, 0)}" for each in AFFECTED)
        other = sum(count for name, count in change.restarts.items() if name not in {each.name for each in AFFECTED})
        requests = "–" if change.requests is None else str(change.requests)  # noqa: RUF001 - a dash for "none"
        costs.add_row(change.name, f"{change.seconds:.1f}", change.queries, requests, named, str(other))
    demo.stage.show(checks)
    demo.stage.say("")
    demo.stage.say("What the changes cost: requests of the operator to the API server, and new pods")
    demo.stage.show(costs)
    good = sum(1 for check in demo.stage.checks if check.ok)
    demo.stage.say("")
    demo.stage.say(f"{good} of {len(demo.stage.checks)} seen, in {int(seconds // 60)} min {int(seconds % 60)} s")
