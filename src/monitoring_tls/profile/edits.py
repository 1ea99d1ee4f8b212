"""Taking settings in other people's objects, and giving them back: argument lists and maps. Pure.

In a list only the flags that are named change; everything else keeps its place, order and spelling. What was found
before is kept as plain JSON, so that it can stand in an annotation.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

_FLAGS = "flags"
_OTHERS = "others"


@dataclass(frozen=True, slots=True)
class _Occurrence:
    """A flag in an argument list: ``--flag=value`` (one argument), ``--flag value`` (two) or ``--flag`` alone."""

    name: str
    value: str | None
    index: int
    length: int


def edit_args(args: Sequence[str] | None, flags: Mapping[str, str | None]) -> tuple[str, ...]:
    """The arguments with ``flags`` set; None removes a flag.

    A flag keeps the place of its first occurrence; further ones are removed, since programs differ in whether the last
    one wins or all are joined. One that already has its value stays as it is spelled. New ones come last.
    """
    before = tuple(args or ())
    occurrences = {found.index: found for found in _occurrences(before, flags)}
    end = _end(before)
    after: list[str] = []
    written: set[str] = set()
    index = 0
    while index < end:
        found = occurrences.get(index)
        if found is None:
            after.append(before[index])
            index += 1
            continue
        value = flags[found.name]
        if value is not None and found.name not in written:
            written.add(found.name)
            # A flag alone is a boolean that is on: ``--flag`` and ``--flag=true`` are the same to pflag and kingpin.
            same = value == ("true" if found.value is None else found.value)
            after += before[index : index + found.length] if same else (f"{found.name}={value}",)
        index += found.length
    after += [f"{name}={value}" for name, value in flags.items() if value is not None and name not in written]
    return (*after, *before[end:])


def with_found(flags: Mapping[str, str | None], found: object) -> Mapping[str, str | None]:
    """``flags``, and for every other flag noted in ``found`` its value of then.

    A flag that one profile needs and the next does not goes back to what it was, without moving anything.
    """
    if not isinstance(found, Mapping):
        return flags
    return {name: _value(items) for name, items in _parsed(found).items()} | dict(flags)


def found_flags(args: Sequence[str] | None, names: Iterable[str]) -> Mapping[str, object]:
    """What stands in ``args`` of the flags ``names``, as JSON from which `restore_args` puts it back."""
    before = tuple(args or ())
    wanted = tuple(names)
    flags: dict[str, list[list[object]]] = {name: [] for name in wanted}
    occurrences = tuple(_occurrences(before, wanted))
    for found in occurrences:
        flags[found.name].append([found.index, *before[found.index : found.index + found.length]])
    return {_FLAGS: flags, _OTHERS: _digest(_without(before, occurrences))}


def restore_args(args: Sequence[str] | None, found: Mapping[str, object]) -> tuple[str, ...]:
    """The arguments as they were when ``found`` was noted.

    Where somebody changed other arguments since, theirs stay as they are now, and ours go as near to their old place as
    they can without coming between a flag and its value. Entries that don't have the form that `found_flags` writes
    (the annotation can be edited by anybody) are passed over, and their flags left as they stand.
    """
    before = tuple(args or ())
    saved = _parsed(found)
    occurrences = tuple(_occurrences(before, saved))
    others = list(_without(before, occurrences))
    unchanged = found.get(_OTHERS) == _digest(others)
    for index, tokens in sorted(item for items in saved.values() for item in items):
        place = index if unchanged else _boundary(others, index)
        others[place:place] = tokens
    return tuple(others)


def edit_fields(present: Mapping[str, object], wanted: Mapping[str, object]) -> dict[str, object]:
    """The entries of ``wanted`` that differ from what is there; None stands for an absent key."""
    return {key: _plain(value) for key, value in wanted.items() if present.get(key) != _plain(value)}


def found_fields(present: Mapping[str, object], names: Iterable[str]) -> dict[str, object]:
    """What the map holds under ``names``; None for a key that is absent. `edit_fields` with it gives back."""
    return {name: present.get(name) for name in names}


def _occurrences(args: Sequence[str], names: Iterable[str]) -> Iterator[_Occurrence]:
    wanted = frozenset(names)
    index, end = 0, _end(args)
    while index < end:
        name, equals, value = args[index].partition("=")
        length = 1
        if name in wanted:
            if equals:
                yield _Occurrence(name, value, index, 1)
            elif index + 1 < end and not args[index + 1].startswith("-"):
                length = 2
                yield _Occurrence(name, args[index + 1], index, length)
            else:
                yield _Occurrence(name, None, index, 1)
        index += length


def _end(args: Sequence[str]) -> int:
    """Where flags end: at a bare ``--``, after which everything is positional."""
    return args.index("--") if "--" in args else len(args)


def _without(args: Sequence[str], occurrences: Iterable[_Occurrence]) -> tuple[str, ...]:
    gone = {index for found in occurrences for index in range(found.index, found.index + found.length)}
    return tuple(arg for index, arg in enumerate(args) if index not in gone)


def _digest(args: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(list(args)).encode()).hexdigest()[:16]


def _boundary(args: Sequence[str], index: int) -> int:
    """The first place from ``index`` on that is certainly not between a flag and its value."""
    end = _end(args)
    index = min(index, end)
    while index < end and not args[index].startswith("-"):
        index += 1
    return index


def _parsed(found: Mapping[str, object]) -> dict[str, list[tuple[int, list[str]]]]:
    flags = found.get(_FLAGS)
    if not isinstance(flags, Mapping):
        return {}
    result: dict[str, list[tuple[int, list[str]]]] = {}
    for name, items in flags.items():
        if not isinstance(items, Sequence) or isinstance(items, str):
            continue
        parsed = [(item[0], list(item[1:])) for item in items if _well_formed(item)]
        if len(parsed) == len(items):
            result[name] = parsed
    return result


def _value(items: Sequence[tuple[int, list[str]]]) -> str | None:
    if not items:
        return None
    tokens = items[-1][1]
    return tokens[1] if len(tokens) > 1 else tokens[0].partition("=")[2] or "true"


def _well_formed(item: object) -> bool:
    if not isinstance(item, Sequence) or isinstance(item, str) or len(item) not in {2, 3}:
        return False
    index, *tokens = item
    return isinstance(index, int) and index >= 0 and all(isinstance(token, str) for token in tokens)


def _plain(value: object) -> object:
    """The value as JSON has it."""
    return list(value) if isinstance(value, tuple) else value
