"""The status of ``MonitoringTLS/cluster``, made from a plan. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from monitoring_tls.compliance.verdict import Result, follows_profile
from monitoring_tls.model.annotations import ROTATED_FOR
from monitoring_tls.model.certificate import CertificateFacts, SecretView, Stage
from monitoring_tls.model.desired import Desired, Mode
from monitoring_tls.model.snapshot import Snapshot
from monitoring_tls.pki.checks import Finding, Severity
from monitoring_tls.planning.certificates import DomainView, ca_check, leaf_check
from monitoring_tls.planning.consumers import bundle_of
from monitoring_tls.planning.plan import Plan, Problem
from monitoring_tls.planning.proof import Fact, Kind, PodProof
from monitoring_tls.planning.restarts import NOT_PROBED, WorkloadState

# Lists in messages are cut, so that a status stays readable with a hundred pods.
_SHOWN = 3

_EVIDENCE = {Kind.HANDSHAKE: "Handshake", Kind.START_TIME: "Started", Kind.RELOADS: "Started"}


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition, before it is known since when it has been so."""

    type: str
    status: str
    reason: str
    message: str


def build_status(
    plan: Plan, snapshot: Snapshot, desired: Desired, extra: Sequence[Problem], generation: int, now: datetime
) -> dict[str, Any]:
    """The whole status but for the conditions' transition times (see `with_times`).

    Args:
        plan: what was decided.
        snapshot: what it was decided from.
        desired: what was asked for.
        extra: problems that the plan can't know of, for instance a spec that can't be used.
        generation: of the spec that was followed.
        now: the time.
    """
    effective = desired.profile.effective
    grpc = next((view for view in plan.domains if view.domain.derived), None)
    return {
        "observedGeneration": generation,
        "conditions": [vars_of(c, generation) for c in _conditions(plan, snapshot, desired, extra)],
        "profile": {
            "name": effective.name,
            "minTLSVersion": effective.min_version.value,
            "ciphers": list(effective.ciphers),
            "groups": list(effective.groups),
            "dropped": list(effective.dropped),
            "warnings": [*effective.warnings, *_unsupported(plan)],
        },
        "rotation": _rotation(grpc, plan) if grpc else {},
        "certificates": [row for view in plan.domains for row in _certificates(view, now)],
        "components": [_component(state, plan, snapshot, desired) for state in plan.workloads],
        "processesTrustingOldCA": sorted(set(_old_trust(plan))),
    }


def vars_of(condition: Condition, generation: int) -> dict[str, Any]:
    """A condition as the API has it."""
    return {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
        "observedGeneration": generation,
    }


def with_times(status: Mapping[str, Any], before: Mapping[str, Any] | None, now: datetime) -> dict[str, Any]:
    """Give each condition the time of its last transition: kept where its status is as it was."""
    known = {c["type"]: c for c in (before or {}).get("conditions") or ()}
    moment = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    conditions = []
    for condition in status["conditions"]:
        old = known.get(condition["type"])
        same = old is not None and old["status"] == condition["status"]
        conditions.append({**condition, "lastTransitionTime": old["lastTransitionTime"] if old and same else moment})
    return {**status, "conditions": conditions}


def transitions(status: Mapping[str, Any]) -> tuple[Any, ...]:
    """The part of a status whose change is news at once: the stage, and what needs attention."""
    news = {"Degraded", "ProfileValid"}
    conditions = tuple((c["type"], c["status"]) for c in status.get("conditions") or () if c["type"] in news)
    rotation = status.get("rotation") or {}
    return (*conditions, rotation.get("stage"), rotation.get("id"), rotation.get("lastReason"))


