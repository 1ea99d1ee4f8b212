"""Pod templates, wherever they stand: in a Deployment, or spread over a custom resource of prometheus-operator."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from monitoring_tls.kube.patches import pointer
from monitoring_tls.model.snapshot import ContainerView, Mount

POD_ANNOTATIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "Deployment": ("spec", "template", "metadata", "annotations"),
    "StatefulSet": ("spec", "template", "metadata", "annotations"),
    "DaemonSet": ("spec", "template", "metadata", "annotations"),
    "Prometheus": ("spec", "podMetadata", "annotations"),
    "Alertmanager": ("spec", "podMetadata", "annotations"),
    "ThanosRuler": ("spec", "podMetadata", "annotations"),
}
"""Per kind: where annotations stand that its pods will carry."""

CUSTOM_RESOURCES: Final = frozenset({"Prometheus", "Alertmanager", "ThanosRuler"})
"""Kinds of prometheus-operator, whose pod template is made of their spec."""


def pod_spec_path(kind: str) -> tuple[str, ...]:
    """Where ``volumes`` and ``containers`` stand in an object of this kind."""
    return ("spec",) if kind in CUSTOM_RESOURCES else ("spec", "template", "spec")


def at(obj: Any, path: tuple[str, ...]) -> Any:
    """What stands at a path of keys; None where it leads nowhere."""
    for key in path:
        if not isinstance(obj, Mapping):
            return None
        obj = obj.get(key)
    return obj


def mounts(spec: Any, path: tuple[str, ...]) -> Iterator[Mount]:
    """Every Secret and ConfigMap that a pod spec refers to.

    Args:
        spec: the object that has ``volumes`` and ``containers``.
        path: where it stands, for the pointers.
    """
    for index, volume in enumerate(_items(spec, "volumes")):
        base = (*path, "volumes", str(index))
        yield from _source(volume.get("secret"), "Secret", "secretName", (*base, "secret"))
        yield from _source(volume.get("configMap"), "ConfigMap", "name", (*base, "configMap"))
        for number, source in enumerate(_items(volume.get("projected"), "sources")):
            inner = (*base, "projected", "sources", str(number))
            yield from _source(source.get("secret"), "Secret", "name", (*inner, "secret"))
            yield from _source(source.get("configMap"), "ConfigMap", "name", (*inner, "configMap"))
    for containers in ("initContainers", "containers"):
        for number, container in enumerate(_items(spec, containers)):
            inner = (*path, containers, str(number))
            yield from _environment(container, inner)


def listed_mounts(spec: Any) -> Iterator[Mount]:
    """What the fields ``secrets`` and ``configMaps`` of prometheus-operator's custom resources mount.

    They have no pointer: the name is also the folder, so another name would move the files.
    """
    for field, kind in (("secrets", "Secret"), ("configMaps", "ConfigMap")):
        for name in spec.get(field) or () if isinstance(spec, Mapping) else ():
            if isinstance(name, str):
                yield Mount(kind, name)


def containers(spec: Any, path: tuple[str, ...]) -> dict[str, ContainerView]:
    """The containers by name, with where their arguments stand."""
    found = {}
    for index, container in enumerate(_items(spec, "containers")):
        name = container.get("name")
        if isinstance(name, str):
            args = container.get("args")
            values = tuple(str(arg) for arg in args) if isinstance(args, list) else None
            found[name] = ContainerView(name, values, pointer((*path, "containers", str(index), "args")))
    return found


def _items(obj: Any, field: str) -> list[Mapping[str, Any]]:
    value = obj.get(field) if isinstance(obj, Mapping) else None
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _source(source: Any, kind: str, field: str, path: tuple[str, ...]) -> Iterator[Mount]:
    if not isinstance(source, Mapping) or not isinstance(source.get(field), str):
        return
    yield Mount(kind, source[field], pointer((*path, field)), optional=bool(source.get("optional")))


def _environment(container: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[Mount]:
    for index, source in enumerate(_items(container, "envFrom")):
        base = (*path, "envFrom", str(index))
        yield from _source(source.get("secretRef"), "Secret", "name", (*base, "secretRef"))
        yield from _source(source.get("configMapRef"), "ConfigMap", "name", (*base, "configMapRef"))
    for index, variable in enumerate(_items(container, "env")):
        base = (*path, "env", str(index), "valueFrom")
        value = variable.get("valueFrom")
        if isinstance(value, Mapping):
            yield from _source(value.get("secretKeyRef"), "Secret", "name", (*base, "secretKeyRef"))
            yield from _source(
                value.get("configMapKeyRef"),
                "ConfigMap",
                "name",
                (*base, "configMapKeyRef"),
            )
