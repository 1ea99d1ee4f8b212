"""What a cluster remembers of itself in its folder: enough to find, repair and remove everything it started."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

from devcluster.errors import DevClusterError
from devcluster.pki import write_private
from devcluster.processes import ProcessRef

_STATE: Final = "state.json"
_LAUNCHER: Final = "launcher.json"


@dataclass(frozen=True, slots=True)
class ClusterState:
    """The recorded part of a cluster; always written before what it records is made.

    Args:
        nodes: 0 or 1.
        network: The cluster's number on its machine; None without a node.
        cgroups: Folders of the control groups that the node is given.
        enabled: Controllers that were enabled for it in the root control group (version 2 only).
    """

    nodes: int
    network: int | None = None
    cgroups: tuple[str, ...] = ()
    enabled: tuple[str, ...] = ()

    @classmethod
    def load(cls, folder: Path) -> "ClusterState | None":
        """Read the state of a folder; None where there is no cluster.

        Raises:
            DevClusterError: The file is not one that this program wrote.
        """
        try:
            content: dict[str, Any] = json.loads((folder / _STATE).read_text())
            return cls(
                nodes=int(content["nodes"]),
                network=None if content["network"] is None else int(content["network"]),
                cgroups=tuple(map(str, content["cgroups"])),
                enabled=tuple(map(str, content["enabled"])),
            )
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise DevClusterError(
                f"{folder / _STATE} cannot be read ({error})", f"restore it, or remove {folder} by hand"
            ) from error

    def save(self, folder: Path) -> None:
        """Write the state, in one step."""
        folder.mkdir(mode=0o700, exist_ok=True)
        write_private(folder / _STATE, json.dumps(asdict(self), indent=2).encode())

    def changed(self, folder: Path, **changes: Any) -> Self:
        """The state with some fields replaced, already written."""
        changed = replace(self, **changes)
        changed.save(folder)
        return changed


def record_launcher(folder: Path) -> None:
    """Called by the process that stands for the whole cluster: its end is the cluster's end.

    It keeps its identity over exec, so it can be recorded before anything is started.
    """
    own = ProcessRef.of_self()
    write_private(folder / _LAUNCHER, json.dumps(asdict(own)).encode())


def launcher(folder: Path) -> ProcessRef | None:
    """The recorded process, whether or not it still runs."""
    try:
        content = json.loads((folder / _LAUNCHER).read_text())
        return ProcessRef(int(content["pid"]), int(content["start_time"]))
    except (FileNotFoundError, ValueError, KeyError):
        return None


def forget_launcher(folder: Path) -> None:
    """Called when the recorded process is known to have ended."""
    (folder / _LAUNCHER).unlink(missing_ok=True)
