"""The form of catalogue files: YAML with line numbers, read key by key, so that every error can point at its place.

Strict on purpose: an unknown key is a mistake, and a mistake in a catalogue is a component that nobody looks after.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

import yaml

from monitoring_tls.errors import CatalogueError

LONGEST: Final = 1024 * 1024
"""Bytes of a catalogue that are read: the most that a ConfigMap can hold."""

_DEEPEST: Final = 16
_INTEGER: Final = "tag:yaml.org,2002:int"
_BOOLEAN: Final = "tag:yaml.org,2002:bool"
_TRUE: Final = frozenset({"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"})

DNS_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""RFC 1123, as Kubernetes has it for namespaces and containers."""
DNS_NAME: Final = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
"""RFC 1123 subdomain, as Kubernetes has it for most names."""
DATA_KEY: Final = re.compile(r"[-._a-zA-Z0-9]{1,253}")
"""A key of a Secret or ConfigMap."""

_E = TypeVar("_E", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Place:
    """A value of a catalogue, and where it stands.

    Attributes:
        file: the name that messages show.
        field: the path of keys, for instance ``components[2].settings[0].dialect``.
    """

    file: str
    field: str
    node: yaml.Node

    def error(self, remedy: str, value: str | None = None) -> CatalogueError:
        """What to raise about this value."""
        if value is None:
            value = self.node.value if isinstance(self.node, yaml.ScalarNode) else "a list or a mapping"
        return CatalogueError(f"catalogue {self.file}, line {self.line}", self.field or "the whole", value, remedy)

    @property
    def line(self) -> int:
        """The line in the file, from 1."""
        return int(self.node.start_mark.line) + 1

    def mapping(self, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> "dict[str, Place]":
        """The entries of a mapping that has all ``required`` keys and no unknown ones."""
        if not isinstance(self.node, yaml.MappingNode):
            raise self.error(f"write a mapping with the keys {', '.join((*required, *optional))}")
        entries: dict[str, Place] = {}
        for key_node, node in self.node.value:
            key = Place(self.file, self.field, key_node)
            name = str(key_node.value)
            if name not in required and name not in optional:
                raise key.error(f"write one of {', '.join((*required, *optional))}", name)
            if name in entries:
                raise key.error(f"write it once; it stands on line {entries[name].line} too", name)
            entries[name] = Place(self.file, f"{self.field}.{name}".lstrip("."), node)
        for name in required:
            if name not in entries:
                raise self.error(f"add the key {name}", "nothing")
        return entries

    def items(self) -> "Iterator[Place]":
        """The items of a list."""
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.error("write a list")
        for position, node in enumerate(self.node.value):
            yield Place(self.file, f"{self.field}[{position}]", node)

    def text(self, pattern: re.Pattern[str] | None = None, kind: str = "text") -> str:
        """A string, of the given form."""
        if not isinstance(self.node, yaml.ScalarNode) or not self.node.value:
            raise self.error(f"write {kind}")
        value = str(self.node.value)
        if pattern is not None and not pattern.fullmatch(value):
            raise self.error(f"write {kind}")
        return value

    def label(self) -> str:
        """The name of a namespace, a container or one of our own things."""
        return self.text(DNS_LABEL, "a name of at most 63 lower-case letters, digits and '-'")

    def name(self) -> str:
        """The name of a Kubernetes object."""
        return self.text(DNS_NAME, "an object name: lower-case letters, digits, '-' and '.'")

    def data_key(self) -> str:
        """A key of a Secret or ConfigMap."""
        return self.text(DATA_KEY, "a key of letters, digits, '-', '_' and '.'")

    def choice(self, members: type[_E]) -> _E:
        """A member of an enumeration, by value."""
        try:
            return members(self.text())
        except ValueError:
            raise self.error(f"write one of {', '.join(members)}") from None

    def boolean(self) -> bool:
        """True or false."""
        if self.node.tag != _BOOLEAN:
            raise self.error("write true or false")
        return self.node.value in _TRUE

    def integer(self, lowest: int, highest: int) -> int:
        """A whole number within limits."""
        remedy = f"write a whole number from {lowest} to {highest}"
        try:
            value = int(self.node.value) if self.node.tag == _INTEGER else None
        except ValueError:
            value = None
        if value is None or not lowest <= value <= highest:
            raise self.error(remedy)
        return value


def document(text: str, file: str) -> Place:
    """Parse a catalogue file into its root.

    Raises:
        CatalogueError: not YAML, more than one document, too large, too deep, or with aliases (which can make a small
            file expand without end).
    """
    whole = f"catalogue {file}"
    if len(text) > LONGEST:
        raise CatalogueError(whole, "the whole", f"{len(text)} characters", f"write at most {LONGEST}")
    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent) or depth > _DEEPEST:
                what = "an alias" if isinstance(event, yaml.AliasEvent) else f"more than {_DEEPEST} levels"
                where = f"{whole}, line {event.start_mark.line + 1}" if event.start_mark else whole
                raise CatalogueError(where, "the whole", what, "write the values out, one below another")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
        problem = error.problem if isinstance(error, yaml.MarkedYAMLError) and error.problem else str(error)
        where = f"{whole}, line {mark.line + 1}" if mark else whole
        raise CatalogueError(where, "the whole", problem, "write valid YAML, one document") from None
    if node is None:
        raise CatalogueError(whole, "the whole", "nothing", "write a catalogue")
    return Place(file, "", node)
