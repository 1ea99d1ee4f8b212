"""Which objects a list or a watch is about, and the parts that a list comes in."""

from dataclasses import dataclass
from typing import Final

from monitoring_tls.kube.resources import Object


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list.

    Attributes:
        items: the objects, without `apiVersion` and `kind` (the API server omits them in lists).
        resource_version: the version of the whole list, from which a watch continues.
    """

    items: list[Object]
    resource_version: str


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a kind are meant.

    Attributes:
        namespace: the namespace; None for all, and for cluster-scoped kinds.
        field_selector: e.g. `metadata.name=cluster`.
        label_selector: e.g. `app=x`.
        metadata_only: let the server send only the objects' metadata (`PartialObjectMetadata`).
    """

    namespace: str | None = None
    field_selector: str | None = None
    label_selector: str | None = None
    metadata_only: bool = False

    def params(self) -> dict[str, str]:
        """The selectors as query parameters."""
        pairs = {"fieldSelector": self.field_selector, "labelSelector": self.label_selector}
        return {key: value for key, value in pairs.items() if value is not None}


EVERYTHING: Final = Selection()