def _conditions(plan: Plan, snapshot: Snapshot, desired: Desired, extra: Sequence[Problem]) -> Iterator[Condition]:
    profile = desired.profile
    reason = "AsExpected" if profile.valid else "Refused"
    yield Condition(
        "ProfileValid", _truth(profile.valid), reason, profile.message or f"{profile.effective.name} is followed"
    )
    missing = list(_missing(plan))
    available = not missing
    yield Condition(
        "Available",
        _truth(available),
        "AsExpected" if available else "NotProved",
        _sentence(missing) or "every certificate is in place, and every pod is proved to use it",
    )
    doing = list(_doing(plan))
    yield Condition(
        "Progressing",
        _truth(bool(doing)),
        "Working" if doing else "AsExpected",
        _sentence(doing) or "nothing is going on",
    )
    problems = (*extra, *plan.problems)
    yield Condition(
        "Degraded",
        _truth(bool(problems)),
        problems[0].reason if problems else "AsExpected",
        _sentence([problem.message for problem in problems]) or "nothing needs attention",
    )
    yield _compliant(plan, snapshot, desired)
    if desired.mode is Mode.AUDIT or snapshot.foreign_operator:
        held = len(plan.withheld)
        who = f"{snapshot.foreign_operator} is in charge" if snapshot.foreign_operator else "spec.mode is Audit"
        yield Condition("Enforcing", "False", "Audit", f"{who}; {held} change(s) are withheld")
    else:
        yield Condition("Enforcing", "True", "AsExpected", "spec.mode is Enforce")


def _compliant(plan: Plan, snapshot: Snapshot, desired: Desired) -> Condition:
    failed, unknown = [], []
    for wish in plan.probes:
        if wish.profile is None:
            continue
        evidence = snapshot.evidence.get(wish.key)
        verdict = follows_profile(evidence, desired.profile.effective) if evidence else NOT_PROBED
        text = f"Pod/{wish.pod.namespace}/{wish.pod.name} port {wish.endpoint.port}: {verdict.message}"
        if verdict.result is Result.FAIL:
            failed.append(text)
        elif verdict.result is Result.UNKNOWN:
            unknown.append(text)
    if failed:
        return Condition("Compliant", "False", "Violations", _sentence(failed))
    if unknown or not plan.probes:
        return Condition("Compliant", "Unknown", "NotSeen", _sentence(unknown) or "there is no endpoint to look at")
    text = f"{len(plan.probes)} endpoints were seen to follow the profile {desired.profile.effective.name}"
    return Condition("Compliant", "True", "AsExpected", text)


def _missing(plan: Plan) -> Iterator[str]:
    for view in plan.domains:
        if view.secret is None:
            yield f"Secret/{view.domain.name} -n {view.domain.namespace} is missing"
    for proof in plan.proofs:
        if not proof.proved:
            where = f"Pod/{proof.pod.namespace}/{proof.pod.name}"
            yield f"{where}: serves {proof.serves}, trusts {proof.trusts} ({proof.detail})"


def _doing(plan: Plan) -> Iterator[str]:
    for view in plan.domains:
        if view.rotation is not None:
            yield f"rotation {view.rotation.id} of {view.domain.domain} is {view.rotation.stage}"
    for state in plan.workloads:
        if state.unfinished:
            yield state.unfinished
        elif state.patch is not None:
            yield f"{state.workload.ref} is to be changed: {state.patch.why}"


def _rotation(view: DomainView, plan: Plan) -> dict[str, Any]:
    last = view.secret.annotations.get(ROTATED_FOR, "") if view.secret else ""
    if view.rotation is None:
        return {"stage": Stage.STABLE.value, "lastReason": last}
    return {
        "stage": view.rotation.stage.value,
        "id": view.rotation.id,
        "reason": view.rotation.reason or "scheduled",
        "lastReason": last,
        "step": _step(view, plan),
    }


def _step(view: DomainView, plan: Plan) -> str:
    refs = {consumer.workload.ref for consumer in view.consumers}
    mine = [state for state in plan.workloads if state.workload.ref in refs]
    waiting = [state for state in mine if state.patch is not None]
    done = len(mine) - len(waiting)
    current = next((state.unfinished for state in mine if state.unfinished), None)
    text = f"{done} of {len(mine)} workloads have been brought to the new CA"
    if current:
        return f"{text}; now {current}"
    return f"{text}; next {waiting[0].workload.ref}" if waiting else f"{text}; waiting for proof of every pod"


