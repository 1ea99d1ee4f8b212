import asyncio
import contextlib
import json
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from devcluster.controlplane import ControlPlane
from monitoring_tls.errors import ConfigError, LeadershipLostError
from monitoring_tls.kube.client import KubeClient
from monitoring_tls.kube.lease import LeaderElector, LeaseTiming, new_identity
from monitoring_tls.kube.resources import CONFIGMAPS, LEASES, Object
from tests.integration.kube.conftest import Until
from tests.integration.kube.faults import FaultProxy, status_response
from tests.integration.kube.lease_candidate import TIMING

_PROGRAM = Path(__file__).with_name("lease_candidate.py")
_MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def elector(client: KubeClient, namespace: str, identity: str) -> LeaderElector:
    return LeaderElector(client, namespace, "lease", identity, timing=TIMING)


async def lease(client: KubeClient, namespace: str) -> Object:
    spec: Object = (await client.get(LEASES, namespace, "lease"))["spec"]
    return spec


@asynccontextmanager
async def leading(candidate: LeaderElector) -> AsyncIterator["asyncio.Future[Any]"]:
    """Run a candidate whose work never ends; stop it as a shutdown does."""
    task = asyncio.ensure_future(candidate.run(asyncio.Event().wait))
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, LeadershipLostError):
            await task


async def test_one_leads_until_it_goes_and_then_the_other(client: KubeClient, namespace: str, until: Until) -> None:
    first, second = elector(client, namespace, "first"), elector(client, namespace, "second")
    with pytest.raises(LeadershipLostError):
        first.ensure_leader()
    async with leading(first):
        await until(lambda: first.is_leader)
        first.ensure_leader()
        acquired = (await lease(client, namespace))["acquireTime"]
        async with leading(second):
            await until(lambda: second.holder == "first")
            renewals = client.requests["replace", "leases"]
            await until(lambda: client.requests["replace", "leases"] >= renewals + 5)
            assert _leaders(first, second) == ["first"]
            spec = await lease(client, namespace)
            assert spec["holderIdentity"] == "first"
            assert spec["acquireTime"] == acquired
            assert spec["renewTime"] > acquired
            assert spec["leaseTransitions"] == 0
            assert spec["leaseDurationSeconds"] == 3
            assert _MICRO_TIME.fullmatch(spec["renewTime"])
    spec = await lease(client, namespace)
    assert "holderIdentity" not in spec, "given back"
    async with leading(second):
        await until(lambda: second.is_leader)
        assert _leaders(first, second) == ["second"]
        spec = await lease(client, namespace)
        assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("second", 1)


async def test_the_lease_is_given_back_only_after_the_work_has_ended(client: KubeClient, namespace: str) -> None:
    candidate = elector(client, namespace, "a")
    seen: list[str] = []

    async def work() -> str:
        try:
            candidate.ensure_leader()
            return "done"
        finally:
            seen.append((await lease(client, namespace))["holderIdentity"])

    assert await candidate.run(work) == "done"
    assert seen == ["a"]
    assert not candidate.is_leader
    assert "holderIdentity" not in await lease(client, namespace)


async def test_what_the_work_raises_comes_out(client: KubeClient, namespace: str) -> None:
    async def work() -> None:
        raise LookupError("of the work")

    with pytest.raises(LookupError, match="of the work"):
        await elector(client, namespace, "a").run(work)
    assert "holderIdentity" not in await lease(client, namespace)


async def test_a_leader_without_the_api_server_stops_in_time(
    through: KubeClient, client: KubeClient, proxy: FaultProxy, namespace: str, until: Until
) -> None:
    candidate, other = elector(through, namespace, "cut-off"), elector(client, namespace, "other")
    async with leading(candidate) as task:
        await until(lambda: candidate.is_leader)
        proxy.refusing = True
        proxy.cut()
        # The other's takeover must find a leader that has already stopped.
        async with leading(other):
            await until(lambda: other.is_leader)
            assert not candidate.is_leader
            assert task.done()
            assert isinstance(task.exception(), LeadershipLostError)
            assert (await lease(client, namespace))["leaseTransitions"] == 1


async def test_a_leader_whose_lease_was_taken_stops_at_once(client: KubeClient, namespace: str, until: Until) -> None:
    candidate = elector(client, namespace, "robbed")
    async with leading(candidate) as task:
        await until(lambda: candidate.is_leader)
        await client.merge_patch(LEASES, namespace, "lease", {"spec": {"holderIdentity": "robber"}})
        await until(task.done)
        assert isinstance(task.exception(), LeadershipLostError)
        assert (await lease(client, namespace))["holderIdentity"] == "robber", "and is not given back by us"


async def test_short_faults_do_not_end_the_leadership(
    through: KubeClient, proxy: FaultProxy, namespace: str, until: Until
) -> None:
    candidate = elector(through, namespace, "a")
    async with leading(candidate) as task:
        await until(lambda: candidate.is_leader)
        for fault in ("lost", "429", "500"):
            before = proxy.count("PUT")
            if fault == "lost":
                proxy.lost.append("PUT")
            else:
                proxy.canned.append(("PUT", status_response(int(fault), "Injected")))
            await until(lambda: proxy.count("PUT") >= before + 4)  # noqa: B023 - used up in this turn
            assert candidate.is_leader
        assert not task.done()


async def test_a_process_that_was_stopped_and_continued_writes_nothing_more(
    client: KubeClient, namespace: str, until: Until, control_plane: ControlPlane
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, _PROGRAM, control_plane.kubeconfig, namespace, "frozen", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"leading\n"
        process.send_signal(signal.SIGSTOP)
        successor = elector(client, namespace, "successor")
        async with leading(successor):
            await until(lambda: successor.is_leader)
            mine = {"metadata": {"namespace": namespace, "name": "written"}, "data": {"writer": "successor"}}
            await client.apply(CONFIGMAPS, mine)
            version = (await client.get(CONFIGMAPS, namespace, "written"))["metadata"]["resourceVersion"]
            audited = control_plane.audit_log.read_text().count("\n")
            process.send_signal(signal.SIGCONT)
            said, _ = await process.communicate()
            assert said.startswith(b"lost: Lease")
            assert process.returncode == 0
            assert successor.is_leader
            written = await client.get(CONFIGMAPS, namespace, "written")
            assert (written["data"]["writer"], written["metadata"]["resourceVersion"]) == ("successor", version)
        lines = control_plane.audit_log.read_text().splitlines()[audited:]
        events = [json.loads(line) for line in lines if f'"{namespace}"' in line]
        written_late = [event["responseStatus"]["code"] for event in events if _writes(event)]
        # At most the one request that was on its way: refused as outdated, or (500) never followed by its body.
        assert written_late in ([], [409], [500])
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _leaders(*candidates: LeaderElector) -> list[str]:
    return [candidate.identity for candidate in candidates if candidate.is_leader]


def _writes(event: Object) -> bool:
    done = event["stage"] == "ResponseComplete" and event["verb"] not in {"get", "list", "watch"}
    return done and event["objectRef"].get("name") == "written"


def test_periods_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match="lease_duration > renew_deadline"):
        LeaseTiming(lease_duration=10.0, renew_deadline=10.0)
    with pytest.raises(ConfigError):
        LeaseTiming(renew_deadline=2.0, retry_period=2.0)


def test_no_two_identities_are_the_same() -> None:
    assert new_identity() != new_identity()
