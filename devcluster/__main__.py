"""`python -m devcluster`: the local cluster from the command line, as the Makefile calls it."""

import argparse
import os
import sys
from pathlib import Path
from typing import Final

from devcluster import build, prerequisites
from devcluster.cgroups import unsupported
from devcluster.cluster import Cluster
from devcluster.errors import DevClusterError
from devcluster.progress import Progress

_PROJECT: Final = Path(__file__).parents[1]


def main() -> int:
    """Run one command; the exit status is 1 where the cluster cannot be had, and for `status` where it is not up."""
    arguments = _parser().parse_args()
    cluster = Cluster(_PROJECT)
    try:
        match arguments.command:
            case "up":
                _up(cluster, arguments.nodes)
            case "down":
                cluster.down()
            case "build":
                _build(for_tests=arguments.for_tests)
            case "status":
                return _status(cluster)
    except DevClusterError as error:
        print(error, file=sys.stderr)
        if error.details:
            print(error.details, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; make cluster-down removes what was started", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m devcluster", description="The local cluster of this clone.")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="bring it up, or repair it")
    up.add_argument("--nodes", type=int, choices=(0, 1), default=1, help="0: only the control plane, without root")
    commands.add_parser("down", help="take it down and leave nothing behind")
    commands.add_parser("status", help="tell what there is")
    built = commands.add_parser("build", help="build the programs and stop")
    built.add_argument("--for-tests", action="store_true", help="only what the tests can use on this machine")
    return parser


def _up(cluster: Cluster, nodes: int) -> None:
    cluster.up(nodes)
    print(f"The cluster is up. kubectl --kubeconfig={os.path.relpath(cluster.kubeconfig)} get all -A")


def _status(cluster: Cluster) -> int:
    found = cluster.status()
    if found.nodes is None:
        print("no cluster")
    elif found.process is None:
        print("down, by a crash: make cluster repairs it")
    else:
        what = "control plane and node" if found.nodes else "control plane"
        print(f"{what} {'up' if found.usable else 'started, not answering'}, process {found.process.pid}")
    return 0 if found.usable else 1


def _build(*, for_tests: bool) -> None:
    progress = Progress()
    node = not for_tests or os.geteuid() == 0
    prerequisites.check(node=node, node_checks=[unsupported] if node and not for_tests else [])
    if node:
        prerequisites.install_packages(progress)
    build.ensure(["control-plane", "node", "stack", "tools"] if node else ["control-plane"], progress)


if __name__ == "__main__":
    sys.exit(main())
