"""Operators in processes of their own, which can be told to die right after their n-th write.

The module is a program: it imports everything once, and then forks an operator for each line that it reads, so that an
operator starts in a moment. Death is SIGKILL: nothing is flushed, given back or said.
"""

import ctypes
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import httpx2

from monitoring_tls.cli.run import Options, run
from monitoring_tls.kube.resources import EVENTS, LEASES, Resource
from monitoring_tls.kube.transport import Transport

DEPLOYMENT = "openshift-monitoring/monitoring-tls-operator"

_PR_SET_PDEATHSIG = 1
_READS = frozenset({"get", "list", "watch"})
_NOT_STATE = (EVENTS.plural, LEASES.plural)


def main() -> None:
    """Fork an operator for each order on standard input, and tell its process id, and later how it ended."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    print("ready", flush=True)  # noqa: T201 - the answer
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            _be_operator(order)
        print(child, flush=True)  # noqa: T201 - the answer
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201 - the answer


def _be_operator(order: dict[str, Any]) -> None:
    code = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        nothing = os.open(os.devnull, os.O_RDWR)
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(nothing, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        if order["writes"]:
            _die_after(order["writes"], state_only=order["state_only"])
        run(Options(Path(order["kubeconfig"]), None, DEPLOYMENT, "", "127.0.0.1", 0, "json", "debug"))
        code = 0
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        sys.stderr.flush()
        os._exit(code)


def _die_after(writes: int, *, state_only: bool) -> None:
    """Die as soon as the API server has confirmed so many writes, before anybody here knows of it.

    Args:
        writes: how many. The Lease's don't count: they go on for ever.
        state_only: count only those of Secrets, ConfigMaps, workloads and pods, not events and status: with a process
            that dies after telling what it sees, nobody would ever see more than the first thing.
    """
    send_once = Transport.send_once
    done = 0

    async def send_and_die(
        self: Transport, verb: str, resource: Resource, request: httpx2.Request, *, stream: bool = False
    ) -> httpx2.Response:
        nonlocal done
        response = await send_once(self, verb, resource, request, stream=stream)
        telling = resource.plural in _NOT_STATE or request.url.path.endswith("/status")
        if verb not in _READS and resource.plural != LEASES.plural and not (state_only and telling):
            done += 1
            if done == writes:
                os.kill(os.getpid(), signal.SIGKILL)
        return response

    Transport.send_once = send_and_die  # type: ignore[method-assign] # only in this process, which is to die


if __name__ == "__main__":
    main()
