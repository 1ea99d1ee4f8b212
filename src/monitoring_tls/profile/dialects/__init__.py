"""How each component writes its TLS settings.

One small pure module per dialect, with ``NAMES`` (everything it may ever write) and ``settings(profile)``; each
docstring names the source of its spelling. A new dialect is a module here, a member of `Dialect` and a line in the
table below.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from monitoring_tls.model.component import Dialect
from monitoring_tls.model.profile import EffectiveProfile
from monitoring_tls.profile.dialects import go_flags, kube_rbac_proxy_flags, prometheus_cr_grpc, thanos_client_flags
from monitoring_tls.profile.edits import edit_args, edit_fields, found_fields, found_flags, restore_args, with_found
from monitoring_tls.profile.settings import Settings


@dataclass(frozen=True, slots=True)
class _Entry:
    settings: Callable[[EffectiveProfile], Settings]
    names: tuple[str, ...]
    flags: bool = True


_DIALECTS: Final[Mapping[Dialect, _Entry]] = MappingProxyType(
    {
        Dialect.GO_FLAGS: _Entry(go_flags.settings, go_flags.NAMES),
        Dialect.KUBE_RBAC_PROXY_FLAGS: _Entry(kube_rbac_proxy_flags.settings, kube_rbac_proxy_flags.NAMES),
        Dialect.THANOS_CLIENT_FLAGS: _Entry(thanos_client_flags.settings, thanos_client_flags.NAMES),
        Dialect.PROMETHEUS_CR_GRPC: _Entry(prometheus_cr_grpc.settings, prometheus_cr_grpc.NAMES, flags=False),
    }
)


def settings(dialect: Dialect, profile: EffectiveProfile) -> Settings:
    """The profile in a component's own words."""
    return _DIALECTS[dialect].settings(profile)


def owned(dialect: Dialect) -> tuple[str, ...]:
    """Every flag or key that the dialect may write under some profile: what is to be noted before the first write."""
    return _DIALECTS[dialect].names


def writes_flags(dialect: Dialect) -> bool:
    """Whether the settings are arguments of a container; otherwise they are keys of a custom resource's map."""
    return _DIALECTS[dialect].flags


__all__ = [
    "Settings",
    "edit_args",
    "edit_fields",
    "found_fields",
    "found_flags",
    "owned",
    "restore_args",
    "settings",
    "with_found",
    "writes_flags",
]
