"""The shipped catalogue, and what a mistake in one is told."""

import re
from datetime import timedelta

import pytest

from monitoring_tls.catalogue.load import LEAF, load, names, parse
from monitoring_tls.catalogue.schema import LONGEST
from monitoring_tls.errors import CatalogueError
from monitoring_tls.model.certificate import IssuingPolicy, KeyAlgorithm
from monitoring_tls.model.component import Dialect, SettingsTarget, WorkloadRef

GOOD = """\
version: 1
namespaces: [monitoring]
trustDomains:
  - name: grpc
    secret: {namespace: monitoring, name: grpc-tls}
    leaves:
      - {name: server, usage: server, commonName: server, dnsNames: [server]}
    derived:
      - {secret: {namespace: monitoring, name: k8s-grpc-tls}, leaf: server, certificate: tls.crt, privateKey: tls.key}
clientCABundles:
  - {namespace: monitoring, name: client-ca, key: ca.crt}
components:
  - name: prometheus
    workload: {kind: Prometheus, namespace: monitoring, name: k8s}
    uses:
      - {domain: grpc, container: thanos-sidecar, leaf: server, reloadsLeaf: true, reloadsTrust: false}
    settings:
      - {dialect: prometheus-cr-grpc, field: spec.thanos.grpcServerTlsConfig}
      - {dialect: kube-rbac-proxy-flags, containers: [kube-rbac-proxy]}
    endpoints:
      - {name: grpc, container: thanos-sidecar, port: 10901, domain: grpc, leaf: server, clientCertificates: true}
      - {name: web, container: kube-rbac-proxy, port: 9091}
"""


def line_of(text: str) -> int:
    return GOOD[: GOOD.index(text)].count("\n") + 1


def test_what_is_shipped_loads() -> None:
    assert names() == ("openshift-monitoring",)
    for name in names():
        assert load(name).name == name


def test_openshift_monitoring_is_the_stack_of_the_grpc_path() -> None:
    catalogue = load("openshift-monitoring")
    assert [str(component.workload) for component in catalogue.components] == [
        "Prometheus/openshift-monitoring/k8s",
        "Prometheus/openshift-user-workload-monitoring/user-workload",
        "ThanosRuler/openshift-user-workload-monitoring/user-workload",
        "Deployment/openshift-monitoring/thanos-querier",
    ]
    (domain,) = catalogue.domains
    assert {(spec.namespace, spec.name, spec.leaf) for spec in domain.derived} == {
        ("openshift-monitoring", "prometheus-k8s-grpc-tls", "prometheus-server"),
        ("openshift-monitoring", "thanos-querier-grpc-tls", "thanos-querier-client"),
        ("openshift-user-workload-monitoring", "prometheus-user-workload-grpc-tls", "prometheus-server"),
        ("openshift-user-workload-monitoring", "thanos-ruler-grpc-tls", "prometheus-server"),
    }
    servers = [e for component in catalogue.components for e in component.endpoints if e.client_certificates]
    assert [(e.port, e.leaf) for e in servers] == [(10901, "prometheus-server")] * 3


def test_every_proxy_port_of_the_stack_follows_the_profile() -> None:
    for component in load("openshift-monitoring").components:
        proxies = {e.container for e in component.endpoints if e.container.startswith("kube-rbac-proxy")}
        configured = {t.container for t in component.settings if t.dialect is Dialect.KUBE_RBAC_PROXY_FLAGS}
        assert proxies == configured


def test_policies_are_the_callers() -> None:
    signer = IssuingPolicy(KeyAlgorithm.RSA_4096, timedelta(days=10))
    domain = load("openshift-monitoring", signer=signer, renew_at=0.5).domains[0]
    assert (domain.signer, domain.leaf, domain.renew_at) == (signer, LEAF, 0.5)


def test_a_file_becomes_what_it_says() -> None:
    catalogue = parse(GOOD, "mine.yaml", name="mine")
    (component,) = catalogue.components
    assert component.workload == WorkloadRef("Prometheus", "monitoring", "k8s")
    assert component.settings == (
        SettingsTarget(Dialect.PROMETHEUS_CR_GRPC, path=("spec", "thanos", "grpcServerTlsConfig")),
        SettingsTarget(Dialect.KUBE_RBAC_PROXY_FLAGS, "kube-rbac-proxy"),
    )


