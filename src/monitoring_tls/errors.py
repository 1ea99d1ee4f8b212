"""Everything this package raises on purpose.

```
MonitoringTLSError
├── BadInputError            somebody's input cannot be used: object, field, value, remedy
│   ├── ProfileError         a TLS security profile
│   ├── CatalogueError       a component catalogue
│   └── SpecError            the spec of a MonitoringTLS object
├── ConfigError              how the program was started: kubeconfig, flags, environment
├── KubeError                the Kubernetes API
│   ├── ApiError             it answered with a failure: status, reason, message, method, path
│   │   ├── ForbiddenError        403
│   │   ├── NotFoundError         404
│   │   ├── ConflictError         409, the object changed in between
│   │   ├── AlreadyExistsError    409, the name is taken
│   │   ├── ExpiredError          410, the resourceVersion is too old
│   │   └── TooManyRequestsError  429: retry_after
│   ├── ApiUnreachableError  it did not answer
│   └── LeadershipLostError  a write was about to happen without the Lease
└── PkiError                 keys and certificates
    ├── GarbledCertificateError
    ├── GarbledKeyError
    └── KeyMismatchError     a private key that is not the certificate's
```

Each carries its data as attributes and makes its message from them. None may be given key material: `value` and
`problem` go to logs, events and status.
"""

_SHOWN_VALUE = 120
"""Characters of an input value that a message repeats: enough to find it, too few to flood a log or an event."""


class MonitoringTLSError(Exception):
    """Base of all errors of this package."""


class BadInputError(MonitoringTLSError):
    """Something that a person wrote cannot be used.

    Attributes:
        object: which object, e.g. `APIServer/cluster`.
        field: where in it, e.g. `spec.tlsSecurityProfile.custom.ciphers[2]`.
        value: what stands there.
        remedy: what to write instead.
    """

    def __init__(self, object: str, field: str, value: str, remedy: str) -> None:  # noqa: A002 - the field's standard name in Kubernetes (involvedObject, regarding)
        super().__init__(object, field, value, remedy)
        self.object = object
        self.field = field
        self.value = value
        self.remedy = remedy

    def __str__(self) -> str:
        value = self.value if len(self.value) <= _SHOWN_VALUE else self.value[: _SHOWN_VALUE - 1] + "…"
        return f"{self.object}: {self.field}: {value!r} cannot be used: {self.remedy}"


class ProfileError(BadInputError):
    """A TLS security profile that cannot be honoured."""


class CatalogueError(BadInputError):
    """A component catalogue that does not follow its schema or contradicts itself."""


class SpecError(BadInputError):
    """A field of a MonitoringTLS object's spec that the CRD's own validation cannot catch."""


class ConfigError(MonitoringTLSError):
    """The program was started in a way that cannot work.

    Attributes:
        subject: what is meant, e.g. a file's path or a flag.
        problem: what is wrong with it.
        remedy: what to do.
    """

    def __init__(self, subject: str, problem: str, remedy: str) -> None:
        super().__init__(subject, problem, remedy)
        self.subject = subject
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.subject}: {self.problem}: {self.remedy}"


class KubeError(MonitoringTLSError):
    """The Kubernetes API did not do what it was asked."""


class ApiError(KubeError):
    """The API server answered with a failure (a `Status` object, or whatever stands between us and it).

    Attributes:
        status: the HTTP status, or the `code` of a watch's ERROR event.
        reason: the machine-readable reason, e.g. `AlreadyExists`; empty where there was none.
        message: the server's text.
        method: the HTTP method.
        path: the path asked for, without the query.
    """

    def __init__(self, status: int, reason: str, message: str, method: str, path: str) -> None:
        super().__init__(status, reason, message, method, path)
        self.status = status
        self.reason = reason
        self.message = message
        self.method = method
        self.path = path

    def __str__(self) -> str:
        return f"{self.method} {self.path}: {self.status} {self.reason or 'without a reason'}: {self.message}"


class ForbiddenError(ApiError):
    """403: the account lacks a permission."""


class NotFoundError(ApiError):
    """404: no such object, or no such kind of object."""


class ConflictError(ApiError):
    """409: the object is no longer the one that the change was made for."""


class AlreadyExistsError(ApiError):
    """409 with reason `AlreadyExists`: the name is taken."""


class ExpiredError(ApiError):
    """410: the resourceVersion or the continue token is older than what the server still knows."""


class TooManyRequestsError(ApiError):
    """429: the server asks us to slow down.

    Attributes:
        retry_after: seconds to wait, as the server asked; None where it did not say.
    """

    def __init__(
        self, status: int, reason: str, message: str, method: str, path: str, *, retry_after: float | None = None
    ) -> None:
        super().__init__(status, reason, message, method, path)
        self.retry_after = retry_after


class ApiUnreachableError(KubeError):
    """No (whole) answer from the API server: refused, cut, silent or garbled.

    Attributes:
        method: the HTTP method.
        path: the path asked for, without the query.
        problem: what happened.
    """

    def __init__(self, method: str, path: str, problem: str) -> None:
        super().__init__(method, path, problem)
        self.method = method
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.method} {self.path}: no answer from the API server: {self.problem}"


class LeadershipLostError(KubeError):
    """A write was about to happen while this process may no longer hold the Lease.

    Attributes:
        lease: `NAMESPACE/NAME` of the Lease.
        identity: who we are.
        age: seconds since the Lease was last renewed; None where it never was.
    """

    def __init__(self, lease: str, identity: str, age: float | None) -> None:
        super().__init__(lease, identity, age)
        self.lease = lease
        self.identity = identity
        self.age = age

    def __str__(self) -> str:
        held = "does not hold it" if self.age is None else f"renewed it {self.age:.1f} s ago, which is too long"
        return f"Lease {self.lease}: {self.identity} {held}; nothing was written"


class PkiError(MonitoringTLSError):
    """A key or a certificate cannot be used.

    Attributes:
        problem: what is wrong. Never any part of a private key.
        object: the object it came from, e.g. `Secret/grpc-tls -n openshift-monitoring`; empty where the caller knows.
        field: the key in it, e.g. `ca.crt`; empty where the caller knows.
    """

    def __init__(self, problem: str, object: str = "", field: str = "") -> None:  # noqa: A002 - as in BadInputError
        super().__init__(problem, object, field)
        self.problem = problem
        self.object = object
        self.field = field

    def __str__(self) -> str:
        return ": ".join(part for part in (self.object, self.field, self.problem) if part)


class GarbledCertificateError(PkiError):
    """Something that should be a certificate (or a bundle) does not parse as one."""


class GarbledKeyError(PkiError):
    """Something that should be a private key does not parse as one."""


class KeyMismatchError(PkiError):
    """A private key is not the one whose public half the certificate holds."""
