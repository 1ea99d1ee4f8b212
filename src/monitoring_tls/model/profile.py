"""A TLS profile resolved: what every component is asked to follow."""

from dataclasses import dataclass
from enum import StrEnum


class TLSVersion(StrEnum):
    """Protocol versions by their names in the OpenShift API and in Go flags."""

    TLS10 = "VersionTLS10"
    TLS11 = "VersionTLS11"
    TLS12 = "VersionTLS12"
    TLS13 = "VersionTLS13"

    @property
    def rank(self) -> int:
        """The position among the versions, oldest first: versions are compared by it."""
        return list(TLSVersion).index(self)


@dataclass(frozen=True, slots=True)
class EffectiveProfile:
    """The settings a profile comes to.

    Attributes:
        name: Old, Intermediate, Modern or Custom.
        ciphers: suites of TLS 1.2 and below, OpenSSL names, in order; empty where the minimum is TLS 1.3.
        groups: key-exchange groups by API name, in order.
        dropped: names in the object that nobody knows, or that Go cannot serve: left out, and listed in status.
        warnings: whole sentences for status.
    """

    name: str
    min_version: TLSVersion
    ciphers: tuple[str, ...]
    iana_ciphers: tuple[str, ...]
    groups: tuple[str, ...]
    dropped: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProfileProblem:
    """Why a profile object is refused; the last good settings stay."""

    field: str
    value: str
    problem: str
    remedy: str

    @property
    def message(self) -> str:
        """One sentence for the condition ``ProfileValid``."""
        return f"APIServer/cluster {self.field}: {self.value!r} {self.problem}; {self.remedy}"
