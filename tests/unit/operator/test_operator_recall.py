from dataclasses import replace
from datetime import UTC, datetime, timedelta

from monitoring_tls.catalogue.load import load
from monitoring_tls.kube.events import secret_created, secret_updated
from monitoring_tls.model.certificate import SecretView
from monitoring_tls.model.snapshot import Snapshot
from monitoring_tls.operator.recall import untold

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
CATALOGUE = load("openshift-monitoring")
PLACE = ("openshift-monitoring", "grpc-tls")
MADE = SecretView(*PLACE, "uid", "1", NOW, {}, {}, {}, {}, written_at=NOW)


def owed(secret: SecretView, told: dict[str, datetime], later: timedelta = timedelta(minutes=1)) -> list[str]:
    snapshot = Snapshot(frozenset(CATALOGUE.namespaces), {PLACE: secret}, {}, {}, (), {}, None)
    return [happening.message for happening in untold(snapshot, CATALOGUE, told, NOW + later)]


def test_what_was_made_and_never_told_is_told_as_made() -> None:
    assert owed(MADE, {}) == [secret_created(*PLACE).message]


def test_what_was_changed_since_it_was_told_is_told_as_changed() -> None:
    changed = replace(MADE, written_at=NOW + timedelta(minutes=5))
    told = {secret_created(*PLACE).message: NOW}
    assert owed(changed, told, timedelta(minutes=6)) == [secret_updated(*PLACE).message]


def test_what_was_told_is_not_told_again() -> None:
    assert owed(MADE, {secret_created(*PLACE).message: NOW}) == []
    changed = replace(MADE, written_at=NOW + timedelta(minutes=5))
    told = {secret_created(*PLACE).message: NOW, secret_updated(*PLACE).message: NOW + timedelta(minutes=5)}
    assert owed(changed, told, timedelta(minutes=6)) == []


def test_of_what_events_are_forgotten_anyway_nothing_is_told() -> None:
    assert owed(MADE, {}, timedelta(hours=2)) == []


def test_what_others_wrote_is_not_ours_to_tell() -> None:
    assert owed(replace(MADE, written_at=None), {}) == []
