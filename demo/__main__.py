"""`python -m demo`, as `make demo` calls it."""

import argparse
import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Final

from demo import closing, story
from demo.errors import DemoError
from demo.manifests import LOCAL_PREFIX
from demo.place import Place, local_place, named_place
from demo.serving import PLATFORM, USER_WORKLOAD
from demo.stage import Stage
from devcluster.errors import DevClusterError
from monitoring_tls.errors import MonitoringTLSError

_PROJECT: Final = Path(__file__).parents[1]


def main() -> int:
    """Show the demo; the exit status is 1 if something was not seen."""
    # An exported KUBECONFIG is somebody's everyday cluster: the demo must not find it, nor any program that it starts.
    os.environ.pop("KUBECONFIG", None)
    arguments = _parser().parse_args()
    stage = Stage()
    began = time.monotonic()
    try:
        place = _place(arguments, stage)
        demo = asyncio.run(story.tell(place, stage))
    except (DemoError, DevClusterError, MonitoringTLSError) as error:
        print(f"\n✗ {error}", file=sys.stderr)
        if isinstance(error, DevClusterError) and error.details:
            print(error.details, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; make cluster-down removes what was started", file=sys.stderr)
        return 130
    closing.summary(demo, time.monotonic() - began)
    _afterwards(place, stage)
    return 1 if stage.failed else 0


def _place(arguments: argparse.Namespace, stage: Stage) -> Place:
    if arguments.kubeconfig is not None:
        return asyncio.run(named_place(arguments.kubeconfig, arguments.images))
    stage.section("A real local Kubernetes cluster")
    return local_place(_PROJECT, stage)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m demo", description="The operator's main job, on a real cluster.")
    named = os.environ.get("DEMO_KUBECONFIG")
    parser.add_argument(
        "--kubeconfig",
        type=Path,
        default=Path(named) if named else None,
        help="use this cluster (also DEMO_KUBECONFIG); by default the clone's own local one",
    )
    parser.add_argument(
        "--images",
        default=os.environ.get("IMAGES") or LOCAL_PREFIX,
        help="what stands before the images' names there, such as registry.example/monitoring (also IMAGES)",
    )
    return parser


def _afterwards(place: Place, stage: Stage) -> None:
    kubeconfig = os.path.relpath(place.kubeconfig)
    stage.section("To look around")
    stage.say(f".venv/bin/monitoring-tls status --kubeconfig {kubeconfig}")
    stage.say(f".venv/bin/monitoring-tls rotate --kubeconfig {kubeconfig} --wait --reason 'because I can'")
    stage.say(f"kubectl --kubeconfig {kubeconfig} get events,pods,monitoringtls -n {PLATFORM}")
    if place.local:
        stage.say("make cluster-down     takes the cluster down, and leaves nothing behind")
    else:
        stage.say(f"kubectl --kubeconfig {kubeconfig} delete namespace {PLATFORM} {USER_WORKLOAD}")


if __name__ == "__main__":
    sys.exit(main())
