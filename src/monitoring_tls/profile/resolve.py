"""From ``spec.tlsSecurityProfile`` of ``apiservers.config.openshift.io/cluster`` to effective settings.

Fail closed: a profile that cannot be honoured is a `ProfileProblem`, and the caller keeps its last good settings.
Names that nobody knows are left out and listed; what is left must still be something.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from monitoring_tls.model.profile import EffectiveProfile, ProfileProblem, TLSVersion
from monitoring_tls.profile.facts import (
    CUSTOM,
    GROUPS,
    HTTP2_SUITES,
    INTERMEDIATE,
    MLKEM768,
    NOT_IN_GO,
    OPENSSL_TO_IANA,
    PROFILES,
    TLS13_SUITES,
)

MAX_NAMES: Final = 128
"""Longest list that is read. There are not half as many names; more is a mistake, and would flood status."""

_FIELD: Final = "spec.tlsSecurityProfile"
_SHOWN: Final = 64
_KNOWN_SUITES: Final = (*OPENSSL_TO_IANA, *NOT_IN_GO, *TLS13_SUITES)
_BY_IANA: Final = {iana: name for name, iana in (*OPENSSL_TO_IANA.items(), *NOT_IN_GO.items())}
_BY_GO: Final = {group.go: name for name, group in GROUPS.items()}


def resolve(spec: object, *, fips: bool = False) -> EffectiveProfile | ProfileProblem:
    """Resolve a profile as the API object has it.

    Args:
        spec: ``spec.tlsSecurityProfile``; None where the object or the field is absent, which means Intermediate.
        fips: whether the components run in FIPS mode, where Go has no X25519MLKEM768.
    """
    if spec is None:
        return _built_in(INTERMEDIATE, fips=fips)
    if not isinstance(spec, Mapping):
        return _problem(_FIELD, spec, "is not an object", "write {type: Intermediate}, or remove the field")
    kind = spec.get("type") or INTERMEDIATE
    if kind == CUSTOM:
        return _custom(spec.get("custom"), fips=fips)
    if not isinstance(kind, str) or kind not in PROFILES:
        remedy = f"write {_choice([*PROFILES, CUSTOM])}"
        return _problem(f"{_FIELD}.type", kind, "is not a profile", remedy)
    return _built_in(kind, fips=fips)


def _built_in(name: str, *, fips: bool) -> EffectiveProfile:
    profile = PROFILES[name]
    warnings: list[str] = []
    dropped: list[str] = []
    ciphers = _servable(profile.ciphers, dropped)
    if dropped:
        warnings.append(f"Go cannot serve {', '.join(dropped)}: left out")
    groups = _without_mlkem(profile.groups, dropped, warnings) if fips else profile.groups
    return _effective(name, profile.min_version, ciphers, groups, dropped, warnings)


def _custom(custom: object, *, fips: bool) -> EffectiveProfile | ProfileProblem:
    field = f"{_FIELD}.custom"
    if not isinstance(custom, Mapping):
        return _problem(field, custom, "is missing", "give minTLSVersion and ciphers, or choose another type")
    min_version = _version(custom.get("minTLSVersion"), f"{field}.minTLSVersion")
    if isinstance(min_version, ProfileProblem):
        return min_version
    dropped: list[str] = []
    warnings: list[str] = []
    ciphers = _ciphers(custom.get("ciphers"), f"{field}.ciphers", min_version, dropped, warnings)
    if isinstance(ciphers, ProfileProblem):
        return ciphers
    groups = _groups(custom.get("groups"), f"{field}.groups", dropped, warnings, fips=fips)
    if isinstance(groups, ProfileProblem):
        return groups
    return _effective(CUSTOM, min_version, ciphers, groups, dropped, warnings)


def _version(value: object, field: str) -> TLSVersion | ProfileProblem:
    try:
        return TLSVersion(value)  # type: ignore[arg-type] # anything may stand there; what isn't a version raises
    except ValueError:
        problem = "is missing" if value in (None, "") else "is not a TLS version that can be a minimum"
        return _problem(field, value, problem, f"write {_choice(list(TLSVersion))}")


def _ciphers(
    value: object, field: str, min_version: TLSVersion, dropped: list[str], warnings: list[str]
) -> tuple[str, ...] | ProfileProblem:
    names = _names(value, field)
    if isinstance(names, ProfileProblem):
        return names
    known = _known(names, _KNOWN_SUITES, _BY_IANA, field, dropped, warnings)
    ciphers = _servable(known, dropped)
    warnings += [
        f"{_at(field, names, name)} cannot be served by Go and was left out" for name in known if name in NOT_IN_GO
    ]
    if min_version is TLSVersion.TLS13:
        if ciphers:
            warnings.append(
                f"APIServer/cluster {field}: ciphers of TLS 1.2 have no effect while minTLSVersion is VersionTLS13"
            )
        return ()
    if not ciphers:
        problem = "names no cipher of TLS 1.2 or below that can be served" if names else "is empty"
        remedy = "name at least one such as ECDHE-ECDSA-AES128-GCM-SHA256, or set minTLSVersion to VersionTLS13"
        return _problem(field, ", ".join(names), problem, remedy)
    return ciphers


def _groups(
    value: object, field: str, dropped: list[str], warnings: list[str], *, fips: bool
) -> tuple[str, ...] | ProfileProblem:
    names = _names(value, field)
    if isinstance(names, ProfileProblem):
        return names
    groups = tuple(_known(names, GROUPS, _BY_GO, field, dropped, warnings))
    if fips:
        groups = _without_mlkem(groups, dropped, warnings)
    if names and not groups:
        remedy = f"write {_choice([name for name in GROUPS if not (fips and name == MLKEM768)])}, or remove the field"
        return _problem(field, ", ".join(names), "names no key-exchange group that can be used", remedy)
    return groups


def _names(value: object, field: str) -> tuple[str, ...] | ProfileProblem:
    if value is None:
        return ()
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return _problem(field, value, "is not a list", "write a list of names")
    if len(value) > MAX_NAMES:
        return _problem(field, f"{len(value)} names", "is too long", f"name at most {MAX_NAMES}")
    for position, name in enumerate(value):
        if not isinstance(name, str):
            return _problem(f"{field}[{position}]", name, "is not a name", "write a name")
    return tuple(value)


def _known(
    names: Sequence[str],
    known: Iterable[str],
    aliases: Mapping[str, str],
    field: str,
    dropped: list[str],
    warnings: list[str],
) -> tuple[str, ...]:
    """The names that are known, each once; the others are noted with what was probably meant."""
    result: dict[str, None] = {}
    by_fold = {name.casefold(): name for name in (*aliases, *known)}
    for name in names:
        if name in result:
            warnings.append(f"{_at(field, names, name)} stands there more than once; once is enough")
        elif name in known:
            result[name] = None
        else:
            close = difflib.get_close_matches(name[:_SHOWN].casefold(), by_fold, n=1)
            meant = aliases.get(name) or (by_fold[close[0]] if close else None)
            meant = aliases.get(meant or "", meant or "")
            hint = f"; write '{meant}'" if meant else ""
            warnings.append(f"{_at(field, names, name)} is not known and was left out{hint}")
            dropped.append(_shown(name))
    return tuple(result)


def _servable(names: Iterable[str], dropped: list[str]) -> tuple[str, ...]:
    """The suites of TLS 1.2 and below that Go can serve; those of TLS 1.3 are on anyway."""
    names = tuple(names)
    dropped += [name for name in names if name in NOT_IN_GO]
    return tuple(name for name in names if name in OPENSSL_TO_IANA)


def _without_mlkem(groups: tuple[str, ...], dropped: list[str], warnings: list[str]) -> tuple[str, ...]:
    if MLKEM768 not in groups:
        return groups
    dropped.append(MLKEM768)
    warnings.append(f"{MLKEM768} is left out in FIPS mode")
    return tuple(name for name in groups if name != MLKEM768)


def _effective(
    name: str,
    min_version: TLSVersion,
    ciphers: tuple[str, ...],
    groups: tuple[str, ...],
    dropped: list[str],
    warnings: list[str],
) -> EffectiveProfile:
    if ciphers and HTTP2_SUITES.isdisjoint(ciphers):
        warnings.append(
            f"HTTP/2 over TLS 1.2 needs one of {', '.join(sorted(HTTP2_SUITES))}: without it, "
            "servers fall back to HTTP/1.1"
        )
    iana = tuple(OPENSSL_TO_IANA[cipher] for cipher in ciphers)
    return EffectiveProfile(name, min_version, ciphers, iana, groups, tuple(dropped), tuple(warnings))


def _at(field: str, names: Sequence[str], name: str) -> str:
    return f"APIServer/cluster {field}[{names.index(name)}]: {_shown(name)!r}"


def _choice(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _problem(field: str, value: object, problem: str, remedy: str) -> ProfileProblem:
    return ProfileProblem(field, "" if value is None else _shown(value), problem, remedy)
