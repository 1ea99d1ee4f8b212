from collections import Counter

from demo.serving import PLATFORM, USER_WORKLOAD
from monitoring_tls.kube.resources import CONFIGMAPS
from tests.integration.operator.stack import PODS, World

MADE = {
    "Secret/grpc-tls": PLATFORM,
    "Secret/prometheus-k8s-grpc-tls": PLATFORM,
    "Secret/thanos-querier-grpc-tls": PLATFORM,
    "Secret/monitoring-tls-operator-tls": PLATFORM,
    "Secret/prometheus-user-workload-grpc-tls": USER_WORKLOAD,
    "Secret/thanos-ruler-grpc-tls": USER_WORKLOAD,
}


def test_pods_that_wait_for_their_secrets_are_brought_up(world: World) -> None:
    # The delay of pods that wait has grown by the time the operator comes: only made anew they would come up.
    world.kubelet.mount_retry, of_young_pods = 3600.0, world.kubelet.mount_retry
    world.install_stack()
    world.until("pods that wait", lambda: world.kubelet.waiting() == sum(PODS.values()))
    world.kubelet.mount_retry = of_young_pods
    world.start_operator()
    world.ask()
    world.until("the fixed point", world.settled)
    assert world.starts() == PODS, "each pod started once: settings came before the first start"
    assert world.kubelet.traffic.failures == []
    expected = Counter(f"SecretCreated Created {name} -n {ns} because it was missing" for name, ns in MADE.items())
    expected.update(
        f"ConfigMapCreated Created ConfigMap/metrics-client-ca -n {ns} because it was missing"
        for ns in (PLATFORM, USER_WORKLOAD)
    )
    assert world.events() == expected
    client_ca = world.get(CONFIGMAPS, "kube-system", "extension-apiserver-authentication")["data"]["client-ca-file"]
    for namespace in (PLATFORM, USER_WORKLOAD):
        copy = world.get(CONFIGMAPS, namespace, "metrics-client-ca")
        assert copy["data"] == {"client-ca.crt": client_ca}
