"""Catalogue files to `Catalogue` values, with every reference in them checked."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import resources
from typing import Final, TypeVar

from monitoring_tls.catalogue.schema import Place, document
from monitoring_tls.errors import CatalogueError
from monitoring_tls.model.certificate import (
    DerivedSpec,
    IssuingPolicy,
    KeyAlgorithm,
    LeafSpec,
    LeafUsage,
    TrustDomain,
)
from monitoring_tls.model.component import (
    BundleCopy,
    Catalogue,
    Component,
    Dialect,
    DomainUse,
    Endpoint,
    SettingsTarget,
    WorkloadRef,
)
from monitoring_tls.profile.dialects import owned, writes_flags

VERSION: Final = 1
"""The version of the files' form."""

SIGNER: Final = IssuingPolicy(KeyAlgorithm.ECDSA_P256, timedelta(days=730))
LEAF: Final = IssuingPolicy(KeyAlgorithm.ECDSA_P256, timedelta(days=90))
RENEW_AT: Final = 2 / 3

_SUFFIX: Final = ".yaml"
_FIELD: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9]*(\.[a-zA-Z][a-zA-Z0-9]*)*")
_KIND: Final = re.compile(r"Deployment|Prometheus|ThanosRuler|Alertmanager")
_COMMON_NAME: Final = re.compile(r"[ -~]{1,64}")


_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Scope:
    """What holds for the whole file while it is read."""

    namespaces: tuple[str, ...]
    signer: IssuingPolicy
    leaf: IssuingPolicy
    renew_at: float
    secrets: dict[str, Place] = field(default_factory=dict)


def names() -> tuple[str, ...]:
    """The catalogues that are shipped."""
    files = (resources.files("monitoring_tls.catalogue") / "data").iterdir()
    return tuple(sorted(file.name.removesuffix(_SUFFIX) for file in files if file.name.endswith(_SUFFIX)))


def load(
    name: str, *, signer: IssuingPolicy = SIGNER, leaf: IssuingPolicy = LEAF, renew_at: float = RENEW_AT
) -> Catalogue:
    """A shipped catalogue.

    Args:
        name: one of `names`.
        signer: how its CAs are made.
        leaf: how its leaves are made.
        renew_at: the part of a certificate's life (0..1) after which it is replaced.

    Raises:
        CatalogueError: there is none of that name.
    """
    if name not in names():
        raise CatalogueError("MonitoringTLS/cluster", "spec.catalogue.name", name, f"write one of {', '.join(names())}")
    file = resources.files("monitoring_tls.catalogue") / "data" / f"{name}{_SUFFIX}"
    text = file.read_text(encoding="utf-8")
    return parse(text, file.name, name=name, signer=signer, leaf=leaf, renew_at=renew_at)


def parse(
    text: str,
    file: str,
    *,
    name: str,
    signer: IssuingPolicy = SIGNER,
    leaf: IssuingPolicy = LEAF,
    renew_at: float = RENEW_AT,
) -> Catalogue:
    """A catalogue from the text of its file.

    Args:
        text: YAML.
        file: what messages call it.
        name: the catalogue's name.
        signer: as in `load`; so are ``leaf`` and ``renew_at``.
        leaf: see ``signer``.
        renew_at: see ``signer``.

    Raises:
        CatalogueError: with file and line, the first thing that is wrong.
    """
    root = document(text, file).mapping(("version", "namespaces", "components"), ("trustDomains", "clientCABundles"))
    root["version"].integer(VERSION, VERSION)
    scope = _Scope(_distinct(root["namespaces"].items(), Place.label, {"item": str}), signer, leaf, renew_at)
    domains = _distinct(
        _items(root, "trustDomains"),
        lambda place: _domain(place, scope),
        {"trust domain": lambda domain: domain.domain},
    )
    bundles = _distinct(
        _items(root, "clientCABundles"),
        lambda place: _bundle(place, scope),
        {"bundle": lambda bundle: f"{bundle.namespace}/{bundle.name}"},
    )
    components = _distinct(
        root["components"].items(),
        lambda place: _component(place, scope, domains),
        {"component": lambda part: part.name, "component for one workload": lambda part: str(part.workload)},
    )
    return Catalogue(name, scope.namespaces, domains, bundles, components)


def _domain(place: Place, scope: _Scope) -> TrustDomain:
    keys = place.mapping(("name", "secret", "leaves", "derived"))
    namespace, name = _secret(keys["secret"], scope)
    leaves = _distinct(keys["leaves"].items(), _leaf, {"leaf": lambda leaf: leaf.name})
    derived = tuple(_derived(item, scope, leaves) for item in keys["derived"].items())
    return TrustDomain(keys["name"].label(), namespace, name, leaves, derived, scope.signer, scope.leaf, scope.renew_at)


def _leaf(place: Place) -> LeafSpec:
    keys = place.mapping(("name", "usage", "commonName", "dnsNames"))
    return LeafSpec(
        keys["name"].label(),
        keys["usage"].choice(LeafUsage),
        keys["commonName"].text(_COMMON_NAME, "at most 64 printable characters"),
        _distinct(keys["dnsNames"].items(), Place.name, {"item": str}),
    )


def _derived(place: Place, scope: _Scope, leaves: tuple[LeafSpec, ...]) -> DerivedSpec:
    keys = place.mapping(("secret", "leaf", "certificate", "privateKey"))
    namespace, name = _secret(keys["secret"], scope)
    leaf = _one_of(keys["leaf"], (spec.name for spec in leaves), "leaf of this domain")
    return DerivedSpec(namespace, name, leaf, keys["certificate"].data_key(), keys["privateKey"].data_key())


