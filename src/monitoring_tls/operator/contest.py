"""Two writers of one thing: found by counting, named, and not fought.

What the operator wrote and finds changed again is written again; from the third time within ten minutes it is left
alone, and condition Degraded says who else writes it, until ten minutes have passed.
"""

import hashlib
from collections import defaultdict
from dataclasses import replace
from datetime import datetime, timedelta

from monitoring_tls.model.action import Action, PatchWorkload, WriteConfigMap, WriteDerived
from monitoring_tls.model.snapshot import Snapshot
from monitoring_tls.planning.plan import Problem

WINDOW = timedelta(minutes=10)
LIMIT = 3

_Key = tuple[str, str]


class Ledger:
    """Remembers when the same content was written to the same object."""

    def __init__(self) -> None:
        self._writes: defaultdict[_Key, list[datetime]] = defaultdict(list)

    def admit(
        self, actions: tuple[Action, ...], snapshot: Snapshot, now: datetime
    ) -> tuple[tuple[Action, ...], tuple[Problem, ...]]:
        """The actions that may be made, and a problem for each that is contested."""
        admitted: list[Action] = []
        problems: list[Problem] = []
        for action in actions:
            match action:
                case WriteDerived():
                    targets = [t for t in action.targets if self._may(("/".join(t), action.source_version), now)]
                    refused = [t for t in action.targets if t not in targets]
                    problems += [
                        _problem(f"Secret/{name} -n {ns}", _managers(snapshot, ns, name)) for ns, name in refused
                    ]
                    if targets:
                        admitted.append(replace(action, targets=tuple(targets)))
                case WriteConfigMap():
                    place = f"ConfigMap/{action.name} -n {action.namespace}"
                    if self._may((place, _digest(repr(sorted(action.data.items())))), now):
                        admitted.append(action)
                    else:
                        problems.append(_problem(place, ()))
                case PatchWorkload():
                    content = repr((action.lists, action.maps, action.mounts, action.restart_hash))
                    if self._may((str(action.ref), _digest(content)), now):
                        admitted.append(action)
                    else:
                        problems.append(_problem(str(action.ref), ()))
                case _:
                    admitted.append(action)
        return tuple(admitted), tuple(problems)

    def _may(self, key: _Key, now: datetime) -> bool:
        recent = [moment for moment in self._writes[key] if moment > now - WINDOW]
        if len(recent) < LIMIT:
            recent.append(now)
        self._writes = defaultdict(list, {k: v for k, v in self._writes.items() if v and v[-1] > now - WINDOW})
        self._writes[key] = recent
        return recent[-1] == now


def _managers(snapshot: Snapshot, namespace: str, name: str) -> tuple[str, ...]:
    view = snapshot.secrets.get((namespace, name))
    return view.managers if view is not None else ()


def _problem(what: str, managers: tuple[str, ...]) -> Problem:
    who = f"field manager {', '.join(managers)}" if managers else "another writer (see its managedFields)"
    text = (
        f"{what} doesn't keep what is written: it is changed by {who}, or its CRD doesn't know a field; "
        "it is left alone for ten minutes after the last time"
    )
    return Problem("Contested", text)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
