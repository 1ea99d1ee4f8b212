"""Where the profile's settings go in a workload, what they change there, and how they are given back.

Only our own flags and keys are touched. What stood there before is kept in the annotation
``monitoring-tls.dev/found`` of the same object, written in the same patch, and put back from it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from monitoring_tls.model.action import ListEdit, MapEdit
from monitoring_tls.model.component import Component, Dialect, SettingsTarget
from monitoring_tls.model.profile import EffectiveProfile
from monitoring_tls.model.snapshot import WorkloadView
from monitoring_tls.profile.dialects import (
    Settings,
    edit_args,
    edit_fields,
    found_fields,
    found_flags,
    owned,
    restore_args,
    settings,
    with_found,
)
from monitoring_tls.profile.dialects.prometheus_cr_grpc import for_operator


@dataclass(frozen=True, slots=True)
class Delivery:
    """The settings of one workload: what differs, and a digest of the whole of what is wanted.

    Attributes:
        saved: what the annotation of values found before must hold.
        missing: containers and maps that the catalogue names and the workload doesn't have.
        unsupported: settings that a component can't take, by sentence.
    """

    lists: tuple[ListEdit, ...]
    maps: tuple[MapEdit, ...]
    saved: Mapping[str, object]
    digest: str
    missing: tuple[str, ...] = ()
    unsupported: tuple[str, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether anything differs from what is wanted."""
        return bool(self.lists or self.maps)


def deliver(
    component: Component, workload: WorkloadView, profile: EffectiveProfile, prometheus_operator: str | None = None
) -> Delivery:
    """What the workload needs to follow ``profile``.

    Args:
        component: says where its settings go.
        workload: as it is.
        profile: what to follow.
        prometheus_operator: the version that turns custom resources into arguments (`Snapshot.prometheus_operator`).
    """
    lists: list[ListEdit] = []
    maps: list[MapEdit] = []
    saved = dict(workload.saved)
    missing: list[str] = []
    unsupported: list[str] = []
    wanted: dict[str, object] = {}
    for targets in _places(component):
        container, path = targets[0].container, targets[0].path
        place = container or ".".join(path)
        written = [_written(target, profile, prometheus_operator) for target in targets]
        unsupported += [f"{place}: {text}" for each in written for text in (*each.unsupported, *each.clamped)]
        names = [name for target in targets for name in owned(target.dialect)]
        key = _key(targets)
        if container is None:
            if path not in workload.fields:
                # To make it would switch something on that isn't there, such as a sidecar.
                missing.append(place)
                continue
            present = workload.fields[path]
            saved.setdefault(key, found_fields(present, names))
            fields = {name: value for each in written for name, value in each.fields.items()}
            wanted[key] = fields
            if changed := edit_fields(present, fields):
                maps.append(MapEdit(path, changed))
            continue
        if (view := workload.containers.get(container)) is None:
            missing.append(container)
            continue
        saved.setdefault(key, found_flags(view.args, names))
        # A flag that one profile needs and the next does not goes back to what was found.
        flags = with_found({name: value for each in written for name, value in each.flags.items()}, saved[key])
        wanted[key] = dict(flags)
        after = edit_args(view.args, flags)
        if after != (view.args or ()):
            lists.append(ListEdit(view.pointer, view.args, after))
    digest = hashlib.sha256(json.dumps(wanted, sort_keys=True, default=list).encode()).hexdigest()[:16]
    return Delivery(tuple(lists), tuple(maps), saved, digest, tuple(missing), tuple(unsupported))


def give_back(component: Component, workload: WorkloadView) -> Delivery:
    """What puts every setting back to what was found before the operator came."""
    lists: list[ListEdit] = []
    maps: list[MapEdit] = []
    for targets in _places(component):
        container, path = targets[0].container, targets[0].path
        found = workload.saved.get(_key(targets))
        if not isinstance(found, Mapping):
            continue
        if container is None:
            if changed := edit_fields(workload.fields.get(path, {}), found):
                maps.append(MapEdit(path, changed))
        elif (view := workload.containers.get(container)) is not None:
            after = restore_args(view.args, found)
            if after != (view.args or ()):
                lists.append(ListEdit(view.pointer, view.args, after))
    return Delivery(tuple(lists), tuple(maps), {}, "")


def _places(component: Component) -> tuple[tuple[SettingsTarget, ...], ...]:
    """The settings by where they go: what several dialects change in one list is noted and put back as one."""
    places: dict[tuple[str | None, tuple[str, ...]], tuple[SettingsTarget, ...]] = {}
    for target in component.settings:
        place = (target.container, target.path)
        places[place] = (*places.get(place, ()), target)
    return tuple(places.values())


def _written(target: SettingsTarget, profile: EffectiveProfile, prometheus_operator: str | None) -> Settings:
    written = settings(target.dialect, profile)
    return for_operator(written, prometheus_operator) if target.dialect is Dialect.PROMETHEUS_CR_GRPC else written


def _key(targets: Sequence[SettingsTarget]) -> str:
    if targets[0].container is None:
        return f"fields:{'.'.join(targets[0].path)}"
    return f"{'+'.join(target.dialect for target in targets)}:{targets[0].container}"
