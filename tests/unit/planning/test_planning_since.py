from datetime import UTC, datetime

import pytest

from monitoring_tls.model.annotations import TRUST_SINCE
from monitoring_tls.model.certificate import SecretView
from monitoring_tls.planning.consumers import since

MADE = datetime(2026, 11, 24, 12, tzinfo=UTC)
LATER = datetime(2026, 11, 24, 13, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-24T13:00:00Z", LATER),
        ("2026-11-24T14:00:00+01:00", LATER),
        ("2026-11-24T13:00:00", MADE),  # without a zone it names no moment
        ("yesterday", MADE),
        ("", MADE),
        (None, MADE),
    ],
)
def test_an_annotation_that_names_no_moment_counts_as_none(text: str | None, moment: datetime) -> None:
    annotations = {} if text is None else {TRUST_SINCE: text}
    view = SecretView("monitoring", "grpc-tls", "uid", "1", MADE, {}, {}, {}, annotations)
    assert since(view, TRUST_SINCE) == moment
