"""RFC 6902 as far as `kube.patches` uses it: add, replace, remove and test, with the errors an API server gives."""

import copy
from typing import Any


class PatchError(Exception):
    """The patch as a whole is refused."""


def applied(obj: dict[str, Any], operations: list[dict[str, Any]]) -> dict[str, Any]:
    """The object after all operations; the given one stays as it is.

    Raises:
        PatchError: an operation can't be done, or a test fails.
    """
    result = copy.deepcopy(obj)
    for operation in operations:
        parent, key = _place(result, operation["path"])
        match operation["op"]:
            case "add":
                _add(parent, key, copy.deepcopy(operation["value"]))
            case "test":
                if _value(parent, key, operation) != operation["value"]:
                    raise PatchError(f"test failed: {operation}")
            case "replace":
                _value(parent, key, operation)
                parent[key] = copy.deepcopy(operation["value"])
            case "remove":
                _value(parent, key, operation)
                del parent[key]
            case other:
                raise PatchError(f"unknown operation {other}")
    return result


def _place(obj: dict[str, Any], pointer: str) -> tuple[Any, Any]:
    *path, last = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    place: Any = obj
    for part in path:
        try:
            place = place[int(part)] if isinstance(place, list) else place[part]
        except (KeyError, IndexError, ValueError):
            raise PatchError(f"{pointer}: there is no {part}") from None
    return place, int(last) if isinstance(place, list) and last != "-" else last


def _add(parent: Any, key: Any, value: Any) -> None:
    if isinstance(parent, list):
        parent.insert(len(parent) if key == "-" else key, value)
    else:
        parent[key] = value


def _value(parent: Any, key: Any, operation: dict[str, Any]) -> Any:
    try:
        return parent[key]
    except (KeyError, IndexError):
        raise PatchError(f"nothing is there: {operation}") from None
