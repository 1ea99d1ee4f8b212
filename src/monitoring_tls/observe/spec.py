"""``MonitoringTLS/cluster`` and ``APIServer/cluster`` become wishes, checked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from monitoring_tls.errors import SpecError
from monitoring_tls.model.certificate import IssuingPolicy, KeyAlgorithm
from monitoring_tls.model.desired import Mode, RestartRules
from monitoring_tls.observe.templates import at

OBJECT = "MonitoringTLS/cluster"

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")


# CA 2 years, leaves 90 days, renewed at two thirds of their life.
_SIGNER = IssuingPolicy(KeyAlgorithm.ECDSA_P256, timedelta(days=730))
_LEAF = IssuingPolicy(KeyAlgorithm.ECDSA_P256, timedelta(days=90))


@dataclass(frozen=True, slots=True)
class Wishes:
    """The spec of ``MonitoringTLS/cluster``, with defaults filled in.

    Attributes:
        renew_at: 0..1 of a certificate's life.
    """

    mode: Mode = Mode.AUDIT
    catalogue: str = "openshift-monitoring"
    signer: IssuingPolicy = _SIGNER
    leaf: IssuingPolicy = _LEAF
    renew_at: float = 2 / 3
    rotation_requested: str = ""
    restart: RestartRules = field(default_factory=RestartRules)


def parse_wishes(spec: Mapping[str, Any] | None) -> Wishes:
    """Read a spec.

    Raises:
        SpecError: naming the field that the CRD's schema should have refused.
    """
    spec = spec or {}
    default = Wishes()
    signer = _policy(spec, ("certificates", "grpc", "signer"), default.signer)
    leaf = _policy(spec, ("certificates", "grpc", "leaf"), default.leaf)
    if leaf.duration >= signer.duration:
        raise SpecError(
            OBJECT,
            "spec.certificates.grpc.leaf.duration",
            str(at(spec, ("certificates", "grpc", "leaf", "duration")) or "2160h (the default)"),
            "it must be shorter than the signer's",
        )
    percent = at(spec, ("rotation", "renewAt"))
    restart = spec.get("restart") or {}
    rules = default.restart
    try:
        mode = Mode(spec.get("mode", default.mode))
    except ValueError:
        raise SpecError(OBJECT, "spec.mode", str(spec.get("mode")), "use Enforce or Audit") from None
    return Wishes(
        mode=mode,
        catalogue=at(spec, ("catalogue", "name")) or default.catalogue,
        signer=signer,
        leaf=leaf,
        renew_at=percent / 100 if isinstance(percent, int) else default.renew_at,
        rotation_requested=at(spec, ("rotation", "requested")) or "",
        restart=RestartRules(
            automatic=restart.get("policy", "Automatic") == "Automatic",
            progress_deadline=_seconds(restart, "progressDeadlineSeconds", rules.progress_deadline),
            propagation=_seconds(restart, "secretPropagationSeconds", rules.propagation),
            probe_deadline=_seconds(restart, "probeDeadlineSeconds", rules.probe_deadline),
        ),
    )


def parse_duration(text: str) -> timedelta | None:
    """A duration in Go's notation (``17520h``, ``1h30m``), as Kubernetes writes them; None for anything else."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in parts))


def _policy(spec: Mapping[str, Any], path: tuple[str, ...], default: IssuingPolicy) -> IssuingPolicy:
    wanted = at(spec, path) or {}
    place = "spec." + ".".join(path)
    try:
        algorithm = KeyAlgorithm(wanted.get("keyAlgorithm", default.key_algorithm))
    except ValueError:
        known = ", ".join(KeyAlgorithm)
        raise SpecError(
            OBJECT, f"{place}.keyAlgorithm", str(wanted.get("keyAlgorithm")), f"use one of {known}"
        ) from None
    text = wanted.get("duration")
    duration = default.duration if text is None else parse_duration(str(text))
    if duration is None or duration <= timedelta(0):
        raise SpecError(OBJECT, f"{place}.duration", str(text), "write a duration such as 2160h")
    return IssuingPolicy(algorithm, duration)


def _seconds(restart: Mapping[str, Any], name: str, default: timedelta) -> timedelta:
    value = restart.get(name)
    return timedelta(seconds=value) if isinstance(value, int) else default
