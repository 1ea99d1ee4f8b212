"""Caches that are behind, each by itself, as each is fed by a watch of its own."""

import random
from dataclasses import dataclass, field, replace

from monitoring_tls.model.snapshot import Snapshot
from tests.property.world import environment, operator, walk
from tests.property.world.reading import snapshot
from tests.property.world.rules import broken
from tests.property.world.stacks import HERE, THERE
from tests.property.world.values import World

STREAMS = (f"Secrets of {HERE}", f"Secrets of {THERE}", "workloads", "rollouts", "pods")


@dataclass
class Caches:
    """What has been, and how much of it each watch has told."""

    history: list[Snapshot] = field(default_factory=list)
    told: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STREAMS, 0))

    def happened(self, world: World) -> None:
        """A world that the watches will tell of, sooner or later."""
        self.history.append(snapshot(world))

    def tell(self, stream: str, chance: random.Random) -> None:
        """One watch catches up, by as much as chance will have it."""
        self.told[stream] = chance.randint(self.told[stream], len(self.history) - 1)

    def tell_all(self) -> None:
        """Every watch has told everything: they are never a minute behind."""
        self.told = dict.fromkeys(STREAMS, len(self.history) - 1)

    def seen(self) -> Snapshot:
        """The snapshot that the operator plans from."""
        now = self.history[-1]
        here, there, workloads, rollouts, pods = (self.history[self.told[stream]] for stream in STREAMS)
        secrets = {key: view for key, view in here.secrets.items() if key[0] == HERE}
        secrets |= {key: view for key, view in there.secrets.items() if key[0] == THERE}
        owners = {
            ref: replace(view, rollout=rollouts.workloads[ref].rollout) for ref, view in workloads.workloads.items()
        }
        return replace(now, secrets=secrets, workloads=owners, pods=pods.pods)


def at_random(start: World, seed: int, steps: int) -> World:
    """Walk at random with caches that are behind at random, then fairly to the end.

    Raises:
        BrokenRuleError: a rule was broken, or the end was not come to.
    """
    chance = random.Random(seed)  # noqa: S311 - which way a test goes
    caches, world, way = Caches(), start, [""]
    caches.happened(world)
    for _ in range(steps):
        kind = chance.choice(("the operator", "the operator", "caches", "world", "world", "world", "time"))
        text, after = kind, world
        if kind == "caches":
            stream = chance.choice(STREAMS)
            caches.tell(stream, chance)
            text = f"{stream} are told of"
        elif kind == "the operator":
            acted = operator.step(world, caches.seen())
            text, after = (f"{kind}: {walk.wrote(world, acted)}", acted) if acted else (kind, world)
        elif kind == "world":
            text, after = chance.choice([*environment.moves(world), *environment.mishaps(world), ("", world)])
        else:
            after = environment.tick(world)
        if after is not world:
            world = after
            caches.happened(world)
            if kind == "time":
                caches.tell_all()
        way.append(text)
        rules = tuple(broken(world))
        if rules:
            raise walk.BrokenRuleError(rules, tuple(way))
    return walk.fairly(world, way=way)
