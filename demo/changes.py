"""The third part: the two changes that the operator is for, made under the load."""

import asyncio
import datetime as dt
import ssl
import sys
import time
from collections import deque
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from demo import handshakes
from demo.audit import Window
from demo.context import Change, Demo
from demo.errors import DemoError
from demo.handshakes import GRPC_PORT, ClientPair, Handshake, Result
from demo.serving import PLATFORM
from demo.stack import AFFECTED, OPERATOR, PODS_EACH, SECRETS_MADE
from devcluster.progress import Step
from monitoring_tls.kube.resources import APISERVERS

TLS12: Final = ssl.TLSVersion.TLSv1_2
TLS13: Final = ssl.TLSVersion.TLSv1_3

MOST_REQUESTS: Final = 60
MOST_SECONDS_TO_WRITE: Final = 2.0
_CHANGE_SECONDS: Final = 300.0
_FLUSH_SECONDS: Final = 2.0
_TEMPLATES: Final = ("deployments", "prometheuses", "thanosrulers")


async def profile_changes(demo: Demo) -> None:
    """Modern, in one place: TLS 1.2, accepted by every endpoint before, is refused by every one; and back."""
    demo.stage.section("The central TLS profile: APIServer/cluster to Modern, and back")
    before = await _shake(demo, TLS12)
    accepted = all(shake.result is Result.ACCEPTED for shake in before)
    demo.stage.check("TLS 1.2 at every endpoint, before", handshakes.tell(before), ok=accepted)
    await _set_profile(demo, "Modern", Result.REFUSED)
    still = await _shake(demo, TLS13)
    demo.stage.check(
        "TLS 1.3 at every endpoint", handshakes.tell(still), ok=all(s.result is Result.ACCEPTED for s in still)
    )
    await _set_profile(demo, "Intermediate", Result.ACCEPTED)


async def authority_rotates(demo: Demo) -> None:
    """A new CA, key and all, under the load."""
    demo.stage.section("CA rotation under load: monitoring-tls rotate")
    old = await demo.secret(PLATFORM, "grpc-tls")
    began, asked_at = time.monotonic(), dt.datetime.now(dt.UTC)
    reason = f"demo {asked_at:%Y-%m-%d %H:%M:%S}"
    with demo.stage.step(f"monitoring-tls rotate --wait --reason '{reason}'") as step:
        status, said = await _rotate(demo, reason, began, step)
    took = time.monotonic() - began
    demo.stage.check("The rotation", said, ok=status == 0, seconds=took)
    await asyncio.sleep(_FLUSH_SECONDS)
    until = dt.datetime.now(dt.UTC)
    tally = demo.running_load().tally(began)
    demo.stage.check("Queries lost by the rotation", str(tally), ok=tally.failed == 0)
    _check_restarts(demo, began)
    await _check_authority(demo, old)
    window = None
    if demo.audit:
        # From the moment at which the API server got the request: the command had to start first.
        asked_at = demo.audit.asked_for("monitoringtlses", asked_at) or asked_at
        window = demo.audit.window(asked_at, until)
        _check_requests(demo, window, asked_at)
    requests = len(window.counted) if window else None
    demo.changes.append(Change("CA rotation", took, str(tally), dict(demo.journal.made_since(began)), requests))


async def _set_profile(demo: Demo, name: str, wanted: Result) -> None:
    began, asked_at = time.monotonic(), dt.datetime.now(dt.UTC)
    profile = {"type": name, name.lower(): {}}
    await demo.client.apply(APISERVERS, {"metadata": {"name": "cluster"}, "spec": {"tlsSecurityProfile": profile}})

    async def missing() -> str:
        seen = await _shake(demo, TLS12)
        other = [str(shake.endpoint) for shake in seen if shake.result is not wanted]
        if other:
            return f"TLS 1.2 not yet {wanted} by {len(other)} of {len(seen)} endpoints ({', '.join(other[:2])}, …)"
        return await demo.unsettled() or await demo.busy(name)

    took = await demo.stage.until(
        f"Profile {name}", missing, seconds=_CHANGE_SECONDS, every=1.0, beside=lambda: demo.beside(began)
    )
    seen = await _shake(demo, TLS12)
    right = all(shake.result is wanted for shake in seen)
    demo.stage.check(f"Profile {name}: TLS 1.2 {wanted} everywhere", handshakes.tell(seen), ok=right, seconds=took)
    tally = demo.running_load().tally(began)
    demo.stage.check(f"Queries lost by the change to {name}", str(tally), ok=tally.failed == 0)
    window = demo.audit.window(asked_at) if demo.audit else None
    if window is not None:
        demo.stage.say(f"  {window.summary()}")
    requests = len(window.counted) if window else None
    restarts = dict(demo.journal.made_since(began))
    demo.changes.append(Change(f"profile {name}", took, str(tally), restarts, requests))