@pytest.mark.parametrize(
    ("old", "new", "field", "value", "remedy"),
    [
        ("version: 1", "version: 2", "version", "2", "from 1 to 1"),
        ("version: 1", "version: one", "version", "one", "whole number"),
        ("version: 1\n", "", "the whole", "nothing", "add the key version"),
        ("namespaces: [monitoring]", "namespaces: monitoring", "namespaces", "monitoring", "write a list"),
        ("[monitoring]", "[Monitoring]", "namespaces[0]", "Monitoring", "lower-case"),
        ("[monitoring]", "[monitoring, monitoring]", "namespaces[1]", "monitoring", "only one"),
        ("usage: server", "usage: both", "trustDomains[0].leaves[0].usage", "both", "server, client"),
        ("leaf: server, certificate", "leaf: srv, certificate", "trustDomains[0].derived[0].leaf", "srv", "server"),
        ("name: k8s-grpc-tls", "name: grpc-tls", "trustDomains[0].derived[0].secret", "monitoring/grpc-tls", "another"),
        ("privateKey: tls.key", "privateKey: tls/key", "trustDomains[0].derived[0].privateKey", "tls/key", "key of"),
        ("name: client-ca,", "nmae: client-ca,", "clientCABundles[0]", "nmae", "namespace, name, key"),
        ("kind: Prometheus", "kind: StatefulSet", "components[0].workload.kind", "StatefulSet", "Deployment"),
        (
            "namespace: monitoring, name: k8s}",
            "namespace: other, name: k8s}",
            "components[0].workload.namespace",
            "other",
            "monitoring",
        ),
        ("- {domain: grpc,", "- {domain: grpcs,", "components[0].uses[0].domain", "grpcs", "grpc"),
        ("reloadsTrust: false", "reloadsTrust: never", "components[0].uses[0].reloadsTrust", "never", "true or false"),
        ("dialect: kube-rbac-proxy-flags", "dialect: nginx", "components[0].settings[1].dialect", "nginx", "go-flags"),
        (
            "field: spec.thanos",
            "containers: [x], field: spec.thanos",
            "components[0].settings[0].containers",
            "a list or a mapping",
            "remove",
        ),
        (", containers: [kube-rbac-proxy]", "", "components[0].settings[1]", "kube-rbac-proxy-flags", "containers"),
        (
            "[kube-rbac-proxy]",
            "[kube-rbac-proxy, kube-rbac-proxy]",
            "components[0].settings[1].containers[1]",
            "kube-rbac-proxy",
            "once",
        ),
        ("port: 9091", "port: 10901", "components[0].endpoints[1]", "10901", "one port"),
        ("port: 9091", "port: 99999", "components[0].endpoints[1].port", "99999", "65535"),
        ("{name: web,", "{name: grpc,", "components[0].endpoints[1]", "grpc", "only one endpoint"),
        (
            "port: 9091",
            "port: 9091, clientCertificates: true",
            "components[0].endpoints[1].clientCertificates",
            "true",
            "domain",
        ),
        ("port: 9091", "port: 9091, leaf: server", "components[0].endpoints[1]", "nothing", "domain"),
        ("port: 9091", "port: 9091, port: 9092", "components[0].endpoints[1]", "port", "once"),
    ],
)
def test_a_mistake_is_named_with_its_line(old: str, new: str, field: str, value: str, remedy: str) -> None:
    assert GOOD.count(old) == 1
    with pytest.raises(CatalogueError) as caught:
        parse(GOOD.replace(old, new), "mine.yaml", name="mine")
    error = caught.value
    assert (error.field, error.value) == (field, value)
    assert remedy in error.remedy
    line = re.fullmatch(r"catalogue mine\.yaml, line (\d+)", error.object)
    assert line is not None
    assert int(line[1]) == line_of(old)


def test_two_dialects_may_share_a_container_only_where_their_flags_differ() -> None:
    both = "      - {dialect: go-flags, containers: [kube-rbac-proxy]}\n    endpoints:"
    with pytest.raises(CatalogueError, match="--tls-min-version there is already set by line"):
        parse(GOOD.replace("    endpoints:", both), "mine.yaml", name="mine")
    apart = both.replace("go-flags", "thanos-client-flags")
    assert len(parse(GOOD.replace("    endpoints:", apart), "mine.yaml", name="mine").components[0].settings) == 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: [",
        "--- {}\n--- {}",
        "[" * 50 + "]" * 50,
        "x" * (LONGEST + 1),
        "\x00",
        "- a",
        "!!python/object:os.system {}",
    ],
)
def test_what_is_no_catalogue_is_refused(text: str) -> None:
    with pytest.raises(CatalogueError):
        parse(text, "mine.yaml", name="mine")


def test_aliases_are_refused_since_they_can_expand_without_end() -> None:
    text = GOOD.replace("[server]", "&names [server]").replace("containers: [kube-rbac-proxy]", "containers: *names")
    with pytest.raises(CatalogueError, match="an alias"):
        parse(text, "mine.yaml", name="mine")


def test_an_unknown_name_is_told_the_known_ones() -> None:
    with pytest.raises(CatalogueError, match=r"spec\.catalogue\.name.*openshift-monitoring"):
        load("../../etc/passwd")
