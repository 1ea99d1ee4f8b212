"""A stack that OpenShift's cluster-monitoring-operator left: RSA, a client leaf without names, hashed Secret names."""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from demo.serving import PLATFORM, USER_WORKLOAD, secret
from monitoring_tls.kube.resources import CONFIGMAPS, SECRETS, Object
from monitoring_tls.operator.keyring import decode
from monitoring_tls.operator.wishes import Asked, Place
from monitoring_tls.profile.dialects import edit_args, settings
from tests.integration.operator.checks import DERIVED, bundle, consistent
from tests.integration.operator.stack import PODS, World
from tests.pki_support import NOW, Adopted, adopted_data

_HASH = "7c2k1vd0rtqpa"


def test_a_stack_of_cmo_is_taken_over_without_a_restart_and_then_rotated(world: World) -> None:
    data = _cmo_secrets(world)
    world.install_stack(lambda objects: _as_cmo_left_it(world, objects))
    world.until("every pod", lambda: world.starts() == PODS)
    generations, old = world.generations(), bundle(world)

    world.start_operator()
    world.ask()
    world.until("the fixed point", world.settled)
    assert (world.starts(), world.generations(), bundle(world)) == (PODS, generations, old)
    unchanged = decode(world.secret("grpc-tls")) == data  # in a name, as a failing assertion shows what it compared
    assert unchanged
    assert consistent(world), "the stable names are there, beside the hashed ones"
    assert _hashed(world) == {f"{name}-{_HASH}" for name in DERIVED}

    reason = uuid.uuid4().hex
    world.ask(rotation={"requested": reason})
    world.until("the end of the rotation", lambda: world.rotated(reason))
    world.until("the end of the hashed copies", lambda: not _hashed(world))
    assert world.starts() == {name: 2 * count for name, count in PODS.items()}
    assert consistent(world)
    assert bundle(world) != old
    assert world.kubelet.traffic.failures == []
    assert world.kubelet.traffic.answered


def _cmo_secrets(world: World) -> Mapping[str, bytes]:
    """What CMO makes, ten days ago: grpc-tls, its copies, metrics-client-ca; returns the content of grpc-tls."""
    kind = Adopted(start=datetime.now(UTC) - NOW - timedelta(days=10), life=timedelta(days=730))
    data = adopted_data(kind)
    world.create(secret(PLATFORM, "grpc-tls", {key: value.decode() for key, value in data.items()}))
    for name, (namespace, leaf, key) in DERIVED.items():
        content = {"ca.crt": "ca.crt", f"{key}.crt": f"{leaf}.crt", f"{key}.key": f"{leaf}.key"}
        copy = secret(namespace, f"{name}-{_HASH}", {new: data[own].decode() for new, own in content.items()})
        copy["metadata"]["labels"] = {"monitoring.openshift.io/name": name, "monitoring.openshift.io/hash": _HASH}
        world.create(copy)
    client_ca = world.get(CONFIGMAPS, "kube-system", "extension-apiserver-authentication")["data"]["client-ca-file"]
    for namespace in (PLATFORM, USER_WORKLOAD):
        metadata = {"namespace": namespace, "name": "metrics-client-ca"}
        kind_of = {"apiVersion": "v1", "kind": "ConfigMap"}
        world.create(kind_of | {"metadata": metadata, "data": {"client-ca.crt": client_ca}})
    return data


def _as_cmo_left_it(world: World, objects: list[Object]) -> None:
    """Mounts of the hashed names, and settings that already follow the profile."""
    desired, _ = Asked(Place("openshift-monitoring", "monitoring-tls-operator")).read({}, None, None)
    profile = desired.profile.effective
    targets = {(c.workload.kind, c.workload.namespace, c.workload.name): c.settings for c in world.catalogue.components}
    for obj in objects:
        key = (obj["kind"], obj["metadata"]["namespace"], obj["metadata"]["name"])
        spec = obj.get("spec", {})
        pod = spec.get("template", {}).get("spec", spec)
        for volume in pod.get("volumes") or ():
            if volume.get("secret", {}).get("secretName") in DERIVED:
                volume["secret"]["secretName"] += f"-{_HASH}"
        for target in targets.get(key, ()):
            written = settings(target.dialect, profile)
            holder = obj
            for part in target.path:
                holder = holder[part]
            holder.update({name: list(v) if isinstance(v, tuple) else v for name, v in written.fields.items() if v})
            for container in pod["containers"]:
                if container["name"] == target.container:
                    container["args"] = list(edit_args(tuple(container["args"]), written.flags))


def _hashed(world: World) -> set[str]:
    return {name for obj in world.all(SECRETS) if (name := obj["metadata"]["name"]).endswith(_HASH)}
