"""Walks through worlds: every way there is, ways at random, and the one fair way to the end."""

import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.property.world import environment, operator
from tests.property.world.environment import Move
from tests.property.world.rules import broken, finished, identity
from tests.property.world.values import World

_PATIENCE = 600


class BrokenRuleError(AssertionError):
    """A world that must not be, and how it was come to."""

    def __init__(self, rules: tuple[str, ...], way: tuple[str, ...]) -> None:
        super().__init__("\n".join((*rules, "after:", *(f"  {text}" for text in way))))
        self.rules = rules
        self.way = way


@dataclass(frozen=True)
class Walked:
    """What an exhaustive walk came to."""

    states: int
    steps: int
    ends: int


def following(world: World) -> Iterator[Move]:
    """Every world that can be next."""
    acted = operator.step(world)
    if acted is not None:
        yield f"the operator: {wrote(world, acted)}", acted
    yield from environment.moves(world)
    yield from environment.mishaps(world)
    yield "time passes", environment.tick(world)


def wrote(before: World, after: World) -> str:
    """What the operator did, in words."""
    changed = [key[1] for key, secret in after.secrets.items() if before.secrets.get(key) != secret]
    changed += [key[1] for key in before.secrets if key not in after.secrets]
    changed += [str(ref) for ref, workload in after.workloads.items() if before.workloads[ref] != workload]
    changed += [pod.uid for pod in before.pods if pod.uid in after.deleted_pods - before.deleted_pods]
    return ", ".join(changed) or "nothing"


def everywhere(start: World, *, most: int = 200_000) -> Walked:
    """Walk every way there is, breadth first, so that the first way to a broken rule is a shortest one.

    From every world that was come to, the end must still be in reach.

    Raises:
        BrokenRuleError: a rule was broken, or a world is a dead end.
    """
    first: object = identity(start)
    came_from: dict[object, tuple[object, str] | None] = {first: None}
    parents: dict[object, list[object]] = {}
    ends: list[object] = []
    queue: deque[tuple[object, World]] = deque([(first, start)])
    steps = 0
    while queue:
        name, world = queue.popleft()
        rules = tuple(broken(world))
        if rules:
            raise BrokenRuleError(rules, _way(came_from, name))
        if finished(world) and operator.step(world) is None:
            ends.append(name)
        for text, after in following(world):
            steps += 1
            other = identity(after)
            parents.setdefault(other, []).append(name)
            if other not in came_from:
                came_from[other] = (name, text)
                queue.append((other, after))
        assert len(came_from) <= most, f"more than {most} worlds"
    reach = _reaching(ends, parents)
    for name in came_from:
        if name not in reach:
            raise BrokenRuleError(("the end is out of reach",), _way(came_from, name))
    return Walked(len(came_from), steps, len(ends))


def _reaching(ends: list[object], parents: dict[object, list[object]]) -> set[object]:
    found = set(ends)
    queue = deque(ends)
    while queue:
        for parent in parents.get(queue.popleft(), ()):
            if parent not in found:
                found.add(parent)
                queue.append(parent)
    return found


def _way(came_from: dict[object, tuple[object, str] | None], name: object) -> tuple[str, ...]:
    way: list[str] = []
    while (step := came_from[name]) is not None:
        name, text = step
        way.append(text)
    return tuple(reversed(way))


def at_random(start: World, seed: int, steps: int) -> World:
    """Walk at random for some steps, then fairly to the end, with every rule checked after each step.

    Raises:
        BrokenRuleError: a rule was broken, or the end was not come to.
    """
    chance = random.Random(seed)  # noqa: S311 - which way a test goes
    world, way = start, []
    for _ in range(steps):
        text, world = chance.choice(list(following(world)))
        way.append(text)
        _check(world, way)
    return fairly(world, way=way)


def fairly(
    world: World,
    *,
    way: list[str] | None = None,
    until: Callable[[World], bool] = lambda _: False,
    check: Callable[[World], Iterator[str]] = broken,
    kubelet_retries: bool = True,
) -> World:
    """Let everything happen that can, the operator first, and time pass when nothing else is left.

    Ends where ``until`` holds, or where neither the operator nor the world has anything left to do.

    Raises:
        BrokenRuleError: a rule was broken, or it goes on for ever.
    """
    way = way if way is not None else []
    quiet = 0
    for _ in range(_PATIENCE):
        if until(world):
            return world
        acted = operator.step(world)
        move = (f"the operator: {wrote(world, acted)}", acted) if acted is not None else None
        move = move or next(environment.moves(world, kubelet_retries=kubelet_retries), None)
        if move is None:
            quiet += 1
            move = ("time passes", environment.tick(world))
        elif not move[0].endswith(environment.IS_PROBED):
            # Looks go on for as long as they don't show what is wished for.
            quiet = 0
        text, world = move
        way.append(text)
        _check(world, way, check)
        if quiet > _QUIET:
            return world
    raise BrokenRuleError(("it goes on for ever",), tuple(way[-60:]))


# So many ticks without anything else are longer than every deadline.
_QUIET = 12


def _check(world: World, way: list[str], check: Callable[[World], Iterator[str]] = broken) -> None:
    rules = tuple(check(world))
    if rules:
        raise BrokenRuleError(rules, tuple(way))
