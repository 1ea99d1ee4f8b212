"""Pure functions that a walk asks the same thing a thousand times, remembered for its length."""

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import pytest

from monitoring_tls.model.certificate import CertificateFacts, LeafUsage
from monitoring_tls.pki import checks, domain, facts, keys, secret_view, verify


@functools.lru_cache(maxsize=200_000)
def _remembered(
    chain: tuple[str, ...], roots: tuple[str, ...], usage: LeafUsage, name: str | None, in_time: tuple[bool, ...]
) -> list[bool]:
    return []


def _verifies(
    chain: Sequence[CertificateFacts],
    roots: Sequence[CertificateFacts],
    usage: LeafUsage,
    name: str | None,
    at: datetime,
) -> bool:
    """`verify.verifies`, whose answer depends on the time only by which of the certificates are in time."""
    answer = _remembered(
        tuple(c.fingerprint for c in chain),
        tuple(c.fingerprint for c in roots),
        usage,
        name,
        tuple(c.not_before <= at <= c.not_after for c in (*chain, *roots)),
    )
    if not answer:
        answer.append(verify.verifies(chain, roots, usage, name, at))
    return answer[0]


_certificates = functools.lru_cache(maxsize=50_000)(facts.parse_certificates)
_key = functools.lru_cache(maxsize=50_000)(keys.parse_private_key)


@contextmanager
def remembered() -> Iterator[None]:
    """For the length of a walk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks, "verifies", _verifies)
        patch.setattr(domain, "verifies", _verifies)
        patch.setattr(secret_view, "parse_certificates", _certificates)
        patch.setattr(secret_view, "parse_private_key", _key)
        yield
