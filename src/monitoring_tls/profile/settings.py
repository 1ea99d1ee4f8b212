"""What a dialect makes of a profile."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

_NOTHING: Mapping[str, None] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one component in its own words.

    Attributes:
        flags: per flag of the container's arguments: its value; None removes the flag.
        fields: per key of a custom resource's map: its value; None removes the key.
        unsupported: whole sentences: what the component cannot take, and what it does instead.
        clamped: whole sentences: where the component is held stricter than the profile asks.
    """

    flags: Mapping[str, str | None] = field(default_factory=lambda: _NOTHING)
    fields: Mapping[str, object] = field(default_factory=lambda: _NOTHING)
    unsupported: tuple[str, ...] = ()
    clamped: tuple[str, ...] = ()
