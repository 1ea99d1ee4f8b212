"""The control plane of a cluster without a node, kept running after the command that started it has ended."""

import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

from devcluster.controlplane import ControlPlane
from devcluster.errors import DevClusterError
from devcluster.state import record_launcher

_PROJECT: Final = Path(__file__).parents[1]
_POLL: Final = 0.5


def start(state: Path) -> None:
    """Start the control plane in the background; whether it comes up is for the caller to watch."""
    log = state / "log" / "serve.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        subprocess.run(
            ["setsid", "--fork", sys.executable, "-m", "devcluster.serve", str(state)],
            cwd=_PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=True,
        )


def main(state: Path) -> int:
    """Run until asked to end, or until a program ends by itself: then `up` starts all of them again."""
    record_launcher(state)
    asked = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    try:
        with ControlPlane(state) as running:
            while not asked.wait(_POLL):
                if reason := running.ended():
                    print(reason, flush=True)
                    return 1
    except DevClusterError as error:
        print(error, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
