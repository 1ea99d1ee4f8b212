from tests.integration.operator.stack import PODS, World


def test_pods_that_wait_for_secrets_come_up(world: World) -> None:
    world.install_stack()
    world.until("all pods waiting", lambda: len(world.kubelet.pods) == sum(PODS.values()))
    world.start_operator()
    world.ask()
    world.until("the fixed point", world.settled)
    print(world.events())
    print(world.starts())
    print(world.kubelet.traffic.answered, world.kubelet.traffic.failures)
