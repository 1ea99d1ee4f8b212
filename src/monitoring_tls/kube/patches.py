"""A planned change of somebody else's object as one JSON patch (RFC 6902), guarded by its resourceVersion.

Settings, restart annotation and mounts of one workload go in one patch, as each patch by itself would be a rollout.
``args`` and, in custom resources, ``spec.containers`` are atomic lists, which server-side apply takes or loses whole;
so no part of the change is made by it.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from monitoring_tls.model.action import PatchWorkload
from monitoring_tls.model.annotations import FOUND, RESTART, RESTARTED_AT

Operation = dict[str, Any]


def pointer(path: tuple[str, ...]) -> str:
    """A path of keys as a JSON pointer (RFC 6901)."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)


def workload_patch(
    action: PatchWorkload, pod_annotations: tuple[str, ...], present: frozenset[tuple[str, ...]], now: datetime
) -> list[Operation]:
    """The operations of a planned change.

    Args:
        action: the change.
        pod_annotations: where the kind keeps its pods' annotations.
        present: maps that exist in the object (`WorkloadView.present`).
        now: for the annotation that says when a restart was asked for.
    """
    made = set(present)
    operations: list[Operation] = [_test("/metadata/resourceVersion", action.resource_version)]
    for edit in action.lists:
        if edit.before is not None:
            operations.append(_test(edit.pointer, list(edit.before)))
        operations.append(_add(edit.pointer, list(edit.after)))
    for move in action.mounts:
        operations += [_test(move.pointer, move.before), {"op": "replace", "path": move.pointer, "value": move.after}]
    for fields in action.maps:
        operations += _maps(fields.path, fields.values, made)
    annotations: dict[str, object] = {}
    if action.saved is not None:
        annotations[FOUND] = json.dumps(action.saved, sort_keys=True, separators=(",", ":")) if action.saved else None
    if action.restart_hash is not None:
        annotations[RESTARTED_AT] = now.isoformat(timespec="seconds")
        operations += _maps(pod_annotations, {RESTART: action.restart_hash}, made)
    operations += _maps(("metadata", "annotations"), annotations, made)
    return operations


def _maps(path: tuple[str, ...], values: Mapping[str, object], made: set[tuple[str, ...]]) -> Iterator[Operation]:
    """Set keys of a map, making it and its parents where they are missing; None removes a key that is there."""
    if not values:
        return
    for length in range(1, len(path) + 1):
        if path[:length] not in made and length > 1:
            yield _add(pointer(path[:length]), {})
        made.add(path[:length])
    for key, value in values.items():
        place = pointer((*path, key))
        if value is None:
            # "remove" fails where nothing is; after an "add" it can't, and the two together change nothing else.
            yield _add(place, "")
            yield {"op": "remove", "path": place}
        else:
            yield _add(place, value)


def _add(path: str, value: object) -> Operation:
    return {"op": "add", "path": path, "value": value}


def _test(path: str, value: object) -> Operation:
    return {"op": "test", "path": path, "value": value}