def _bundle(place: Place, scope: _Scope) -> BundleCopy:
    keys = place.mapping(("namespace", "name", "key"))
    namespace = _namespace(keys["namespace"], scope)
    return BundleCopy(namespace, keys["name"].name(), keys["key"].data_key())


def _component(place: Place, scope: _Scope, domains: tuple[TrustDomain, ...]) -> Component:
    keys = place.mapping(("name", "workload"), ("uses", "settings", "endpoints"))
    workload = keys["workload"].mapping(("kind", "namespace", "name"))
    ref = WorkloadRef(
        workload["kind"].text(_KIND, f"one of {_KIND.pattern.replace('|', ', ')}"),
        _namespace(workload["namespace"], scope),
        workload["name"].name(),
    )
    endpoints = _distinct(
        _items(keys, "endpoints"),
        lambda item: _endpoint(item, domains),
        {"endpoint": lambda endpoint: endpoint.name, "endpoint for one port": lambda endpoint: str(endpoint.port)},
    )
    return Component(
        keys["name"].label(),
        ref,
        tuple(_use(item, domains) for item in _items(keys, "uses")),
        tuple(_settings(_items(keys, "settings"))),
        endpoints,
    )


def _use(place: Place, domains: tuple[TrustDomain, ...]) -> DomainUse:
    keys = place.mapping(("domain", "container", "leaf", "reloadsLeaf", "reloadsTrust"))
    domain, leaf = _leaf_of(keys["domain"], keys["leaf"], domains)
    return DomainUse(
        domain, keys["container"].label(), leaf, keys["reloadsLeaf"].boolean(), keys["reloadsTrust"].boolean()
    )


def _settings(places: Iterable[Place]) -> Iterator[SettingsTarget]:
    """The targets, one per container. No flag of a container and no key of a map may have two masters."""
    taken: dict[tuple[str, str], Place] = {}
    for place in places:
        keys = place.mapping(("dialect",), ("containers", "field"))
        dialect = keys["dialect"].choice(Dialect)
        wanted, other = ("containers", "field") if writes_flags(dialect) else ("field", "containers")
        if wanted not in keys:
            raise place.error(f"add the key {wanted}, which says where settings of this dialect go", dialect)
        if other in keys:
            raise keys[other].error(f"remove it: settings of the dialect {dialect} go where {wanted} says")
        if wanted == "field":
            path = keys["field"].text(_FIELD, "a path of keys with dots between them")
            targets = [(keys["field"], path, SettingsTarget(dialect, path=tuple(path.split("."))))]
        else:
            targets = [
                (item, item.label(), SettingsTarget(dialect, item.label())) for item in keys["containers"].items()
            ]
        for where, thing, target in targets:
            for setting in owned(dialect):
                if (first := taken.setdefault((thing, setting), where)) is not where:
                    raise where.error(f"name it once: {setting} there is already set by line {first.line}", thing)
            yield target


def _endpoint(place: Place, domains: tuple[TrustDomain, ...]) -> Endpoint:
    optional = ("domain", "leaf", "clientCertificates", "followsProfile")
    keys = place.mapping(("name", "container", "port"), optional)
    domain = leaf = None
    if "domain" in keys or "leaf" in keys:
        keys = place.mapping(("name", "container", "port", "domain", "leaf"), optional[2:])
        domain, leaf = _leaf_of(keys["domain"], keys["leaf"], domains)
    client_certificates = "clientCertificates" in keys and keys["clientCertificates"].boolean()
    if client_certificates and domain is None:
        raise keys["clientCertificates"].error("add domain and leaf: whose client certificates are required?")
    return Endpoint(
        keys["name"].label(),
        keys["container"].label(),
        keys["port"].integer(1, 65535),
        domain,
        leaf,
        client_certificates,
        keys["followsProfile"].boolean() if "followsProfile" in keys else True,
    )


def _leaf_of(domain: Place, leaf: Place, domains: tuple[TrustDomain, ...]) -> tuple[str, str]:
    name = _one_of(domain, (known.domain for known in domains), "trust domain of this catalogue")
    found = next(known for known in domains if known.domain == name)
    return name, _one_of(leaf, (spec.name for spec in found.leaves), f"leaf of the trust domain {name}")


def _secret(place: Place, scope: _Scope) -> tuple[str, str]:
    keys = place.mapping(("namespace", "name"))
    namespace, name = _namespace(keys["namespace"], scope), keys["name"].name()
    first = scope.secrets.setdefault(f"{namespace}/{name}", place)
    if first is not place:
        raise place.error(f"write another Secret: line {first.line} has this one", f"{namespace}/{name}")
    return namespace, name


def _namespace(place: Place, scope: _Scope) -> str:
    return _one_of(place, scope.namespaces, "namespace of this catalogue")


def _one_of(place: Place, known: Iterable[str], kind: str) -> str:
    names = tuple(known)
    value = place.text()
    if value not in names:
        raise place.error(f"name a {kind}: {', '.join(names) or 'there is none'}")
    return value


def _items(keys: dict[str, Place], key: str) -> Iterator[Place]:
    return keys[key].items() if key in keys else iter(())


def _distinct(
    places: Iterable[Place], read: Callable[[Place], _T], once: Mapping[str, Callable[[_T], str]]
) -> tuple[_T, ...]:
    """Everything read, with no two alike in any of the respects that ``once`` names."""
    things: list[_T] = []
    seen: dict[tuple[str, str], Place] = {}
    for place in places:
        thing = read(place)
        things.append(thing)
        for kind, key in once.items():
            name = key(thing)
            if (first := seen.setdefault((kind, name), place)) is not place:
                raise place.error(f"write only one {kind}: line {first.line} has it too", name)
    return tuple(things)
