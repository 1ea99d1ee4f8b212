import yaml

from demo import manifests
from demo.handshakes import PORTS
from demo.stack import AFFECTED, EXAMPLES, QUERIER, SECRETS_MADE, _control
from monitoring_tls.kube.resources import Object


def pods(obj: Object) -> Object:
    """The part of an object that says what its pods are like."""
    spec: Object = obj["spec"]["template"]["spec"] if obj["kind"] == "Deployment" else obj["spec"]
    return spec


def stack() -> list[Object]:
    return manifests.read_folder(EXAMPLES)


def owner(objects: list[Object], workload: str) -> Object:
    found = next(each for each in AFFECTED if each.name == workload)
    return next(
        obj
        for obj in objects
        if obj["kind"] == found.owner.kind
        and obj["metadata"]["namespace"] == found.namespace
        and obj["metadata"]["name"] == found.owner_name
    )


def test_every_kind_is_known() -> None:
    for obj in stack():
        assert manifests.resource_of(obj).kind == obj["kind"]


def test_a_lone_equals_sign_is_text() -> None:
    assert manifests.parse("enum:\n- =\n- '!='\n") == [{"enum": ["=", "!="]}]


def test_images_of_another_registry_are_pulled() -> None:
    text = (EXAMPLES / "60-thanos-querier.yaml").read_text()
    moved = yaml.safe_dump_all(manifests.parse(text, "registry.example/monitoring"))
    assert "image: registry.example/monitoring/thanos:1" in moved
    assert "localhost/" not in moved
    assert "imagePullPolicy: Never" not in moved


def test_each_workload_mounts_the_secret_that_the_operator_makes() -> None:
    objects = stack()
    mounted = {
        volume["secret"]["secretName"]
        for each in AFFECTED
        for volume in pods(owner(objects, each.name))["volumes"]
        if volume["name"] == "secret-grpc-tls"
    }
    assert mounted == {name for _, name in SECRETS_MADE} - {"grpc-tls"}


def test_each_endpoint_that_is_looked_at_is_a_port_of_a_container() -> None:
    objects = stack()
    for each in AFFECTED:
        containers = {container["name"]: container for container in pods(owner(objects, each.name))["containers"]}
        for port, name in PORTS[each.name].items():
            assert name in containers
            listed = [entry["containerPort"] for entry in containers[name].get("ports", [])]
            assert port in listed or name.startswith("thanos-")  # prometheus-operator adds the ports of its own


def test_whatever_answers_queries_outlives_the_news_of_its_end() -> None:
    objects = stack()
    serving = ("prometheus", "thanos-sidecar", "thanos-ruler", "thanos-query")
    for each in AFFECTED:
        for container in pods(owner(objects, each.name))["containers"]:
            if container["name"] in serving or (each.name == QUERIER and container["name"] == "kube-rbac-proxy-web"):
                assert container["lifecycle"]["preStop"]["sleep"]["seconds"] >= 5


def test_the_control_differs_from_the_querier_in_nothing_but_its_certificate() -> None:
    querier = manifests.named(stack(), "Deployment", QUERIER)
    control = _control(querier, "foreign")
    assert pods(control)["containers"] == pods(querier)["containers"]
    volumes = {volume["name"]: volume for volume in pods(control)["volumes"]}
    assert volumes.pop("secret-grpc-tls")["secret"]["secretName"] == "foreign"
    assert list(volumes.values()) == pods(querier)["volumes"][1:]
    service = manifests.named(stack(), "Service", QUERIER)
    assert not service["spec"]["selector"].items() <= control["spec"]["template"]["metadata"]["labels"].items()
