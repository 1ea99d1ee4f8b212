"""Reading the audit log, the events and the node's account of memory."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

from demo import events, memory
from demo.audit import OPERATOR, AuditLog

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def line(second: float, verb: str, resource: str, *, audit_id: str = "", user: str = OPERATOR, code: int = 200) -> str:
    event = {
        "auditID": audit_id or f"{second}-{verb}-{resource}",
        "verb": verb,
        "user": {"username": user},
        "objectRef": {"resource": resource, "namespace": "n", "name": "x"},
        "responseStatus": {"code": code},
        "requestReceivedTimestamp": (START + dt.timedelta(seconds=second)).isoformat(),
    }
    return json.dumps(event) + "\n"


def test_requests_are_counted_without_watches_and_the_lease(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_text(
        line(-1, "patch", "secrets")
        + line(1, "patch", "secrets")
        + line(1.5, "patch", "secrets", audit_id="1-patch-secrets")  # a later stage of a request is not a second one
        + line(2, "watch", "pods", audit_id="w")
        + line(2, "update", "leases")
        + line(3, "patch", "prometheuses")
        + line(4, "get", "secrets", user="somebody")
        + line(5, "create", "secrets", code=403)
        + '{"auditID": "half'
    )
    found = AuditLog(log).window(START, START + dt.timedelta(seconds=4))
    assert found.summary() == (
        "2 requests (1 patch secrets, 1 patch prometheuses), besides 1 for its Lease and 1 watches begun"
    )
    assert [write.resource for write in found.writes("secrets", "prometheuses")] == ["secrets", "prometheuses"]
    assert [request.verb for request in AuditLog(log).window(START).refused()] == ["create"]


def test_the_request_that_is_acted_on_is_somebody_elses(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_text(
        line(1, "patch", "monitoringtlses")
        + line(2, "get", "monitoringtlses", user="admin")
        + line(3, "patch", "monitoringtlses", user="admin")
        + line(4, "patch", "monitoringtlses", user="admin")
    )
    assert AuditLog(log).asked_for("monitoringtlses", START) == START + dt.timedelta(seconds=3)
    assert AuditLog(log).asked_for("secrets", START) is None


def event(reason: str, about: str, message: str, source: str, field: str | None = None) -> dict[str, Any]:
    kind, _, name = about.partition("/")
    return {
        "metadata": {"namespace": "openshift-monitoring", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "involvedObject": {"kind": kind, "name": name, "fieldPath": field},
        "reason": reason,
        "message": message,
        "source": {"component": source},
    }


def test_an_event_is_wanted_word_for_word() -> None:
    wanted = events.WANTED[0]
    text = "Created Secret/grpc-tls -n openshift-monitoring because it was missing"
    about = "Deployment/monitoring-tls-operator"
    assert wanted.matches(event("SecretCreated", about, text, "monitoring-tls-operator"))
    assert not wanted.matches(event("SecretCreated", about, text + ".", "monitoring-tls-operator"))
    assert not wanted.matches(event("SecretUpdated", about, text, "monitoring-tls-operator"))
    assert not wanted.matches(event("SecretCreated", "Deployment/other", text, "monitoring-tls-operator"))


def test_an_event_of_kubernetes_that_the_operator_emits_is_not_the_wanted_one() -> None:
    created = next(w for w in events.WANTED if w.reason == "Created")
    field = "spec.containers{kube-rbac-proxy-thanos}"
    assert created.matches(event("Created", "Pod/prometheus-k8s-0", "Container created", "kubelet", field))
    forged = event("Created", "Pod/prometheus-k8s-0", "Container created", "monitoring-tls-operator", field)
    assert not created.matches(forged)
    assert not created.matches(event("Created", "Pod/prometheus-k8s-0", "Container created", "kubelet"))


def test_what_is_lacking_is_named() -> None:
    assert len(events.lacking([])) == len(events.WANTED)
    assert "Secret/grpc-tls" in str(events.lacking([])[0])


def test_memory_is_read_from_proc() -> None:
    text = "VmHWM:\t 71680 kB\nVmRSS:\t 61440 kB\nRssAnon:\t 40960 kB\nRssFile:\t 20480 kB\n\n"
    small = text.replace("61440", "51200")
    assert [found.resident for found in memory.parse(small + text)] == [60.0, 50.0]
    assert str(memory.parse(text)[0]) == "60.0 MiB (40.0 own, 20.0 files; most 70.0)"
    assert memory.parse("") == []
