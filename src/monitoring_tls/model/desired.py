"""What is asked for: the catalogue, the profile and the administrator's wishes, checked and complete."""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from monitoring_tls.model.component import Catalogue
from monitoring_tls.model.snapshot import ProfileState


class Mode(StrEnum):
    """Whether anything is changed (``spec.mode``)."""

    AUDIT = "Audit"
    ENFORCE = "Enforce"


@dataclass(frozen=True, slots=True)
class RestartRules:
    """How pods are restarted (``spec.restart``).

    Attributes:
        automatic: False leaves every restart to the administrator; what waits is listed.
        progress_deadline: a rollout that takes longer is a failure, and nothing else is restarted.
        propagation: how long after a Secret's write a kubelet may still hand an old copy to a new pod.
        probe_deadline: how long a running pod may take to serve what its Secret says.
    """

    automatic: bool = True
    progress_deadline: timedelta = timedelta(minutes=10)
    propagation: timedelta = timedelta(seconds=60)
    probe_deadline: timedelta = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Desired:
    """The wishes that `plan` measures the cluster against.

    Attributes:
        rotation_requested: ``spec.rotation.requested``: acted on once per text; empty where nothing is asked.
    """

    mode: Mode
    catalogue: Catalogue
    profile: ProfileState
    rotation_requested: str = ""
    restart: RestartRules = field(default_factory=RestartRules)
