"""The programs of the local cluster: which Go module each comes from and how it is built.

The versions are pinned by the go.mod and go.sum files in ``gomod/``; the tags and linker flags here are the ones that
the programs need to work at all (each with its reason).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

GOMOD_ROOT: Final = Path(__file__).parent / "gomod"

KUBERNETES_VERSION: Final = "v1.36.3"
CONTAINERD_VERSION: Final = "v2.4.2"
PROMETHEUS_VERSION: Final = "3.16.0"
PROMETHEUS_OPERATOR_VERSION: Final = "0.93.1"
HELM_VERSION: Final = "v4.2.4"

_STRIP: Final = "-s -w"


def _version_flags(package: str, values: dict[str, str]) -> str:
    return " ".join([_STRIP, *(f"-X {package}.{name}={value}" for name, value in values.items())])


# The API server refuses to start with an unparsable version, and a module build has none of its own. The date is
# fixed: a build's result must not depend on when it was made.
_KUBERNETES_FLAGS: Final = _version_flags(
    "k8s.io/component-base/version",
    {
        "gitVersion": KUBERNETES_VERSION,
        "gitMajor": "1",
        "gitMinor": "36",
        "gitCommit": "unknown",
        "gitTreeState": "archive",
        "buildDate": "1970-01-01T00:00:00Z",
    },
)


@dataclass(frozen=True, slots=True)
class Program:
    """One executable.

    Attributes:
        name: The file name of the executable, and the key under which callers get its path.
        package: The Go main package.
    """

    name: str
    package: str


@dataclass(frozen=True, slots=True)
class ModuleFiles:
    """Data files of a Go module that are kept beside the programs built from it.

    Attributes:
        module: Module path as in go.mod.
        pattern: Glob below the module's folder.
        folder: Name of the folder in which they are kept.
    """

    module: str
    pattern: str
    folder: str


@dataclass(frozen=True, slots=True)
class Patch:
    """A module that cannot be built as published: it is copied, given one more file, and put in by ``replace``.

    Attributes:
        module: Module path.
        version: Module version.
        folder: Where the go.mod of the build expects the copy.
        file: Path of the added file, below the copy.
        content: Its text.
    """

    module: str
    version: str
    folder: str
    file: str
    content: str


@dataclass(frozen=True, slots=True)
class Unit:
    """Programs that are built together by one ``go build``, and cached together.

    Attributes:
        name: Short name, shown in the progress display and part of the cached folder's name.
        group: The group that callers ask for.
        module: Folder below ``gomod/`` with the go.mod and go.sum.
        programs: What is built.
        tags: Build tags.
        ldflags: Linker flags.
        cgo: Whether a C compiler is needed.
        files: Data files of modules, kept with the programs.
        patch: A module that has to be patched first.
    """

    name: str
    group: str
    module: str
    programs: tuple[Program, ...]
    tags: tuple[str, ...] = ()
    ldflags: str = _STRIP
    cgo: bool = False
    files: tuple[ModuleFiles, ...] = ()
    patch: Patch | None = None


def _programs(prefix: str, *names: str) -> tuple[Program, ...]:
    return tuple(Program(name.rpartition("/")[2], f"{prefix}/{name}") for name in names)


CONTROL_PLANE: Final = "control-plane"
NODE: Final = "node"
STACK: Final = "stack"
TOOLS: Final = "tools"
EXTRA: Final = "extra"

_KUBERNETES: Final = "k8s.io/kubernetes/cmd"
_CONTAINERD: Final = "github.com/containerd/containerd/v2"
_PROMETHEUS_OPERATOR: Final = "github.com/prometheus-operator/prometheus-operator"

RUNC: Final = Unit(
    "runc",
    NODE,
    "runc",
    (Program("runc", "github.com/opencontainers/runc"),),
    # Without the tag seccomp no pod with the profile RuntimeDefault ever gets a sandbox.
    tags=("seccomp", "netgo", "osusergo"),
    ldflags=f"{_STRIP} -linkmode external -extldflags '-static -pthread'",
    cgo=True,
)

# In the order of building: later units profit from what earlier ones compiled.
UNITS: Final[tuple[Unit, ...]] = (
    Unit("etcd", CONTROL_PLANE, "etcd", (Program("etcd", "go.etcd.io/etcd/server/v3"),)),
    Unit(
        "kubernetes-control-plane",
        CONTROL_PLANE,
        "k8s",
        _programs(_KUBERNETES, "kube-apiserver", "kube-controller-manager", "kube-scheduler"),
        ldflags=_KUBERNETES_FLAGS,
    ),
    Unit(
        "kubernetes-node",
        NODE,
        "k8s",
        _programs(_KUBERNETES, "kubelet", "kube-proxy"),
        ldflags=_KUBERNETES_FLAGS,
    ),
    Unit(
        "containerd",
        NODE,
        "containerd",
        _programs(f"{_CONTAINERD}/cmd", "containerd", "containerd-shim-runc-v2", "ctr"),
        ldflags=_version_flags(f"{_CONTAINERD}/version", {"Version": CONTAINERD_VERSION}),
    ),
    RUNC,
    Unit(
        "cni",
        NODE,
        "cni",
        _programs("github.com/containernetworking/plugins/plugins", "main/bridge", "main/loopback", "ipam/host-local"),
    ),
    Unit("coredns", NODE, "coredns", (Program("coredns", "."),)),
    Unit("tiny", NODE, "tiny", (Program("pause", "./pause"),)),
    Unit(
        "prometheus",
        STACK,
        "prometheus",
        _programs("github.com/prometheus/prometheus/cmd", "prometheus"),
        # Only the discoveries that the stack uses; file and http discovery stay in. Half the build time, 28 MB less.
        tags=("netgo", "remove_all_sd", "enable_kubernetes_sd", "enable_dns_sd"),
        ldflags=_version_flags("github.com/prometheus/common/version", {"Version": PROMETHEUS_VERSION}),
    ),
    Unit(
        "thanos",
        STACK,
        "thanos",
        _programs("github.com/thanos-io/thanos/cmd", "thanos"),
        # Without slicelabels the sidecar compiles, and panics at the first query.
        tags=("netgo", "slicelabels"),
    ),
    Unit(
        "kube-rbac-proxy",
        STACK,
        "kube-rbac-proxy",
        _programs("github.com/brancz/kube-rbac-proxy/cmd", "kube-rbac-proxy"),
    ),
    Unit(
        "prometheus-operator",
        STACK,
        "prometheus-operator",
        (
            Program("prometheus-operator", f"{_PROMETHEUS_OPERATOR}/cmd/operator"),
            Program("prometheus-config-reloader", f"{_PROMETHEUS_OPERATOR}/cmd/prometheus-config-reloader"),
        ),
        ldflags=_version_flags("github.com/prometheus/common/version", {"Version": PROMETHEUS_OPERATOR_VERSION}),
        files=(ModuleFiles(_PROMETHEUS_OPERATOR, "example/prometheus-operator-crd/*.yaml", "crds"),),
    ),
    Unit("kubectl", TOOLS, "k8s", _programs(_KUBERNETES, "kubectl"), ldflags=_KUBERNETES_FLAGS),
    Unit(
        "helm",
        TOOLS,
        "helm",
        (Program("helm", "helm.sh/helm/v4/cmd/helm"),),
        ldflags=_version_flags("helm.sh/helm/v4/internal/version", {"version": HELM_VERSION}),
    ),
    Unit(
        "alertmanager",
        EXTRA,
        "alertmanager",
        _programs("github.com/prometheus/alertmanager/cmd", "alertmanager"),
        # The published module embeds a built user interface that it does not contain.
        patch=Patch(
            "github.com/prometheus/alertmanager",
            "v0.34.2",
            "mod",
            "ui/app/dist/index.html",
            "<!doctype html><title>Alertmanager</title>",
        ),
    ),
    Unit("node_exporter", EXTRA, "node_exporter", (Program("node_exporter", "github.com/prometheus/node_exporter"),)),
)

GROUPS: Final = frozenset(unit.group for unit in UNITS)