def _certificates(view: DomainView, now: datetime) -> Iterator[dict[str, Any]]:
    secret = view.secret
    if secret is None:
        return
    for key, stage in (("ca.crt", "Current"), ("previous-ca.crt", "Previous"), ("cross-ca.crt", "CrossSigned")):
        chain = bundle_of(secret, key)
        if chain:
            findings = ca_check(view, secret, now) if key == "ca.crt" else ()
            name = f"{view.domain.domain}/{key.removesuffix('.crt')}"
            yield _certificate(name, secret, chain[0], stage, findings, view.domain.renew_at)
    for spec in view.domain.leaves:
        chain = secret.certificates.get(f"{spec.name}.crt", ())
        if chain and bundle_of(secret):
            issuer = "Current" if chain[0].issuer == bundle_of(secret)[0].subject else "Previous"
            findings = leaf_check(view, secret, spec, now)
            name = f"{view.domain.domain}/{spec.name}"
            yield _certificate(name, secret, chain[0], issuer, findings, view.domain.renew_at)


def _certificate(
    name: str, secret: SecretView, facts: CertificateFacts, stage: str, findings: Sequence[Finding], renew_at: float
) -> dict[str, Any]:
    bad = [f.message for f in findings if f.severity in {Severity.ERROR, Severity.DUE}]
    return {
        "name": name,
        "secret": f"{secret.namespace}/{secret.name}",
        "subject": facts.subject,
        "dnsNames": list(facts.dns_names),
        "issuer": facts.issuer,
        "notBefore": _time(facts.not_before),
        "notAfter": _time(facts.not_after),
        "fingerprint": facts.fingerprint,
        "nextRenewal": _time(facts.renewal_due(renew_at)),
        "stage": stage,
        "state": "; ".join(bad) or "Valid",
    }


def _component(state: WorkloadState, plan: Plan, snapshot: Snapshot, desired: Desired) -> dict[str, Any]:
    proofs = [proof for proof in plan.proofs if proof.consumer.component.name == state.component.name]
    probes = [w for w in plan.probes if w.profile and w.pod.workload == state.workload.ref]
    passed = sum(
        1
        for wish in probes
        if (evidence := snapshot.evidence.get(wish.key)) is not None
        and follows_profile(evidence, desired.profile.effective).result is Result.PASS
    )
    messages = [state.failed or state.unfinished, *state.unproved]
    if state.delivery.missing:
        messages.append(f"in the catalogue, but not there: {', '.join(state.delivery.missing)}")
    rollout = state.workload.rollout
    return {
        "name": state.component.name,
        "workload": str(state.workload.ref),
        "pods": len(state.pods),
        "serving": _share(proofs, "serves"),
        "trusting": _share(proofs, "trusts"),
        "followsProfile": f"{passed}/{len(probes)}",
        "evidence": _EVIDENCE[proofs[0].kind] if proofs else "None",
        "rollout": "Done" if rollout and not state.unfinished else rollout.detail if rollout else "no pods made yet",
        "message": _sentence([message for message in messages if message]),
    }


def _share(proofs: Sequence[PodProof], fact: str) -> str:
    return f"{sum(1 for proof in proofs if getattr(proof, fact) is Fact.PROVED)}/{len(proofs)}"


def _old_trust(plan: Plan) -> Iterator[str]:
    """With ``retire: Lazy``: processes that started while the old CA was still in their bundle."""
    for view in plan.domains:
        if view.rotation is not None or view.retired_at is None:
            continue
        for proof in plan.proofs:
            use = proof.consumer.use
            begun = [proof.pod.started[use.container]] if use.container in proof.pod.started else []
            if use.domain == view.domain.domain and not use.reloads_trust and begun and begun[0] <= view.retired_at:
                yield f"{proof.pod.namespace}/{proof.pod.name}/{use.container}"


def _unsupported(plan: Plan) -> Iterator[str]:
    """What can't be followed, each sentence once, with everyone it is about."""
    about: dict[str, list[str]] = {}
    for state in plan.workloads:
        for text in state.delivery.unsupported:
            place, _, sentence = text.partition(": ")
            about.setdefault(sentence, []).append(f"{state.component.name}/{place}")
    for sentence, places in about.items():
        yield f"{sentence} ({', '.join(places)})"


def _sentence(parts: Sequence[str]) -> str:
    more = len(parts) - _SHOWN
    return "; ".join(parts[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _truth(value: bool) -> str:  # noqa: FBT001 - the value is the subject
    return "True" if value else "False"


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
