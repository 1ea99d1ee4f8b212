"""Where the profile's settings go in a workload, what they change there, and how they are given back.

Only our own flags and keys are touched. What stood there before is kept in the annotation
``monitoring-tls.dev/found`` of the same object, written in the same patch, and put back from it.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from monitoring_tls.model.action import ListEdit, MapEdit
from monitoring_tls.model.component import Component, Dialect, SettingsTarget
from monitoring_tls.model.profile import EffectiveProfile
from monitoring_tls.model.snapshot import WorkloadView
from monitoring_tls.profile.dialects import (
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
    lists: dict[str, ListEdit] = {}
    maps: list[MapEdit] = []
    saved = dict(workload.saved)
    missing: list[str] = []
    unsupported: list[str] = []
    wanted: dict[str, object] = {}
    for target in component.settings:
        written = settings(target.dialect, profile)
        if target.dialect is Dialect.PROMETHEUS_CR_GRPC:
            written = for_operator(written, prometheus_operator)
        place = target.container or ".".join(target.path)
        unsupported += [f"{place}: {text}" for text in (*written.unsupported, *written.clamped)]
        key = _key(target)
        if target.container is None:
            if target.path not in workload.fields:
                # To make it would switch something on that isn't there, such as a sidecar.
                missing.append(place)
                continue
            present = workload.fields[target.path]
            saved.setdefault(key, found_fields(present, owned(target.dialect)))
            wanted[key] = dict(written.fields)
            changed = edit_fields(present, written.fields)
            if changed:
                maps.append(MapEdit(target.path, changed))
            continue
        container = workload.containers.get(target.container)
        if container is None:
            missing.append(target.container)
            continue
        before = lists[target.container].after if target.container in lists else container.args
        saved.setdefault(key, found_flags(before, owned(target.dialect)))
        # A flag that one profile needs and the next does not goes back to what was found.
        flags = with_found(written.flags, saved[key])
        wanted[key] = dict(flags)
        after = edit_args(before, flags)
        if after != (before or ()):
            lists[target.container] = ListEdit(container.pointer, container.args, after)
    digest = hashlib.sha256(json.dumps(wanted, sort_keys=True, default=list).encode()).hexdigest()[:16]
    return Delivery(tuple(lists.values()), tuple(maps), saved, digest, tuple(missing), tuple(unsupported))


def give_back(component: Component, workload: WorkloadView) -> Delivery:
    """What puts every setting back to what was found before the operator came."""
    lists: dict[str, ListEdit] = {}
    maps: list[MapEdit] = []
    for target in component.settings:
        found = workload.saved.get(_key(target))
        if not isinstance(found, Mapping):
            continue
        if target.container is None:
            changed = edit_fields(workload.fields.get(target.path, {}), found)
            if changed:
                maps.append(MapEdit(target.path, changed))
        elif (container := workload.containers.get(target.container)) is not None:
            before = lists[target.container].after if target.container in lists else container.args
            after = restore_args(before, found)
            if after != (before or ()):
                lists[target.container] = ListEdit(container.pointer, container.args, after)
    return Delivery(tuple(lists.values()), tuple(maps), {}, "")


def _key(target: SettingsTarget) -> str:
    return f"fields:{'.'.join(target.path)}" if target.container is None else f"{target.dialect}:{target.container}"
