"""The annotations in which the operator keeps its state. All state is in the cluster; nothing secret is in these."""

PREFIX = "monitoring-tls.dev/"
"""What every annotation of this project begins with."""

ROTATION = "monitoring-tls.dev/rotation"
"""On a domain's Secret, while a rotation is going on: compact JSON with id, reason, stage and started (RFC 3339)."""

ROTATED_FOR = "monitoring-tls.dev/rotated-for"
"""On a domain's Secret: the last ``spec.rotation.requested`` that was acted on; each reason is acted on once."""

TRUST_SINCE = "monitoring-tls.dev/trust-since"
"""On a domain's Secret and its derived Secrets: since when the issuing CA has been what it is (RFC 3339)."""

LEAF_SINCE = "monitoring-tls.dev/leaf-since"
"""On a domain's Secret and its derived Secrets: since when the leaves have been what they are (RFC 3339)."""

RESTART = "monitoring-tls.dev/restart"
"""On a pod template: a hash of what a process must hold and cannot take alive."""

RESTARTED_AT = "monitoring-tls.dev/restarted-at"
"""On a workload: when ``restart`` was last written (RFC 3339)."""

FOUND = "monitoring-tls.dev/found"
"""On a workload: the values that stood there before the operator took fields over, as JSON."""

RETIRED_AT = "monitoring-tls.dev/retired-at"
"""On a domain's Secret: when a CA last left the bundle (RFC 3339); who started before may still trust it."""
