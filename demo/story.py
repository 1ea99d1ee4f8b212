"""The whole demo, part after part."""

from collections.abc import Awaitable, Callable
from typing import Final

from demo import changes, closing, controls, opening
from demo.context import Demo
from demo.journal import PodJournal
from demo.place import Place
from demo.stage import Stage
from monitoring_tls.kube.client import KubeClient

Part = Callable[[Demo], Awaitable[None]]

PARTS: Final[tuple[Part, ...]] = (
    opening.stack_waits,
    opening.operator_makes_secrets,
    opening.query_is_answered,
    controls.load_begins,
    controls.plain_rollout,
    controls.foreign_certificate,
    changes.profile_changes,
    changes.authority_rotates,
    closing.openssl_confirms,
    closing.events_are_there,
    closing.memory_is_measured,
)


async def tell(place: Place, stage: Stage) -> Demo:
    """Run every part; what was seen is in the stage's checks.

    Raises:
        DemoError: a part could not be carried on with.
        KubeError: the API server refused something.
    """
    async with KubeClient.from_kubeconfig(place.kubeconfig) as client:
        demo = Demo(place, stage, client, PodJournal(client))
        try:
            for part in PARTS:
                await part(demo)
        finally:
            if demo.load is not None:
                demo.load.stop()
            await demo.journal.stop()
        return demo