async def _shake(demo: Demo, version: ssl.TLSVersion) -> list[Handshake]:
    pair: ClientPair = await demo.querier_pair()
    targets = handshakes.endpoints(demo.journal)
    if version is TLS12:
        return await asyncio.to_thread(handshakes.refuses_tls12, targets, pair)
    return await asyncio.to_thread(handshakes.shake_all, targets, version, pair)


async def _rotate(demo: Demo, reason: str, began: float, step: Step) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "monitoring_tls", "rotate", "--kubeconfig", str(demo.place.kubeconfig)),
        *("--reason", reason, "--wait", "--timeout", str(int(_CHANGE_SECONDS))),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    if process.stdout is None:
        raise DemoError("the command's output can't be read", "try again")
    last: deque[str] = deque(maxlen=1)
    async for line in process.stdout:
        last.append(line.decode().strip())
        step.update(f"{demo.beside(began)} · {last[-1]}")
    return await process.wait(), last[-1] if last else "nothing was said"


def _check_restarts(demo: Demo, began: float) -> None:
    made = demo.journal.made_since(began)
    wanted = {each.name: PODS_EACH for each in AFFECTED}
    seen = ", ".join(f"{name} {count}" for name, count in sorted(made.items())) or "none"
    demo.stage.check("Each affected pod is replaced once, no other", f"new pods: {seen}", ok=dict(made) == wanted)
    crashed = demo.journal.container_restarts()
    demo.stage.check("Containers that ended by themselves", str(crashed), ok=crashed == 0)


async def _check_authority(demo: Demo, old: dict[str, bytes]) -> None:
    new = await demo.secret(PLATFORM, "grpc-tls")
    before, after = (x509.load_pem_x509_certificates(data["ca.crt"]) for data in (old, new))
    fresh = before[0].public_key() != after[0].public_key()
    demo.stage.check("The CA's key is a new one", "new" if fresh else "the same", ok=fresh)
    left = sorted(set(new) - set(old))
    seen = f"{len(after)} CA in the bundle" + (f", left over: {', '.join(left)}" if left else "")
    demo.stage.check("The old CA has left", seen, ok=len(after) == 1 and not left)
    served = x509.load_pem_x509_certificate(new["prometheus-server.crt"])
    fingerprint = served.fingerprint(hashes.SHA256()).hex()
    grpc = [shake for shake in await _shake(demo, TLS13) if shake.endpoint.port == GRPC_PORT]
    right = [shake for shake in grpc if shake.leaf == fingerprint]
    demo.stage.check(
        "Every gRPC port serves the new CA's leaf",
        f"{len(right)} of {len(grpc)}, verified by the new CA alone",
        ok=len(right) == len(grpc) == (len(AFFECTED) - 1) * PODS_EACH,
    )


def _check_requests(demo: Demo, window: Window, asked_at: dt.datetime) -> None:
    counted = len(window.counted)
    demo.stage.check(f"At most {MOST_REQUESTS} requests", window.summary(), ok=counted <= MOST_REQUESTS)
    first: dict[tuple[str, str], float] = {}
    for write in window.writes("secrets"):
        first.setdefault((write.namespace, write.name), (write.at - asked_at).total_seconds())
    # The metrics endpoint's own Secret is no part of the rotation.
    written = {name: seconds for name, seconds in first.items() if name in SECRETS_MADE}
    workload = next(((w.at - asked_at).total_seconds() for w in window.writes(*_TEMPLATES)), None)
    in_time = set(written) == set(SECRETS_MADE) and workload is not None
    slowest = max([*written.values(), workload or 0.0])
    demo.stage.check(
        f"All Secrets and the first workload within {MOST_SECONDS_TO_WRITE:.0f} s of the request",
        f"{len(written)} Secrets, first workload after {workload or 0.0:.2f} s, slowest {slowest:.2f} s",
        ok=in_time and slowest <= MOST_SECONDS_TO_WRITE,
    )
    refused = window.refused()
    demo.stage.check(
        f"Requests that the permissions of {OPERATOR} refuse",
        ", ".join(sorted({str(request) for request in refused})) or "none",
        ok=not refused,
    )
