from datetime import UTC, datetime, timedelta

from monitoring_tls.model.action import WriteConfigMap, WriteDerived
from monitoring_tls.model.snapshot import Snapshot
from monitoring_tls.operator.contest import LIMIT, WINDOW, Ledger

NOW = datetime(2026, 11, 24, tzinfo=UTC)
NOTHING = Snapshot(frozenset(), {}, {}, {}, (), {}, None)
COPY = WriteConfigMap("monitoring", "metrics-client-ca", {"client-ca.crt": "a"}, created=False)


def derived(version: str) -> WriteDerived:
    return WriteDerived("grpc", (("monitoring", "a"), ("monitoring", "b")), "they differ", version)


def test_the_same_write_is_made_three_times_and_then_left_alone() -> None:
    ledger = Ledger()
    for number in range(LIMIT):
        actions, problems = ledger.admit((COPY,), NOTHING, NOW + timedelta(seconds=number))
        assert actions == (COPY,)
        assert problems == ()
    actions, (problem,) = ledger.admit((COPY,), NOTHING, NOW + timedelta(seconds=LIMIT))
    assert actions == ()
    assert problem.reason == "Contested"
    assert "ConfigMap/metrics-client-ca -n monitoring" in problem.message


def test_it_is_tried_again_when_the_window_is_over() -> None:
    ledger = Ledger()
    for number in range(LIMIT + 1):
        ledger.admit((COPY,), NOTHING, NOW + timedelta(seconds=number))
    assert ledger.admit((COPY,), NOTHING, NOW + WINDOW + timedelta(minutes=1))[0] == (COPY,)


def test_what_changes_at_its_source_is_no_contest() -> None:
    ledger = Ledger()
    for version in range(2 * LIMIT):
        action = derived(str(version))
        assert ledger.admit((action,), NOTHING, NOW + timedelta(seconds=version))[0] == (action,)


def test_only_the_contested_one_of_several_is_left_alone() -> None:
    ledger = Ledger()
    for second in range(LIMIT):
        ledger.admit((WriteDerived("grpc", (("monitoring", "a"),), "", "1"),), NOTHING, NOW + timedelta(seconds=second))
    (action,), (problem,) = ledger.admit((derived("1"),), NOTHING, NOW + timedelta(seconds=LIMIT))
    assert isinstance(action, WriteDerived)
    assert action.targets == (("monitoring", "b"),)
    assert "Secret/a -n monitoring" in problem.message
